"""How a policy is scored while it is trained: its own sampling and budget, and what older versions called the keys."""

import json
import shlex

import pytest

from kgym.cli.main import main
from kgym.config import RunConfig
from kgym.errors import UnknownName
from kgym.keys import load_config
from kgym.runs.metrics import read_metrics
from kgym.spelling import MOVED, older_spelling
from kgym.types import Sampling
from test_train import numbers

SMALL = (
    "rollout.problems_per_step=2",
    "rollout.group_size=4",
    "eval.problems=6",
    "train.threads=1",
    "train.save_every=1",
)
OWN = ("eval.temperature=0.5", "eval.top_p=0.9", "eval.top_k=7", "eval.max_tokens=60", "eval.samples=2")


def train(run, *settings, steps=1, more=()):
    return main(
        ["train", "--run", str(run), "--steps", str(steps), "--eval-every", "1", *more, "--set", *SMALL, *settings]
    )


def test_validation_draws_as_training_does_unless_it_is_told_otherwise():
    training = Sampling(temperature=0.8, stop=("STOP",), loop_tokens=64)
    assert RunConfig().eval.sampling(training) == training
    config = load_config(None, ["eval.temperature=0", "eval.top_p=0.95", "eval.top_k=20"])
    assert config.eval.sampling(training) == Sampling(0.0, 0.95, 20, ("STOP",), 64)
    assert config.rollout.sampling == Sampling()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run whose validation has a sampling and its own budget."""
    run = tmp_path_factory.mktemp("own") / "run"
    assert train(run, *OWN) == 0
    return run


def test_results_say_what_was_drawn_and_kgym_eval_gives_the_same(own, tmp_path, capsys):
    kept = json.loads((own / "eval" / "step-00001.json").read_text())
    drawn = {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "max_tokens": 60}
    assert {key: kept["facts"][key] for key in drawn} == drawn
    assert (kept["n_problems"], kept["samples"]) == (6, 2)
    assert json.loads((own / "summary.json").read_text())["sampling"] == {"temperature": 0.5, "top_p": 0.9, "top_k": 7}
    manifest = json.loads((own / "manifest.json").read_text())
    assert {key: manifest["validation"][key] for key in drawn} == drawn
    assert manifest["env"]["max_tokens"] == 160
    capsys.readouterr()
    scored = (
        "--temperature",
        "0.5",
        "--top-p",
        "0.9",
        "--top-k",
        "7",
        "--max-tokens",
        "60",
        "--samples",
        "2",
        "--problems",
        "6",
    )
    assert (
        main(
            ["eval", "--model", str(own), "--bench", "aime:validation", *scored, "--run", str(tmp_path / "e"), "--json"]
        )
        == 0
    )
    result = json.loads(capsys.readouterr().out)
    assert {key: result[key] for key in ("scores", "comparability")} == {
        key: kept[key] for key in ("scores", "comparability")
    }


def test_the_lines_say_it_and_propose_the_same(tmp_path, capsys):
    assert train(tmp_path / "run", *OWN) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        "validation  split validation, 6 problems, temperature 0.5, top-p 0.9, top-k 7, 60 tokens a completion" in lines
    )
    (command,) = [line.removeprefix("next").strip() for line in lines if line.startswith("next")]
    for option, value in (
        ("--temperature", "0.5"),
        ("--top-p", "0.9"),
        ("--top-k", "7"),
        ("--set", "env.max_tokens=60"),
    ):
        words = shlex.split(command)
        assert words[words.index(option) + 1] == value


def test_what_is_trained_does_not_depend_on_it(own, tmp_path):
    assert train(tmp_path / "run") == 0

    def trained(run):
        return [{key: value for key, value in line.items() if not key.startswith("eval/")} for line in numbers(run)]

    assert trained(own) == trained(tmp_path / "run")
    assert (
        read_metrics(own / "metrics.jsonl")[1]["eval/tokens_mean"]
        != read_metrics(tmp_path / "run" / "metrics.jsonl")[1]["eval/tokens_mean"]
    )


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_old_keys_are_refused_with_the_new_name(old, new):
    with pytest.raises(UnknownName, match=f"no key named '{old}'; that is '{new}' here"):
        load_config(None, [f"{old}=1"])


def test_an_older_configuration_is_read_under_the_new_names():
    values = {
        "train": {
            "eval_every": 2,
            "eval_split": "train",
            "eval_problems": 3,
            "eval_samples": 4,
            "benches": ["x"],
            "max_unscored_frac": 1.0,
        },
        "rollout": {"group_size": 4, "top_p": 1.0, "top_k": 0},
    }
    kept = json.dumps(values)
    config = RunConfig.model_validate(values)
    assert json.dumps(values) == kept  # what was given stays as it is
    found = config.eval
    assert (found.every, found.split, found.problems, found.samples, found.benches) == (2, "train", 3, 4, ("x",))
    assert (config.rollout.max_unscored_frac, config.rollout.group_size) == (1.0, 4)
    assert older_spelling(config.model_dump(mode="json")) == config.model_dump(mode="json")


def test_a_run_of_an_older_version_resumes_and_its_validations_are_compared(tmp_path):
    run, straight = tmp_path / "run", tmp_path / "straight"
    assert train(straight, steps=2) == 0
    assert train(run, steps=1) == 0
    manifest = json.loads((run / "manifest.json").read_text())
    config = manifest["config"]
    evals = config.pop("eval")
    for old, new in MOVED.items():
        section, key = new.split(".")
        config["train"][old.split(".")[1]] = evals[key] if section == "eval" else config["rollout"].pop(key)
    config["rollout"] = {key: value for key, value in config["rollout"].items() if key != "max_engine_gap_nats"} | {
        "top_p": 1.0,
        "top_k": 0,
    }
    for key in ("temperature", "top_p", "top_k", "stop"):  # older manifests had not how validations are drawn
        del manifest["validation"][key]
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert main(["train", "--run", str(run), "--resume", "--steps", "2"]) == 0
    assert numbers(run) == numbers(straight)
    summaries = [json.loads((path / "summary.json").read_text()) for path in (run, straight)]
    assert summaries[0]["gain"] == summaries[1]["gain"]
    assert summaries[0]["comparability"] == summaries[1]["comparability"]
