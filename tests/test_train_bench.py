"""`kgym train --bench`: benchmarks in the middle of training, by the harness of `kgym eval`."""

import json
import sys

import pytest

from kgym.cli.main import main
from kgym.registry import configure
from kgym.runs.metrics import read_metrics

PLUGIN = """
from kgym.hookspecs import BenchmarkInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components():
    yield BenchmarkInfo(name="few", env="aime", split="validation", problems=6, samples=2)
"""
SMALL = [
    "rollout.problems_per_step=2",
    "rollout.group_size=2",
    "env.max_tokens=48",
    "eval.problems=4",
    "train.threads=1",
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kgymfile.py").write_text(PLUGIN)
    yield tmp_path
    sys.modules.pop("kgymfile", None)
    monkeypatch.undo()
    configure()


def train(*more):
    settings = [part for setting in SMALL for part in ("--set", setting)]
    return main(["train", "--run", "run", *settings, *more, "--json"])


def test_a_benchmark_in_training_scores_as_kgym_eval_does(place, capsys):
    assert train("--steps", "1", "--eval-every", "1", "--bench", "few", "--tracker", "jsonl") == 0
    lines = read_metrics(place / "run" / "metrics.jsonl")
    assert [line["step"] for line in lines if "bench/few/accuracy" in line] == [0, 1]
    seen = [json.loads(line) for line in (place / "metrics-of-all-runs.jsonl").read_text().splitlines()]
    assert [line["bench/few/accuracy"] for line in seen] == [line["bench/few/accuracy"] for line in lines]
    kept = json.loads((place / "run" / "eval" / "few" / "step-00001.json").read_text())
    assert (kept["n_problems"], kept["samples"]) == (6, 2)
    capsys.readouterr()
    assert main(["eval", "--model", "run", "--bench", "few", "--max-tokens", "48", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert lines[1]["bench/few/tokens_mean"] == scored["tokens_mean"]
    assert {key: scored[key] for key in ("scores", "comparability")} == {
        key: kept[key] for key in ("scores", "comparability")
    }


def test_a_benchmark_in_training_is_drawn_as_validation_is(place, capsys):
    own = ("--set", "eval.temperature=0", "--set", "eval.max_tokens=40")
    assert train("--steps", "1", "--eval-every", "1", "--bench", "few", *own) == 0
    kept = json.loads((place / "run" / "eval" / "few" / "step-00001.json").read_text())
    assert (kept["facts"]["temperature"], kept["facts"]["max_tokens"]) == (0.0, 40)
    capsys.readouterr()
    assert main(["eval", "--model", "run", "--bench", "few", "--temperature", "0", "--max-tokens", "40", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert {key: scored[key] for key in ("scores", "comparability")} == {
        key: kept[key] for key in ("scores", "comparability")
    }


def test_a_benchmark_that_does_not_exist_is_refused_before_anything_is_written(place, capsys):
    assert train("--steps", "1", "--bench", "fewer") == 2
    assert "did you mean 'few'" in capsys.readouterr().err
    assert not (place / "run").exists()
