"""Pages made from the code: one for each hook, one for each protocol, and one for the command line."""

import importlib
import inspect
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from kgym import hookspecs, types
from kgym.cli import main
from kgym.envs import task

EXAMPLES = Path(__file__).parents[1] / "examples"
PLUGINS = Path(__file__).parents[1] / "plugins.md"
SHARED = {
    "Engine": "EngineInfo",
    "Verifier": "VerifierInfo",
    "Algorithm": "AlgorithmInfo",
    "Sampler": "SamplerInfo",
    "Shaper": "ShaperInfo",
    "Tracker": "TrackerInfo",
    "Exporter": "ExporterInfo",
    "Bridge": "BridgeInfo",
    "Task": "EnvInfo",
    "EnvFamily": "EnvFamilyInfo",
}
"""Protocols whose example is that of a record."""


def hooks() -> list[str]:
    """Return the names of the hooks, in the order of their module; the older ones, one for each kind, are left out."""
    return [name for name in vars(hookspecs) if name.startswith("kgym_") and name not in hookspecs.REPLACED]


def records() -> list[str]:
    """Return the names of the records that `kgym_components` may yield."""
    return [record.__name__ for record in get_args(hookspecs.Component)]


def protocols() -> dict[str, str]:
    """Return the name of each protocol with its module."""
    mine = [name for name in types.__all__ if getattr(getattr(types, name), "_is_protocol", False)]
    return {"Task": task.__name__, "EnvFamily": task.__name__} | dict.fromkeys(mine, types.__name__)


def example(name: str) -> Path:
    """Return the file of the example of a hook, a record or a protocol."""
    name = SHARED.get(name, name)
    folder = "hooks" if name.startswith("kgym_") else "components" if name in records() else "protocols"
    return EXAMPLES / folder / f"{name}.py"


def nav(names: Iterable[str]) -> list[Any]:
    """Return the navigation of generated pages."""
    return [{name: f"reference/{name}.md"} for name in names]


def pages() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each page."""
    for name in hooks():
        yield f"reference/{name}.md", _hook(name)
    for name in records():
        yield f"reference/{name}.md", _record(name)
    for name, module in protocols().items():
        yield f"reference/{name}.md", _protocol(name, module)
    yield "reference/commands.md", commands()


def _hook(name: str) -> str:
    function = getattr(hookspecs, name)
    signature = str(inspect.signature(function)).replace("'", "")
    parts = [f"# {name}", f"```python\n{name}{signature}\n```", inspect.getdoc(function) or ""]
    return "\n\n".join([*parts, *_about(f"`{name}`"), "## Example", _shown(example(name))]) + "\n"


def _record(name: str) -> str:
    kind = getattr(hookspecs, name).kind
    title = {"dataset": "Data sets", "family": "Families of environments"}.get(kind, f"{kind.capitalize()}s")
    options = (
        "    options:\n      show_root_heading: false\n      show_root_toc_entry: false\n      inherited_members: true"
    )
    parts = [
        f"# {name}",
        f"The record of a component of the kind {kind}; [kgym_components](kgym_components.md) yields it.",
    ]
    return (
        "\n\n".join(
            [
                *parts,
                *_about(title),
                "## Example",
                _shown(example(name)),
                "## Fields",
                f"::: kgym.hookspecs.{name}\n{options}",
            ]
        )
        + "\n"
    )


def _about(title: str) -> list[str]:
    """Return what the page about plugins says in a section, with a heading; nothing if it has no such section."""
    sections = re.split(r"^### ", PLUGINS.read_text(), flags=re.MULTILINE)
    found = [section for section in sections if section.partition("\n")[0] == title]
    if not found:
        return []
    text = re.split(r"^## ", found[0].partition("\n")[2], flags=re.MULTILINE)[0].strip()
    if text.startswith("```"):  # the signature, which is above
        text = text.split("```", 2)[2].strip()
    return ["## What it means", re.sub(r"\]\((?!https?:|#|/)", "](../", text)]


def _protocol(name: str, module: str) -> str:
    header = (
        f"# {name}\n\n::: {module}.{name}\n"
        "    options:\n      show_root_heading: false\n      show_root_toc_entry: false"
    )
    return "\n\n".join([header, "## Example", _shown(example(name))]) + "\n"


def _shown(path: Path) -> str:
    if not path.exists():  # tests/test_docs_examples.py fails, and says which it is
        return "This page has no example yet."
    place = path.relative_to(EXAMPLES.parents[1]).as_posix()
    return f"`{place}`, which a test runs:\n\n```python\n{path.read_text()}```"


def commands() -> str:
    """Return the page of the command line: the help of every command that comes with kgym."""
    os.environ["COLUMNS"] = "100"
    parts = ["# Command line", "Every command with its options, as `--help` prints them."]
    parts += ["## kgym", _text(main._help(main._global_parser()))]
    for name, (module_name, _) in main.COMMANDS.items():
        module = importlib.import_module(module_name)
        parser = main.Parser(prog=f"kgym {name}", description=(module.__doc__ or "").strip())
        module.configure(parser)
        parts += [f"## kgym {name}", _text(parser.format_help())]
        parts += [
            f"### {leaf.prog}\n\n{_text(leaf.format_help())}" for leaf in main.leaves(parser) if leaf is not parser
        ]
    return "\n\n".join(parts) + "\n"


def _text(text: str) -> str:
    return f"```text\n{text.strip()}\n```"
