"""`kgym plugins new`: write a complete package with one small working component, as a start for your own.

The templates are in `plugin_templates`: one folder for each kind, and `common` for the files of all packages.
"""

import argparse
import importlib.util
import keyword
import re
import sys
from pathlib import Path
from typing import NamedTuple

from kgym.cli.output import print_json, say
from kgym.errors import ConfigError
from kgym.registry import registry

TEMPLATES = Path(__file__).parent / "plugin_templates"
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
NAMES = re.compile(r"\b[A-Z]\w+")
"""Words of a template that its class must not have as its name, such as classes that the template imports."""
LONGEST = 32
"""Most characters of a name, so that lines of the generated code stay short."""


class Kind(NamedTuple):
    """The component that an option of the command generates."""

    kind: str
    article: str
    file: str
    summary: str


KINDS: dict[str, Kind] = {
    "env": Kind("environment", "an", "env.py", "count how often a letter occurs in a text"),
    "verifier": Kind("verifier", "a", "verifier.py", "the boxed answer is the gold answer, as text"),
    "algo": Kind("algorithm", "an", "algorithm.py", "REINFORCE with the median of the group as its baseline"),
    "engine": Kind("engine", "an", "engine.py", "one token at a time with transformers, slow and exact"),
    "sampler": Kind("sampler", "a", "sampler.py", "problems that were failed come back"),
    "shaper": Kind("shaper", "a", "shaper.py", "a completion loses a little reward for its length"),
    "tracker": Kind("tracker", "a", "tracker.py", "metrics as a CSV file in the run folder"),
    "exporter": Kind("exporter", "an", "exporter.py", "leaderboard rows as tab-separated values"),
}
"""Kinds by the option of the command."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "name",
        metavar="NAME",
        help="name of the package and its folder, such as kgym-letters; the component is then named letters",
    )
    kinds = parser.add_mutually_exclusive_group(required=True)
    for flag, about in KINDS.items():
        kinds.add_argument(
            f"--{flag}",
            dest="flag",
            action="store_const",
            const=flag,
            help=f"{about.article} {about.kind}: {about.summary}",
        )


def run(args: argparse.Namespace) -> int:
    """Write the package into a new folder of the working directory."""
    about = KINDS[args.flag]
    files = package(args.name, args.flag)
    folder = Path(args.name)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    component = component_name(args.name)
    if args.json:
        print_json({"folder": str(folder), "kind": about.kind, "component": component, "files": sorted(files)})
        return 0
    say(
        f"wrote {folder}: {about.article} {about.kind}, {component!r}, in "
        f"{folder / module_name(args.name) / about.file}"
    )
    say(f"next: pip install -e './{folder}[dev]'; cd {folder}; pytest; kgym plugins check {component}")
    return 0


def module_name(name: str) -> str:
    """Return the name of the module of a package: `kgym_letters` for `kgym-letters`."""
    return name.replace("-", "_")


def component_name(name: str) -> str:
    """Return the name of the component of a package: `letters` for `kgym-letters`."""
    return module_name(name).removeprefix("kgym_")


def package(name: str, flag: str) -> dict[str, str]:
    """Return the files of a package by their path in its folder. Raises ConfigError for a name that cannot be used."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    _check(name, flag)
    about, module = KINDS[flag], module_name(name)
    component = component_name(name)
    templates = Environment(  # noqa: S701  (Python and Markdown, not HTML)
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
    )
    taken = {word for source in TEMPLATES.glob(f"{flag}/*") for word in NAMES.findall(source.read_text("utf-8"))}
    cls = "".join(part.capitalize() for part in component.split("_"))
    words = {
        "name": name,
        "module": module,
        "component": component,
        "cls": f"My{cls}" if taken & {cls, f"{cls}Options"} or keyword.iskeyword(cls) else cls,
        "flag": flag,
        **about._asdict(),
    }
    sources = {
        "pyproject.toml": "common/pyproject.toml",
        "README.md": "common/README.md",
        ".gitignore": "common/gitignore",
        ".github/workflows/test.yml": "common/test.yml",
        f"{module}/__init__.py": f"{flag}/init",
        f"{module}/{about.file}": f"{flag}/component",
        f"tests/test_{module}.py": f"{flag}/test",
    }
    files = {path: templates.get_template(f"{source}.jinja").render(words) for path, source in sources.items()}
    return files | {f"{module}/py.typed": ""}


def _check(name: str, flag: str) -> None:
    """Raise ConfigError for a name that is invalid, taken, or has a folder already."""
    module, component, kind = module_name(name), component_name(name), KINDS[flag].kind
    if not NAME.fullmatch(name) or len(name) > LONGEST or keyword.iskeyword(component) or not component.isidentifier():
        raise ConfigError(
            f"{name!r} cannot name a package and its module; use up to {LONGEST} small letters, digits and hyphens, "
            "such as kgym-letters"
        )
    if Path(name).exists():
        raise ConfigError(f"{name} exists already; choose another name, or remove it")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise ConfigError(
            f"a module named {module} is installed already; choose another name, such as "
            f"kgym-my-{component.replace('_', '-')}"
        )
    if any(info.name == component for info, _ in registry().offers(kind)):
        raise ConfigError(f"{KINDS[flag].article} {kind} named {component!r} exists already; choose another name")
