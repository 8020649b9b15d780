"""`kgym doctor`: one screen about an installation."""

import json

import pytest

from kgym.cli.main import main
from kgym.registry import configure


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    yield tmp_path
    configure([])


def test_it_describes_the_installation_on_one_screen(folder, capsys):
    (folder / "data" / "aime24.parquet").touch()
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    found = {line.split()[0]: line for line in lines}
    assert {"versions", "system", "devices", "engines", "plugins", "data", "sandbox"} <= found.keys()
    assert "kgym " in found["versions"]
    assert "torch " in found["versions"]
    assert "aime24" in found["data"]
    assert lines[-1] == "all is well"


def test_it_names_a_broken_plugin_and_fails(folder, capsys):
    (folder / "kgymfile.py").write_text("raise RuntimeError('no engine today')\n")
    assert main(["doctor"]) == 1
    assert "plugin 'kgymfile' is broken: RuntimeError: no engine today" in capsys.readouterr().out


def test_json_has_what_the_screen_has(folder, capsys):
    (folder / "kgymfile.py").write_text(
        "from kgym.hookspecs import VerifierInfo, hookimpl\nkgym_api = 1\nprint('hello')\n"
        "@hookimpl(optionalhook=True)\ndef kgym_components():\n    yield VerifierInfo('v', 'kgymfile:V')\nclass V: "
        "pass\n"
    )
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["system"]["cores"] >= 1
    assert 0 < report["system"]["free_gib"] <= report["system"]["memory_gib"]
    assert report["plugins"]["printed"] == {"'kgymfile'": "hello\n"}
    assert {"name": "transformers", "kind": "engine", "lacks": ""} in report["plugins"]["lacking"]
    assert report["data"]["added"] == []
    assert "aime24" in report["data"]["absent"]
    assert isinstance(report["sandbox"], str)
