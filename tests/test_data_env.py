"""The environment `data`: any added data set to train on and to score, in two parts that share nothing."""

import json

import gymnasium
import pytest

import kgym  # noqa: F401  (registers the environments)
from kgym.cli.main import main
from kgym.errors import DataError, MissingData, UnknownName
from kgym.testing.envs import check_environment
from kgym_envs.data import Data, DataOptions


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Add a data set `mine` of so many sums."""
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "added"))

    def run(n):
        rows = [{"problem": f"What is {k}+{k}?", "answer": str(2 * k)} for k in range(n)]
        (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert main(["data", "add", str(tmp_path / "mine.jsonl"), "--replace"]) == 0

    return run


def questions(split, **options):
    source = Data(DataOptions(dataset="mine", **options)).source(split)
    return [source[index].question for index in range(source.size)]


def test_two_parts_make_the_whole_and_share_nothing(add):
    add(500)
    train, validation = questions("train"), questions("validation")
    assert not set(train) & set(validation)
    assert len(set(train) | set(validation)) == len(train) + len(validation) == 500
    assert 70 <= len(validation) <= 130
    assert len(questions("validation", validation_frac=1)) == len(questions("train", validation_frac=0)) == 500
    assert set(validation) < set(questions("validation", validation_frac=0.5))


def test_a_set_that_grows_moves_no_problem(add):
    add(100)
    before = {split: questions(split) for split in Data.splits}
    add(200)
    assert all(questions(split)[: len(before[split])] == before[split] for split in Data.splits)


def test_it_keeps_the_contract(add):
    add(300)
    check_environment("data", options={"dataset": "mine"})
    env = gymnasium.make("kgym/data-v0", dataset="mine", split="validation", validation_frac=1)
    env.reset(options={"index": 21})
    assert env.step(r"\boxed{42}")[1] == 1.0


def test_fingerprints_tell_parts_and_sets_apart(add):
    add(100)
    parts = [("train", 0.2), ("validation", 0.2), ("train", 0), ("validation", 0.5)]
    prints = [
        Data(DataOptions(dataset="mine", validation_frac=share)).source(split).fingerprint for split, share in parts
    ]
    assert len(set(prints)) == 4


@pytest.mark.parametrize(
    ("options", "split", "error", "message"),
    [
        ({}, "train", MissingData, "kgym data list"),
        ({"dataset": "other"}, "train", MissingData, "kgym data add other FILE"),
        (
            {"dataset": "mine", "validation_frac": 1},
            "train",
            DataError,
            "no problem of 'mine' is for train with validation_frac=1, of 10 in all",
        ),
        ({"dataset": "mine"}, "tran", UnknownName, "did you mean 'train'"),
    ],
)
def test_what_cannot_be(add, options, split, error, message):
    add(10)
    with pytest.raises(error, match=message):
        Data(DataOptions(**options)).source(split)


def test_a_small_set_is_trained_on_and_validated_whole(add, tmp_path, capsys):
    add(60)
    settings = [
        "env.dataset=mine",
        "train.threads=1",
        "rollout.problems_per_step=2",
        "rollout.group_size=2",
        "env.max_tokens=16",
    ]
    assert (
        main(
            [
                "train",
                "--env",
                "data",
                "--steps",
                "1",
                "--run",
                str(tmp_path / "run"),
                *(f for s in settings for f in ("--set", s)),
            ]
        )
        == 0
    )
    assert "--bench data:validation --set env.dataset=mine env.max_tokens=16 --board" in capsys.readouterr().out
    validation = json.loads((tmp_path / "run" / "eval" / "step-00000.json").read_text())
    assert validation["n_problems"] == len(questions("validation")) < 60


def test_without_a_name_the_command_says_what_to_do(add, capsys):
    assert main(["train", "--env", "data"]) == 2
    err = capsys.readouterr().err
    assert "env.dataset=NAME" in err
    assert len(err.splitlines()) == 1
