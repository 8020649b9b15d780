"""Plugins from files, in this process and in the workers, and what plugins print."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from kgym.errors import ConfigError
from kgym.loading import descriptor_to_stderr, prints_to_stderr
from kgym.registry import Registry

PLUGIN = """
from kgym.hookspecs import ShaperInfo, VerifierInfo, hookimpl
from kgym.types import Verdict

kgym_api = 1
print("loud at import")

@hookimpl
def kgym_components():
    print("loud at registration")
    yield VerifierInfo("same", "{stem}:Same", "the very same text")
    yield ShaperInfo("half", f"{{__name__}}:Half")

class Same:
    def __init__(self, options):
        print("loud at construction")

    def verify_many(self, items):
        print("loud at work")
        return [Verdict("correct" if item.gold == item.response else "wrong") for item in items]

class Half:
    def __init__(self, options): pass
    def __call__(self, group, rewards, step): return [reward / 2 for reward in rewards]
"""


@pytest.fixture
def obs(tmp_path):
    """A plugin that is a file, beside another one of the same name."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "obs.py").write_text(PLUGIN.format(stem="obs"))
    return tmp_path / "one" / "obs.py"


def kgym(*arguments, cwd, stdin=None):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KGYM_")} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "kgym", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd, env=clean, input=stdin
    )


def loaded(*plugins, folder):
    return Registry(plugins, candidates=[], environ={}, folder=folder)


def test_a_file_is_loaded_by_any_path(obs, tmp_path, monkeypatch):
    monkeypatch.chdir(obs.parent)
    for path in ("obs.py", "./obs.py", "../one/obs.py", str(obs)):
        found = loaded(path, folder=tmp_path)
        assert [(record.name, record.module, record.status) for record in found.plugins()] == [("obs", str(obs), "ok")]
        assert found.create("shaper", "half")(None, [1.0], 1) == [0.5]
        assert (
            type(found.create("verifier", "same")).__name__ == "Same"
        )  # its target calls the module by the name of the file


def test_files_of_one_name_and_modules_that_are_installed_keep_apart(obs, tmp_path):
    (tmp_path / "json.py").write_text(PLUGIN.format(stem="json"))
    found = loaded(str(obs), str(tmp_path / "two" / "obs.py"), str(tmp_path / "json.py"), folder=tmp_path)
    assert [record.status for record in found.plugins()] == ["ok"] * 3
    assert len({info.target for info, _ in found.offers("verifier")}) == 3
    assert sys.modules["json"].loads("1") == 1


def test_a_path_without_a_file_is_refused_with_what_to_do(tmp_path, monkeypatch, obs):
    monkeypatch.chdir(obs.parent)
    with pytest.raises(ConfigError, match=r"gone\.py: the file does not exist; name a Python file"):
        loaded("gone.py", folder=tmp_path)
    with pytest.raises(ConfigError, match=r"write -p \./obs\.py to load the file obs\.py"):
        loaded("obs", folder=tmp_path)


def test_a_verifier_in_a_file_judges_in_worker_processes_and_prints_stay_out_of_the_results(obs, tmp_path):
    line = json.dumps({"gold": "7", "response": "7"})
    done = kgym("-p", "one/obs.py", "verify", "-", "--verifier", "same", "--json", cwd=tmp_path, stdin=line + "\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["status"] == "correct"
    assert "loud" not in done.stdout
    for what in ("import", "registration", "construction", "work"):
        assert f"loud at {what}" in done.stderr


def test_a_child_process_elsewhere_loads_the_same_file(obs, tmp_path):
    code = (
        "import subprocess, sys, kgym.registry as r; r.configure(['one/obs.py']);"
        "subprocess.run([sys.executable, '-c', 'import kgym.registry as r; print(r.registry().info(\"shaper\", "
        "\"half\").name)'], cwd='/')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert (done.stdout, done.returncode) == ("half\n", 0), done.stderr


def test_doctor_says_who_prints(obs, tmp_path):
    done = kgym("-p", str(obs), "plugins", "doctor", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["printed"] == {"'obs'": "loud at import\nloud at registration\n"}
    assert (
        "prints: plugin 'obs' writes to standard output"
        in kgym("-p", str(obs), "plugins", "doctor", cwd=tmp_path).stdout
    )


def test_what_goes_around_python_goes_to_standard_error_too(tmp_path):
    (tmp_path / "low.py").write_text("import os\nkgym_api = 1\nos.write(1, b'low\\n')\nos.system('echo child')\n")
    done = kgym("-p", "low.py", "plugins", "list", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["plugins"][-1]["name"] == "low"
    assert done.stderr == "low\nchild\n"


def test_only_the_thread_that_runs_a_plugin_is_sent_elsewhere(capsys):
    import threading

    with prints_to_stderr() as outer:
        print("mine")
        other = threading.Thread(target=print, args=("of another thread",))
        other.start()
        other.join()
        with prints_to_stderr() as inner:
            print("deeper")
        print("mine again")
    print("after")
    assert ("".join(outer), "".join(inner)) == ("mine\nmine again\n", "deeper\n")
    assert capsys.readouterr() == ("of another thread\nafter\n", "mine\ndeeper\nmine again\n")


def test_descriptors_come_back(capfd):
    with descriptor_to_stderr():
        os.write(1, b"inside")
    os.write(1, b"after")
    assert capfd.readouterr() == ("after", "inside")


def test_rows_of_a_clash_and_of_a_hidden_command_are_marked(tmp_path):
    (tmp_path / "clash.py").write_text(
        textwrap.dedent("""
        from kgym.hookspecs import CommandInfo, VerifierInfo, hookimpl
        kgym_api = 1
        @hookimpl
        def kgym_components():
            yield VerifierInfo("integer", "clash:X", "an intruder")
            yield CommandInfo("train", "clash:X", "an intruder")
        """)
    )
    listed = json.loads(kgym("-p", "clash.py", "plugins", "list", "--json", cwd=tmp_path).stdout)["components"]
    notes = {(item["kind"], item["name"], item["plugin"]): item.get("note") for item in listed}
    assert (
        notes["verifier", "integer", "kgym-verifiers"] == notes["verifier", "integer", "clash"] == "clash: -p no:clash"
    )
    assert notes["command", "train", "clash"] == "hidden: kgym has its own"
    assert notes["verifier", "math", "kgym-verifiers"] is None
    table = kgym("-p", "clash.py", "plugins", "list", "--kind", "verifier", cwd=tmp_path).stdout
    assert [line.split()[1] for line in table.splitlines() if "clash: -p no:clash" in line] == ["integer", "integer"]
