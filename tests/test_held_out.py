"""A policy is not scored on the problems that it is trained on."""

import json

import pytest

from kgym.cli.main import main
from kgym.envs.mixture import members
from kgym.errors import ConfigError
from kgym.keys import load_config
from kgym.train.rl.held_out import check_held_out
from kgym.types import Problem

QUICK = [
    "rollout.problems_per_step=2",
    "rollout.group_size=2",
    "env.max_tokens=8",
    "train.threads=1",
    "eval.problems=3",
]


def train(tmp_path, *settings, bench=(), env="arithmetic"):
    arguments = [part for setting in (*QUICK, *settings) for part in ("--set", setting)]
    arguments += [part for name in bench for part in ("--bench", name)]
    return main(["train", "--env", env, "--run", str(tmp_path / "run"), "--steps", "1", *arguments])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["env.split=validation"], "env.split=validation and eval.split=validation are the same problems"),
        (["env.split=validation", "eval.every=0"], "are the same problems"),
        (["eval.split=train"], "env.split=train and eval.split=train are the same problems"),
    ],
)
def test_training_problems_are_no_validation_problems(tmp_path, capsys, settings, message):
    assert train(tmp_path, *settings) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("bench", "status"), [("data:train", 2), ("data:validation", 0)])
def test_training_problems_are_no_benchmark(tmp_path, monkeypatch, capsys, bench, status):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    rows = tmp_path / "mine.jsonl"
    rows.write_text("".join(json.dumps({"question": f"{n} + 1?", "answer": str(n + 1)}) + "\n" for n in range(20)))
    assert main(["data", "add", "mine", str(rows)]) == 0
    assert train(tmp_path, "env.dataset=mine", "eval.every=0", bench=[bench], env="data") == status
    found = capsys.readouterr().err
    assert status == 0 or "--bench data:train has the problems that the policy is trained on (env.split=train)" in found


class Source:
    """A source of which only the fingerprint and the questions are asked; endless without questions."""

    def __init__(self, fingerprint, questions=()):
        self.fingerprint, self.questions = fingerprint, questions

    @property
    def size(self):
        return len(self.questions) or None

    def __getitem__(self, index):
        return Problem(id=f"{self.fingerprint}/{index}", question=self.questions[index], gold="1")


def check(trained, validation, benches=(), settings=()):
    config = load_config(None, settings)
    check_held_out(config, members(config), trained, validation, dict(benches))


def test_the_same_problems_under_another_split_are_found():
    bench = ['eval.benches=["aime24"]']
    mine, other = Source("mine"), Source("other")
    check({"": mine}, {"": other}, {"aime24": other}, bench)
    check({"": mine}, {}, {"aime24": other}, bench)
    with pytest.raises(ConfigError, match="are the same problems"):
        check({"": mine}, {"": mine}, {"aime24": other}, bench)
    with pytest.raises(ConfigError, match="--bench aime24 has the problems"):
        check({"": mine}, {"": other}, {"aime24": mine}, bench)
    with pytest.raises(ConfigError, match="--bench aime24 has the problems"):
        check({"": mine}, {"": other}, {"aime24": other}, [*bench, "env.split=2024"])


TWO = ("envs.a.name=arithmetic", "envs.b.name=gsm8k")


@pytest.mark.parametrize(
    "shared", [{"fingerprint": "a/train"}, {"fingerprint": "other", "questions": ("What is 1+1?", "What is 2+2? ")}]
)
def test_no_environment_is_validated_on_what_another_one_trains_on(shared):
    trained = {"a": Source("a/train", ("What is 2+2?",)), "b": Source("b/train")}
    check(
        trained,
        {"a": Source("a/validation", ("What is 3+3?",)), "b": Source("b/validation", ("What is 4+4?",))},
        settings=TWO,
    )
    with pytest.raises(ConfigError, match=r"envs\.a\.split=train has problems of the split 'validation' of envs\.b"):
        check(trained, {"a": Source("a/validation"), "b": Source(**shared)}, settings=TWO)


def test_two_labels_of_one_environment_are_a_pair_too():
    settings = ("envs.a.name=arithmetic", "envs.b.name=arithmetic", "envs.b.split=validation")
    with pytest.raises(
        ConfigError, match=r"envs\.b\.split=validation has problems of the split 'validation' of envs\.a"
    ):
        check({"a": Source("1"), "b": Source("2")}, {"a": Source("3"), "b": Source("4")}, settings=settings)


def test_a_benchmark_has_no_problems_of_any_environment():
    benches = {"gsm8k-test": Source("x")}
    settings = (*TWO, 'eval.benches=["gsm8k:test"]')
    check({"a": Source("1"), "b": Source("2")}, {}, benches, settings)
    with pytest.raises(ConfigError, match=r"--bench gsm8k:test has the problems .*envs\.b\.split=train"):
        check({"a": Source("1"), "b": Source("x")}, {}, benches, settings)
