"""The example packages: they are what the generator writes, and, built and installed, they work and change no other
run.
"""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from kgym.cli.newplugin import package
from strangers import Stranger

EXAMPLES = Path(__file__).parent.parent / "examples"
PACKAGES = {"kgym-letters": "env", "kgym-same-text": "verifier", "kgym-median": "algo"}
SMALL = ["rollout.problems_per_step=4", "rollout.group_size=4", "eval.problems=4"]
TIMES = ("time/", "speed/", "memory/", "rollout/wait_s")


@pytest.mark.parametrize(("name", "flag"), PACKAGES.items())
def test_an_example_is_what_kgym_plugins_new_writes(name, flag, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, text in package(name, flag).items():
        assert (EXAMPLES / name / path).read_text() == text, path


def trained(stranger, run, *arguments):
    """Train two steps; return the metrics without times, and the hash of the weights."""
    done = stranger.kgym("train", "--steps", "2", "--seed", "5", "--run", run, "--set", *SMALL, *arguments)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    metrics = [{key: value for key, value in line.items() if not key.startswith(TIMES)} for line in lines]
    (weights,) = run.glob("checkpoints/step-2/*.safetensors")
    return metrics, hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.mark.slow
def test_the_packages_are_built_installed_and_run_and_change_no_other_run(tmp_path):
    stranger = Stranger(tmp_path)
    before = trained(stranger, tmp_path / "before")
    names = [*PACKAGES, "kgym-hello"]
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "-w",
        tmp_path / "wheels",
    ]
    built = stranger._run([*build, *(EXAMPLES / name for name in names)], None, 240)
    assert built.returncode == 0, built.stderr
    wheels = sorted((tmp_path / "wheels").glob("*.whl"))
    assert len(wheels) == len(names)
    stranger.pip(*wheels)
    listed = json.loads(stranger.kgym("plugins", "list", "--json").stdout)["components"]
    assert {item["distribution"] for item in listed} == {"kgym", *names}

    after = trained(stranger, tmp_path / "after")
    assert any(line.get("group/informative_frac") for line in before[0])  # the policy had something to learn
    assert after[0] == before[0]
    assert after[1] == before[1]

    metrics, weights = trained(stranger, tmp_path / "third", "--env", "letters", "--algo", "median")
    assert [line["step"] for line in metrics][-2:] == [1, 2]
    assert weights != before[1]
    manifest = json.loads((tmp_path / "third" / "manifest.json").read_text())
    assert {"kgym-letters", "kgym-median"} <= {item["name"] for item in manifest["plugins"]}
    (tmp_path / "answers.jsonl").write_text('{"gold": "New York", "response": "\\\\boxed{new york}"}\n')
    judged = stranger.kgym("verify", tmp_path / "answers.jsonl", "--verifier", "same_text")
    assert json.loads(judged.stdout)["status"] == "correct", judged.stderr
