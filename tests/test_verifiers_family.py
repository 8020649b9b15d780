"""The family `verifiers` against the real package, with an environment package that is installed for the test.

They run in a separate Python, which `KGYM_VERIFIERS_PYTHON` names; `tests/verifiers/requirements.txt` says what it has.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError
from kgym.runs.episodes import read_episodes

HERE = Path(__file__).parent / "verifiers"
PYTHON = os.environ.get("KGYM_VERIFIERS_PYTHON", "")
needs_verifiers = pytest.mark.skipif(not PYTHON, reason="KGYM_VERIFIERS_PYTHON names no interpreter that has verifiers")


def run(folder, *command):
    """Run Python there with the environment package on its path, as an installed one is."""
    for package in ("toy_sums.py", "toy_turns.py"):
        shutil.copy(HERE / package, folder)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": "1",
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [PYTHON, *command], cwd=folder, capture_output=True, text=True, env=environment, timeout=600, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.mark.slow
@needs_verifiers
def test_rows_rubrics_and_refusals(tmp_path):
    found = json.loads(run(tmp_path, str(HERE / "checks.py")))
    assert found["id"] == "verifiers/toy-sums-v0"
    assert found["prompt"][0] == ["system", "Answer in <answer> tags."]
    assert [message[0] for message in found["prompt"]] == ["system", "user"]
    assert sum(found["sizes"]) == 40
    assert min(found["sizes"]) > 0
    assert found["own_sizes"] == [40, 7]
    assert found["verdicts"][0] == ["correct", None]
    assert found["verdicts"][1] == ["wrong", 0.2]  # the format, of weight 0.25 of 1.25
    assert [label for label, _ in found["verdicts"][2:]] == ["wrong", "no_answer", "no_answer"]
    assert found["broken"] == [["unscored:error:ConfigError", None]]  # verifiers itself would count 0
    assert found["hung"][0][0] in ("unscored:timeout", "unscored:cpu")
    assert "Could not import 'none-such'" in found["unknown"]
    assert "unexpected keyword argument 'nope'" in found["argument"]


@pytest.mark.slow
@needs_verifiers
def test_replies_tools_and_verdicts_of_episodes_with_turns(tmp_path):
    found = json.loads(run(tmp_path, str(HERE / "turns.py")))
    again = "Guess again."
    lower, higher = ["user", f"It is lower.\n{again}"], ["user", f"It is higher.\n{again}"]
    assert found["budgets"] == [4, 10]
    # found, of weight 1, and 1 over the number of turns, of weight 1
    assert found["guess"] == [[lower, higher], "terminated", ["wrong", "toy-turns", pytest.approx((1 + 1 / 3) / 2)]]
    assert found["at_once"]
    assert found["odd"][0] == [["user", "That is not a number."]]
    assert found["spent"] == [[higher] * 3, "terminated", ["wrong", "toy-turns", (0 + 1 / 4) / 2]]
    assert found["few"] == [[higher], "truncated", ["wrong", "turns", None]]
    (system, fenced), (described, question) = found["prompts"]
    assert (system, question) == (["system", "Be exact."], ["user", "What is 110 times 110?"])
    assert fenced[1].startswith("What is 110 times 110?\nYou may use tools.")
    assert "- square: Square a number." in fenced[1]
    assert described[1].startswith("Be exact.\n\n# Tools\n")
    assert '"name": "square", "description": "Square a number."' in described[1]
    assert found["tools"] == found["hermes"] == [[["tool", "12100"]], "terminated", ["correct", "toy-turns", None]]
    (first, second), end, verdict = found["bad_calls"]
    assert first[1].splitlines()[0] == "Error: there is no tool 'root'; the tools are square"
    assert first[1].splitlines()[1].startswith("Error: the call is not JSON: ")
    assert second == ["tool", "Error: square needs the argument 'x'"]
    assert (end, verdict) == ("terminated", ["wrong", "toy-turns", 0.0])
    assert found["fingerprints"] == 2  # how tools are called is part of what a score depends on
    assert found["broken"] == [[], "truncated", ["unscored:reply:KeyError", "reply:KeyError", None]]
    assert "does not give the same replies for the same turns" in found["random"]
    assert "the environment rewrites the conversation" in found["rewritten"]


@pytest.mark.slow
@needs_verifiers
@pytest.mark.parametrize("kind", ["guess", "tools"])
def test_the_commands_take_one_that_replies(tmp_path, kind):
    own = [f"env.args.kind={kind}", "verifier.limits.deadline_s=60", "verifier.limits.workers=1"]
    checked = run(tmp_path, "-m", "kgym", "envs", "check", "verifiers:toy-turns", "--problems", "5", "--set", *own)
    assert "checks passed" in checked
    small = ["rollout.problems_per_step=2", "rollout.group_size=2", "eval.problems=2", "env.max_tokens=64", *own]
    asked = ("--env", "verifiers:toy-turns", "--run", "run", "--steps", "1")
    run(tmp_path, "-m", "kgym", "train", *asked, "--set", *small)
    run(tmp_path, "-m", "kgym", "train", "--resume", "--run", "run", "--steps", "2")
    episodes = [
        episode for path in (tmp_path / "run" / "episodes").glob("*.parquet") for episode in read_episodes(path)
    ]
    assert len(episodes) == 8
    assert all(episode.verdict.scored for episode in episodes)


@pytest.mark.slow
@needs_verifiers
def test_the_commands_take_it(tmp_path):
    limits = ["verifier.limits.deadline_s=60", "verifier.limits.workers=1"]
    checked = run(tmp_path, "-m", "kgym", "envs", "check", "verifiers:toy-sums", "--problems", "5", "--set", *limits)
    assert "checks passed" in checked
    small = ["rollout.problems_per_step=2", "rollout.group_size=2", "eval.problems=2", "env.max_tokens=24", *limits]
    run(tmp_path, "-m", "kgym", "train", "--env", "verifiers:toy-sums", "--run", "run", "--steps", "1", "--set", *small)
    run(tmp_path, "-m", "kgym", "train", "--resume", "--run", "run", "--steps", "2")
    assert "verifiers/toy-sums-v0" in (tmp_path / "run" / "manifest.json").read_text()


def test_without_the_package_the_hint_names_it(monkeypatch):
    monkeypatch.setattr("kgym.registry.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs verifiers, which is not installed: pip install 'kgym\[verifiers\]'"):
        EnvSpec("verifiers:toy-sums").setup()
