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

HERE = Path(__file__).parent / "verifiers"
PYTHON = os.environ.get("KGYM_VERIFIERS_PYTHON", "")
needs_verifiers = pytest.mark.skipif(not PYTHON, reason="KGYM_VERIFIERS_PYTHON names no interpreter that has verifiers")


def run(folder, *command):
    """Run Python there with the environment package on its path, as an installed one is."""
    shutil.copy(HERE / "toy_sums.py", folder)
    environment = os.environ | {
        "PYTHONPATH": str(folder),
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
    assert "toy-sums' is a ToolEnv, which replies to the policy" in found["tools"]
    assert "Could not import 'none-such'" in found["unknown"]
    assert "unexpected keyword argument 'nope'" in found["argument"]


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
