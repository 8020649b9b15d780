"""`kgym train --algo X` for every algorithm that comes with kgym, on the built-in model."""

import math

import pytest

from kgym.cli.main import main
from kgym.registry import registry
from kgym.runs.metrics import read_metrics

NAMES = [name for name in registry().infos("algorithm") if registry().provider("algorithm", name).origin == "kgym"]
SETTINGS = [
    *("--set", "rollout.problems_per_step=3", "--set", "rollout.group_size=4", "--set", "env.max_tokens=64"),
    *("--set", "eval.every=0", "--set", "train.threads=1"),
]


@pytest.mark.slow
@pytest.mark.parametrize("env", ["aime", "arithmetic"])
@pytest.mark.parametrize("name", NAMES)
def test_every_algorithm_trains(tmp_path, name, env):
    run = tmp_path / "run"
    assert main(["train", "--env", env, "--algo", name, "--run", str(run), "--steps", "2", "--seed", "1", *SETTINGS, "--json"]) == 0
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2]
    for line in lines:
        assert all(math.isfinite(value) for key, value in line.items() if key.startswith(("policy/", "optim/", "critic/"))), line
    if env == "aime":  # nano cannot do sums of three digits: on arithmetic it may have nothing to learn from
        assert any(line.get("optim/grad_norm", 0) > 0 for line in lines)
    assert (run / "checkpoints" / "step-2" / "model.safetensors").is_file()
