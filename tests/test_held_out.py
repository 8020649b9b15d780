"""A policy is not scored on the problems that it is trained on."""

import json

import pytest

from kgym.cli.main import main
from kgym.config import load_config
from kgym.errors import ConfigError
from kgym.train.held_out import check_held_out

QUICK = ["rollout.problems_per_step=2", "rollout.group_size=2", "env.max_tokens=8", "train.threads=1", "train.eval_problems=3"]


def train(tmp_path, *settings, bench=(), env="arithmetic"):
    arguments = [part for setting in (*QUICK, *settings) for part in ("--set", setting)]
    arguments += [part for name in bench for part in ("--bench", name)]
    return main(["train", "--env", env, "--run", str(tmp_path / "run"), "--steps", "1", *arguments])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["env.split=validation"], "env.split=validation and train.eval_split=validation are the same problems"),
        (["env.split=validation", "train.eval_every=0"], "are the same problems"),
        (["train.eval_split=train"], "env.split=train and train.eval_split=train are the same problems"),
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
    assert train(tmp_path, "env.dataset=mine", "train.eval_every=0", bench=[bench], env="data") == status
    found = capsys.readouterr().err
    assert status == 0 or "--bench data:train has the problems that the policy is trained on (env.split=train)" in found


class Source:
    """A source of which only the fingerprint is asked."""

    def __init__(self, fingerprint):
        self.fingerprint = fingerprint


def test_the_same_problems_under_another_split_are_found():
    config = load_config(None, ['train.benches=["aime24"]'])
    other = Source("other")
    check_held_out(config, Source("mine"), other, {"aime24": other})
    check_held_out(config, Source("mine"), None, {"aime24": other})
    with pytest.raises(ConfigError, match="are the same problems"):
        check_held_out(config, Source("mine"), Source("mine"), {"aime24": other})
    with pytest.raises(ConfigError, match="--bench aime24 has the problems"):
        check_held_out(config, Source("mine"), other, {"aime24": Source("mine")})
    with pytest.raises(ConfigError, match="--bench aime24 has the problems"):
        check_held_out(load_config(None, ['train.benches=["aime24"]', "env.split=2024"]), Source("mine"), other, {"aime24": other})
