"""The recipe of two reward models in the loop: every step runs, and what was done is not done again."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from kgym.runs.metrics import read_metrics

RECIPE = Path(__file__).parent.parent / "recipes/judges.py"


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("judges_recipe", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lessons_are_half_right_and_end_in_the_verdict_of_the_rule(recipe, tmp_path):
    samples = tmp_path / "samples" / "samples"
    samples.mkdir(parents=True)
    rows = [("correct", "7"), ("correct", "7"), ("wrong", "8"), ("no_answer", None), ("wrong", "9")]
    table = [
        {"gold": "7", "text": f"\\boxed{{{answer}}}", "answer": answer, "status": status, "truncated": False}
        for status, answer in rows
    ]
    pd.DataFrame([*table, table[0] | {"truncated": True}]).to_parquet(samples / "part-00000.parquet")
    recipe.lessons(tmp_path / "samples", tmp_path / "lessons.jsonl", seed=0)
    found = pd.read_json(tmp_path / "lessons.jsonl", lines=True, dtype=False)
    assert len(found) == 4
    right = found["solution"].str.endswith('{"verdict": "correct"}')
    assert right.sum() == 2
    assert (found.loc[right, "question"] == "7|\\boxed{7}").all()
    assert set(found.loc[~right, "solution"].str.split().str[0]) <= {"8", "9", "none"}


@pytest.mark.slow
def test_the_recipe_trains_on_each_reward_and_audits_the_models(recipe, tmp_path, capsys):
    out = tmp_path / "out"
    assert recipe.main(["--out", str(out), "--size", "tiny"]) == 0
    said = capsys.readouterr().out
    given = [line.split()[2] for line in said.splitlines() if line.startswith("$ kgym")]
    assert given == ["eval", "rm", "sft", "eval", "train", "eval", "train", "eval", "train", "eval"]
    (line,) = read_metrics(out / "by-rm/metrics.jsonl")
    assert line["audit/completions"] > 0
    assert "audit/completions" not in read_metrics(out / "rule/metrics.jsonl")[0]
    assert recipe.main(["--out", str(out), "--size", "tiny"]) == 0
    assert "$ kgym" not in capsys.readouterr().out
