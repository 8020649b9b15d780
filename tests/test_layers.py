"""The architecture as a table: an import points down or not at all, never sideways, and names the module, not the
package.
"""

import ast
import re
from pathlib import Path

import pytest

from kgym.discovery import installed
from kgym.registry import Registry

ROOT = Path(__file__).parent.parent

LAYERS = [
    {"errors", "loading", "neutral", "repetition", "seeding", "stages", "types"},
    {"answers", "blame", "cluster", "files", "folders", "observers", "options", "page", "spelling", "world"},
    {"hookspecs", "limits", "train_config"},
    {"discovery", "families", "judging"},
    {"config", "registry"},
    {"eval_config", "keys", "supervised_config"},
    {"algorithms", "data", "models", "verify"},
    {"envs"},  # judges by a verifier
    {"bridges"},  # environments and verifiers in other frameworks
    {"runs"},
    {"rollout"},
    {"score"},
    {"train"},
    {"board"},
    {"experiments"},  # several runs together
    {"api"},  # the one-liners of `import kgym`
    {"cli"},
]
"""From the bottom up; what is in one line does not import each other."""
ABOVE_ALL = {"testing", "__init__", "__main__", "_gymnasium"}
"""`testing` is beside; the others are the package's front door, which loads what it names when it is asked for."""

FOR_PLUGINS = {
    "types",
    "answers",
    "cluster",
    "errors",
    "neutral",
    "repetition",
    "seeding",
    "options",
    "page",
    "hookspecs",
    "envs",
    "algorithms",
    "data",
    "judging",
    "limits",
    "models",
    "rollout",
    "testing",
}
"""What the built-in components may use of kgym, as a third party may; `models` and `rollout` have models and engines by
name, `judging` and `limits` run programs in a sandbox,
`page` is for those that write one, and `cluster` for those that join a Ray cluster.
"""
RECORDS = "kgym.types"
"""The only package that names are imported from. Its modules import nothing but each other."""
BUNDLED = {
    "kgym_envs": "envs/kgym_envs",
    "kgym_plugins": "plugins/kgym_plugins",
    "kgym_boards": "leaderboards/kgym_boards",
}

CORE = sorted((ROOT / "kgym").rglob("*.py"))
COMPONENTS = sorted(path for name in ("kgym_envs", "kgym_plugins") for path in (ROOT / BUNDLED[name]).rglob("*.py"))
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def module_name(path):
    base = next(
        (ROOT / folder for folder in ("envs", "plugins", "leaderboards") if path.is_relative_to(ROOT / folder)), ROOT
    )
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def is_module(name):
    parts = name.split(".")
    path = {"kgym": ROOT, "kgym_envs": ROOT / "envs", "kgym_plugins": ROOT / "plugins"}[parts[0]].joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imports(tree, module):
    """Yield the modules that a file imports, those in functions and under TYPE_CHECKING too, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                ours = full.partition(".")[0] in ("kgym", "kgym_envs", "kgym_plugins")
                yield (full if ours and is_module(full) else node.module), node.lineno


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def test_every_module_of_the_core_has_its_layer():
    names = {module_name(path).split(".")[1] for path in CORE}
    assert names - ABOVE_ALL == set(RANK), "a new module needs its place in LAYERS"


@pytest.mark.parametrize("path", CORE, ids=module_name)
def test_imports_of_the_core_point_down(path):
    module = module_name(path)
    own = module.split(".")[1]
    for name, line in imports(parsed(path), module):
        top, *rest = name.split(".")
        where = f"{module}:{line} imports {name}"
        assert top not in BUNDLED, f"{where}: the core knows no component"
        if top != "kgym" or not rest or own in ABOVE_ALL:
            continue
        if (own, rest[0]) == ("cli", "testing"):  # `kgym envs check` runs the checks that plugin authors have
            continue
        assert rest[0] not in ABOVE_ALL, where
        assert rest[0] == own or RANK[rest[0]] < RANK[own], f"{where}, which is not below it"


@pytest.mark.parametrize("path", [*CORE, *COMPONENTS], ids=module_name)
def test_imports_name_the_module_and_not_the_package(path):
    packages = {module_name(file) for file in [*CORE, *COMPONENTS] if file.name == "__init__.py"} - {RECORDS}
    for name, line in imports(parsed(path), module_name(path)):
        assert name not in packages, f"{path.name}:{line} imports from the package {name}; name the module"


def test_the_records_are_imported_from_one_place():
    """Others import `kgym.types`; its own modules name each other, so that the package cannot be half imported."""
    for path in [*CORE, *COMPONENTS]:
        own = module_name(path).startswith(RECORDS)
        for name, line in imports(parsed(path), module_name(path)):
            if name.startswith(RECORDS):
                assert (name == RECORDS) != own, f"{module_name(path)}:{line} imports {name}"


@pytest.mark.parametrize("path", COMPONENTS, ids=module_name)
def test_components_use_what_a_stranger_may_use_and_not_each_other(path):
    module = module_name(path)
    home = module.split(".")[:2]
    for name, line in imports(parsed(path), module):
        top, *rest = name.split(".")
        where = f"{module}:{line} imports {name}"
        if top == "kgym":
            assert "".join(rest[:1]) in FOR_PLUGINS, where
        elif top in BUNDLED:
            assert name.split(".")[:2] == home, where


# Names of components that are also words of the core's own: file formats, libraries, a finish reason, a phase of a
# step.
EVERYDAY = {"code", "data", "file", "judge", "json", "csv", "md", "format", "repetition", "transformers", "python"}


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in CORE
        if not path.name.endswith("config.py") and path.name != "one.py" and "cli" not in path.parts
    ],
    ids=module_name,
)
def test_the_core_names_no_component(path):
    """Outside defaults (config, verify.one) and help texts (cli), no string of the code is the name of a component
    or of their packages.
    """
    ours = Registry(
        candidates=[item for item in installed() if item.distribution == "kgym"],
        environ={"KGYM_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    names = {info.name for info, _ in ours.offers()} - EVERYDAY
    assert {"aime", "mirror"} <= names
    tree = parsed(path)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            assert node.value not in names, f"{module_name(path)}:{node.lineno} names the component {node.value!r}"
            assert not re.fullmatch(r"kgym_(envs|plugins|boards)\b[\w.:]*", node.value), (
                f"{module_name(path)}:{node.lineno} names {node.value!r}"
            )


def functions(tree):
    """Yield the functions and methods of a file, nested ones too, with the number of their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("path", [path for path in CORE if path.parent.name in ("rollout", "train")], ids=module_name)
def test_functions_of_the_loop_are_shorter_than_60_lines(path):
    assert [found for found in functions(parsed(path)) if found[1] >= 60] == []


def test_the_test_sees_a_long_function():
    tree = ast.parse("class A:\n    def f(self):\n" + "        pass\n" * 60 + "async def g():\n    pass\n")
    assert list(functions(tree)) == [("g", 2), ("f", 61)]


def test_the_test_sees_a_wrong_import():
    tree = ast.parse(
        "from kgym.train import loop\nimport kgym_envs.aime\ndef f():\n    from kgym.types import Episode\n"
    )
    assert list(imports(tree, "x")) == [("kgym.train.loop", 1), ("kgym_envs.aime", 2), ("kgym.types", 4)]
