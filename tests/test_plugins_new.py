"""`kgym plugins new`: the package of each kind works as it is generated, and a name that cannot work is refused."""

import ast
import importlib.util
import json
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from doc_pages import kgym_words
from kgym.cli.main import command_parser, main
from kgym.cli.newplugin import KINDS, LONGEST, package
from kgym.registry import configure, registry
from strangers import Stranger


@pytest.fixture
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    configure([])


@pytest.mark.parametrize("flag", KINDS)
def test_a_generated_plugin_is_loaded_and_keeps_the_contract(flag, in_tmp_path, monkeypatch, capsys):
    name = f"kgym-fresh-{flag}"
    assert main(["plugins", "new", name, f"--{flag}", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["component"] == f"fresh_{flag}"
    assert set(written["files"]) == {str(path.relative_to(name)) for path in Path(name).rglob("*") if path.is_file()}
    monkeypatch.syspath_prepend(in_tmp_path / name)
    configure([f"kgym_fresh_{flag}"])
    info = registry().info(written["kind"], written["component"])
    assert info.summary == KINDS[flag].summary
    assert registry().options(written["kind"], written["component"]).model_config["extra"] == "forbid"
    if flag not in ("engine", "algo"):  # the kits of these take long; the slow test runs them
        assert main(["-p", f"kgym_fresh_{flag}", "plugins", "check", written["component"]]) == 0, (
            capsys.readouterr().out
        )
    assert all(part in (Path(name) / "README.md").read_text() for part in (written["component"], info.summary))
    lines = [
        line for line in (Path(name) / "README.md").read_text().splitlines() if line.startswith(("kgym ", "echo "))
    ]
    for words in map(kgym_words, lines):
        command_parser(words[0]).parse_args(words[1:])
    assert yaml.safe_load((Path(name) / ".github/workflows/test.yml").read_text())["jobs"]["test"]["steps"]


@pytest.mark.parametrize("flag", KINDS)
@pytest.mark.parametrize("name", ["kgym-true", "kgym-none", "kgym-task", "kgym-options", "kgym-path", "{kind}"])
def test_a_class_has_no_name_that_the_generated_code_uses_already(name, flag, in_tmp_path):
    for path, text in package(f"kgym-{KINDS[flag].kind}" if name == "{kind}" else name, flag).items():
        if path.endswith(".py"):
            bound = []
            for node in ast.parse(text).body:
                bound += [alias.asname or alias.name for alias in getattr(node, "names", ())]
                bound += [node.name] if isinstance(node, ast.ClassDef) else []
            assert len(bound) == len(set(bound)), path


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Letters", "'Letters' cannot name a package"),
        ("../letters", "cannot name a package"),
        ("letters-", "cannot name a package"),
        ("class", "cannot name a package"),
        ("kgym-class", "cannot name a package"),
        ("a" * (LONGEST + 1), "cannot name a package"),
        ("", "cannot name a package"),
        ("numpy", "a module named numpy is installed already; choose another name, such as kgym-my-numpy"),
        ("random", "a module named random is installed already"),
        ("kgym", "a module named kgym is installed already"),
        ("integer", "a verifier named 'integer' exists already"),
        ("there", "there exists already; choose another name, or remove it"),
    ],
)
def test_a_name_that_cannot_work_is_refused_in_one_line(name, why, in_tmp_path, capsys):
    (in_tmp_path / "there").mkdir()
    assert main(["plugins", "new", name, "--verifier"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert why in err
    assert err.count("\n") == 1
    assert [path.name for path in in_tmp_path.iterdir()] == ["there"]


@pytest.mark.usefixtures("in_tmp_path")
def test_a_kind_has_to_be_named(capsys):
    assert main(["plugins", "new", "letters"]) == 2
    assert (
        "--env --verifier --algo --engine --sampler --shaper --tracker --exporter is required"
        in capsys.readouterr().err
    )


# --- the pages


def lines_of(kind):
    """Return the shell lines of a section of docs/plugins.md."""
    page = (Path(__file__).parent.parent / "docs" / "plugins.md").read_text()
    section = page.partition(f"### Write {kind}\n")[2].partition("\n##")[0]
    return section.partition("```sh\n")[2].partition("```")[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["an environment", "a verifier", "an algorithm", "an engine"])
def test_the_lines_of_the_page_run(kind, tmp_path):
    stranger = Stranger(tmp_path)
    pip = (
        f'"{sys.executable}" -m pip --python "{stranger.executable}" "$@" '
        "--quiet --no-deps --no-index --no-build-isolation"
    )
    for name, line in (("kgym", f'"{stranger.executable}" -m kgym "$@"'), ("pip", pip)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexec {line}\n")
        (tmp_path / name).chmod(0o755)
    stranger.environ["PATH"] = f"{tmp_path}:{stranger.environ['PATH']}"
    lines = lines_of(kind)
    assert lines.startswith("kgym plugins new")
    done = stranger._run(["bash", "-ec", lines], None, 600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


# --- installed


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A virtual environment with a generated package of each kind."""
    stranger = Stranger(tmp_path_factory.mktemp("packages"))
    for flag in KINDS:
        done = stranger.kgym("plugins", "new", f"new-{flag}", f"--{flag}")
        assert done.returncode == 0, done.stderr
    stranger.pip(*(stranger.folder / f"new-{flag}" for flag in KINDS))
    return stranger


@pytest.mark.slow
@pytest.mark.parametrize("flag", KINDS)
def test_a_generated_package_passes_its_own_tests_and_linters(packages, flag):
    folder = packages.folder / f"new-{flag}"
    assert tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["mypy"]["strict"] is True
    ruff = Path(importlib.util.find_spec("ruff").origin).parents[4] / "bin" / "ruff"
    for command in (["check"], ["format", "--check"]):
        done = packages._run([ruff, *command, "--no-cache", "."], folder, 60)
        assert done.returncode == 0, done.stdout
    tested = packages.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", cwd=folder, timeout=600)
    assert tested.returncode == 0, tested.stdout[-3000:]
    typed = packages._run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--python-executable",
            packages.executable,
            "--cache-dir",
            packages.folder / "mypy",
        ],
        folder,
        600,
    )
    assert typed.returncode == 0, typed.stdout[-3000:]


@pytest.mark.slow
def test_generated_packages_are_found_and_healthy(packages):
    listed = json.loads(packages.kgym("plugins", "list", "--json").stdout)["components"]
    found = {(item["kind"], item["name"]) for item in listed if item["distribution"].startswith("new-")}
    assert found == {(about.kind, f"new_{flag}") for flag, about in KINDS.items()}
    assert packages.kgym("plugins", "doctor").returncode == 0
