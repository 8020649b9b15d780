"""Pages made from the code: one for each hook, one for each protocol, and one for the command line."""

import importlib
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from kgym import hookspecs, types
from kgym.cli import main
from kgym.envs import task

EXAMPLES = Path(__file__).parents[1] / "examples"
PLUGINS = Path(__file__).parents[1] / "plugins.md"
SHARED = {
    "Engine": "hooks/kgym_register_engines.py",
    "Verifier": "hooks/kgym_register_verifiers.py",
    "Algorithm": "hooks/kgym_register_algorithms.py",
    "Sampler": "hooks/kgym_register_samplers.py",
    "Shaper": "hooks/kgym_register_shapers.py",
    "Tracker": "hooks/kgym_register_trackers.py",
    "Exporter": "hooks/kgym_register_exporters.py",
    "Task": "hooks/kgym_register_envs.py",
}
"""Protocols whose example is that of a hook."""


def hooks() -> list[str]:
    """Return the names of the hooks, in the order of their module."""
    return [name for name in vars(hookspecs) if name.startswith("kgym_")]


def protocols() -> dict[str, str]:
    """Return the name of each protocol with its module."""
    found = {"Task": task.__name__}
    return found | {
        name: types.__name__
        for name, value in vars(types).items()
        if getattr(value, "_is_protocol", False) and value.__module__ == types.__name__
    }


def example(name: str) -> Path:
    """Return the file of the example of a hook or a protocol."""
    if name.startswith("kgym_"):
        return EXAMPLES / "hooks" / f"{name}.py"
    return EXAMPLES / SHARED.get(name, f"protocols/{name}.py")


def hook_nav() -> list[Any]:
    """Return the navigation of the hooks."""
    return [{name: f"reference/{name}.md"} for name in hooks()]


def protocol_nav() -> list[Any]:
    """Return the navigation of the protocols."""
    return [{name: f"reference/{name}.md"} for name in protocols()]


def pages() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each page."""
    for name in hooks():
        yield f"reference/{name}.md", _hook(name)
    for name, module in protocols().items():
        yield f"reference/{name}.md", _protocol(name, module)
    yield "reference/commands.md", commands()


def _hook(name: str) -> str:
    function = getattr(hookspecs, name)
    signature = str(inspect.signature(function)).replace("'", "")
    parts = [f"# {name}", f"```python\n{name}{signature}\n```", inspect.getdoc(function) or ""]
    parts += ["## What it means", _section(name), "## Example", _shown(example(name))]
    for record in _records(function):
        parts += [f"::: kgym.hookspecs.{record}\n    options:\n      inherited_members: true\n      show_bases: false"]
    return "\n\n".join(parts) + "\n"


def _records(function: Any) -> list[str]:
    returned = get_type_hints(function, vars(hookspecs) | vars(types)).get("return")
    return [part.__name__ for part in get_args(returned) if isinstance(part, type) and issubclass(part, hookspecs.Info)]


def _section(name: str) -> str:
    """Return what the page about plugins says of a hook, after its signature."""
    sections = re.split(r"^### ", PLUGINS.read_text(), flags=re.MULTILINE)
    (section,) = [section for section in sections if section.startswith(f"`{name}`")]
    text = re.split(r"^## ", section.split("```", 2)[2], flags=re.MULTILINE)[0].strip()
    return re.sub(r"\]\((?!https?:|#|/)", "](../", text)


def _protocol(name: str, module: str) -> str:
    header = f"# {name}\n\n::: {module}.{name}\n    options:\n      show_root_heading: false\n      show_root_toc_entry: false"
    return "\n\n".join([header, "## Example", _shown(example(name))]) + "\n"


def _shown(path: Path) -> str:
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
        parts += [f"### {leaf.prog}\n\n{_text(leaf.format_help())}" for leaf in main.leaves(parser) if leaf is not parser]
    return "\n\n".join(parts) + "\n"


def _text(text: str) -> str:
    return f"```text\n{text.strip()}\n```"
