"""Observers see and change nothing: one that does its worst to all that it is given leaves every number of a run as
it is.
"""

import json
import random
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from kgym.cli.main import main
from kgym.hookspecs import hookimpl
from kgym.keys import load_config
from kgym.observers import copied, same_random_state
from kgym.registry import configure
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.train.trackers import Trackers
from kgym.types import Episode, Group, Message, Problem, Segment, Verdict

SMALL = {
    "rollout.problems_per_step": 3,
    "rollout.group_size": 4,
    "env.max_tokens": 48,
    "train.lr": 1e-3,
    "eval.every": 1,
    "eval.problems": 4,
    "train.save_every": 1,
    "train.threads": 1,
}


class Nasty:
    """Writes into everything that it is given, deletes what can be deleted, uses up the random state and ends some
    hooks with an exit.
    """

    kgym_api = 1

    def __init__(self):
        self.seen = set()

    @hookimpl
    def kgym_run_started(self, run, config):
        self.seen.add("kgym_run_started")
        config["train"]["lr"] = 7.0
        config.clear()
        self.draw()
        sys.exit(3)

    @hookimpl
    def kgym_rollouts_finished(self, run, step, groups):
        self.seen.add("kgym_rollouts_finished")
        for group in groups:
            group.episodes.sort(key=lambda episode: len(episode.text))
            group.rewards[:] = [7.0, *group.rewards[:0:-1]]
            for episode in group.episodes:
                for name in ("token_ids", "engine_logprobs", "prompt_ids"):
                    with pytest.raises(AttributeError):
                        setattr(episode.segments[0], name, ())
                    with pytest.raises(AttributeError):
                        delattr(episode.segments[0], name)
                episode.pieces.append(Segment("more", token_ids=[1], engine_logprobs=[0.0]))
                episode.trainable = not episode.trainable
                episode.truncated = True
                episode.reward = -1.0
                episode.verdict = Verdict("wrong")
                episode.problem = Problem("other", "", "")
            group.episodes.pop()
            group.problem = Problem("other", "", "")
        groups.reverse()
        groups.pop()
        self.draw()

    @hookimpl
    def kgym_step_finished(self, run, step, metrics):
        self.seen.add("kgym_step_finished")
        metrics.clear()
        metrics["optim/grad_norm"] = "a lot"

    @hookimpl
    def kgym_checkpoint_saved(self, run, step, folder):
        self.seen.add("kgym_checkpoint_saved")
        self.draw()

    @hookimpl
    def kgym_eval_finished(self, run, step, results):
        self.seen.add("kgym_eval_finished")
        results["scores"].clear()
        results["facts"]["split"] = "test"
        results["accuracy"] = 1.0

    @hookimpl
    def kgym_run_finished(self, run, summary):
        self.seen.add("kgym_run_finished")
        summary.clear()
        summary["gain"] = 1.0

    def draw(self):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        torch.rand(3)


def played(run, capsys, *more):
    """Train; return everything that came of it but for the clock."""
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    try:
        assert main(["train", "--algo", "grpo", "--steps", "2", "--run", str(run), "--json", *settings, *more]) == 0
    finally:
        configure()
    lines = [
        {key: value for key, value in line.items() if not key.startswith(CLOCK)}
        for line in read_metrics(run / "metrics.jsonl")
    ]
    results = {path.name: path.read_text() for path in sorted((run / "eval").glob("*.json"))}
    said = json.loads(capsys.readouterr().out)
    kept = json.loads((run / "summary.json").read_text())
    weights = (run / "checkpoints" / "step-2" / "model.safetensors").read_bytes()
    assert said == kept
    return lines, results, {**said, "run": "", "checkpoint": ""}, weights


def test_the_worst_observer_changes_no_bit_of_a_run(tmp_path, capsys, monkeypatch):
    straight = played(tmp_path / "straight", capsys)
    nasty = Nasty()
    module = ModuleType("nasty_observer")
    module.plugin = nasty
    monkeypatch.setitem(sys.modules, "nasty_observer", module)
    beside = played(tmp_path / "beside", capsys, "-p", "nasty_observer:plugin")
    assert nasty.seen == {
        f"kgym_{what}"
        for what in (
            "run_started",
            "rollouts_finished",
            "step_finished",
            "checkpoint_saved",
            "eval_finished",
            "run_finished",
        )
    }
    assert beside == straight


def test_each_observer_has_copies_of_its_own_and_the_ids_are_shared():
    episode = Episode(
        Problem("a", "1+1?", "2"), 0, (Message("user", "1+1?"),), [Segment("2", token_ids=[5], engine_logprobs=[-1.0])]
    )
    given = [Group(episode.problem, [episode], [1.0])]
    one, other = copied(given), copied(given)
    one[0].episodes[0].pieces.clear()
    one[0].rewards.append(2.0)
    one.clear()
    assert given == other == [Group(episode.problem, [episode], [1.0])]
    assert other[0].episodes[0].segments[0] is episode.segments[0]  # no array of tokens is copied


def test_the_random_state_of_the_process_is_put_back():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    with same_random_state():
        Nasty().draw()
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_a_tracker_that_writes_into_what_it_is_given_changes_nothing_either(tmp_path):
    class Clearing:
        def log(self, step, metrics):
            metrics.clear()

    trackers = Trackers(load_config(None, []), tmp_path, note=print)
    trackers.trackers = {"one": Clearing(), "other": Clearing()}
    metrics = {"reward/mean": 0.5}
    trackers.log(1, metrics)
    assert metrics == {"reward/mean": 0.5}
    assert trackers.failures == {}
