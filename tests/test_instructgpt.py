"""The recipe of InstructGPT, small: every step runs, one that was interrupted goes on, and a second call does
nothing again.
"""

import importlib.util
import json
from pathlib import Path

import pytest

RECIPE = Path(__file__).parent.parent / "recipes/instructgpt.py"


@pytest.fixture
def recipe():
    spec = importlib.util.spec_from_file_location("instructgpt_recipe", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_recipe_goes_from_demonstrations_to_a_rewarded_policy(recipe, tmp_path, capsys):
    out = tmp_path / "with blank"
    assert recipe.main(["--out", str(out), "--size", "tiny"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[2] for line in said.splitlines() if line.startswith("$ kgym")] == [
        "sft",
        "eval",
        "rm",
        "train",
        "eval",
        "eval",
    ]
    (metrics,) = map(json.loads, (out / "ppo/metrics.jsonl").read_text().splitlines())
    assert 0 < metrics["reward/mean"] < 1  # a probability, and not the environment's 0 or 1
    assert metrics["ptx/loss_nats"] > 0
    assert metrics["critic/loss"] >= 0
    manifest = json.loads((out / "ppo/manifest.json").read_text())
    assert manifest["env"]["verifier"] == "reward_model"
    assert json.loads((out / "after/manifest.json").read_text())["request"]["verifier"] == "integer"
    (out / "ppo/summary.json").unlink()
    assert recipe.main(["--out", str(out), "--size", "tiny"]) == 0
    again = capsys.readouterr().out
    assert again.count("$ kgym") == 1
    assert "--resume" in again
