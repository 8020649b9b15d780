"""Runs of real commands whose environment replies: schedules, kill -9 with open episodes, engines elsewhere,
layouts, the recipe.
"""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from kgym.cli.main import main
from kgym.runs.episodes import read_episodes
from kgym.runs.metrics import read_metrics
from test_train import numbers

HERE = Path(__file__).parent
SETTINGS = [
    *("env.until=never", "env.max_tokens=200", "env.max_turns=3", "env.truncated=score", "verifier=even-length"),
    *("rollout.problems_per_step=3", "rollout.group_size=3", "train.save_every=1", "train.threads=1", "eval.every=0"),
]
PARTIAL = ["rollout.schedule=partial", "rollout.oversample=2", "rollout.step_tokens=400"]
PYTHON = os.environ.get("KGYM_VLLM_PYTHON", "")
needs_vllm = pytest.mark.skipif(not PYTHON, reason="KGYM_VLLM_PYTHON names no interpreter that has vLLM")
PLUGINS = ["-p", str(HERE / "echo_env.py"), "-p", str(HERE / "fixed_verdicts.py")]


def command(run, *more, steps=5, slow_s=-1.0):
    settings = [*SETTINGS, f"env.slow_s={slow_s}", *more]
    return [*PLUGINS, "train", "--env", "echo", "--run", str(run), "--steps", str(steps), "--json", "--set", *settings]


def trained(run, *more, **how):
    assert main(command(run, *more, **how)) == 0
    return run


def episodes(run):
    files = sorted((run / "episodes").glob("*.parquet"))
    return pd.concat([pd.read_parquet(path).assign(file=path.stem) for path in files], ignore_index=True)


def same(one, other):
    assert numbers(one) == numbers(other)
    pd.testing.assert_frame_equal(episodes(one).drop(columns="verify_s"), episodes(other).drop(columns="verify_s"))


@pytest.fixture(scope="module")
def sync(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("sync") / "run", steps=2)


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("partial") / "run", *PARTIAL)


def test_turns_are_counted_trained_on_and_stored(sync):
    for line in read_metrics(sync / "metrics.jsonl"):
        assert line["episode/turns_mean"] > 1.5
        assert line["episode/replies_failed_frac"] == 0
        assert line["episode/reply_tokens_mean"] > 10
        assert line["optim/grad_norm"] > 0
        assert line["policy/engine_gap_nats"] < 1e-4, "the trainer computes what the engine sampled, replies in between"
    stored = [episode for path in sorted((sync / "episodes").glob("*.parquet")) for episode in read_episodes(path)]
    assert all(len(episode.token_mask) == len(episode.token_ids) for episode in stored)
    assert any(episode.n_turns == 3 for episode in stored)


@pytest.mark.slow
def test_partial_without_a_budget_is_sync_to_the_last_bit(sync, tmp_path):
    same(trained(tmp_path / "run", "rollout.schedule=partial", steps=2), sync)


@pytest.mark.slow
def test_ahead_without_a_lag_is_sync_to_the_last_bit(sync, tmp_path):
    """The engine runs in its own process, and renders replies there."""
    same(trained(tmp_path / "run", "rollout.schedule=ahead", "rollout.max_lag=0", steps=2), sync)


@pytest.mark.slow
def test_ray_is_sync_to_the_last_bit(sync, tmp_path):
    pytest.importorskip("ray")
    same(trained(tmp_path / "run", "engine=ray", "engine.replicas=1", steps=2), sync)


@pytest.mark.slow
@needs_vllm
def test_vllm_samples_turns_that_the_trainer_computes_alike(sync, tmp_path, capsys):
    """With `capsys`, so `sys.stderr` has no descriptor, as in some notebooks."""
    run = trained(tmp_path / "run", "engine=vllm", f"engine.python={PYTHON}", steps=2)
    for line in read_metrics(run / "metrics.jsonl"):
        assert line["episode/turns_mean"] > 1.5
        assert line["episode/reply_tokens_mean"] > 10
        assert line["policy/engine_gap_nats"] < 1e-4, "with replies in between"
    assert sorted(episodes(run)["problem_id"]) == sorted(episodes(sync)["problem_id"])


@pytest.mark.slow
def test_slow_replies_change_no_number(tmp_path):
    same(trained(tmp_path / "one", steps=2, slow_s=0.0), trained(tmp_path / "other", steps=2, slow_s=0.02))


@pytest.mark.slow
def test_layouts_agree(sync, tmp_path):
    """Packed rows compute what a group shares once, the beginnings of equal completions with their replies too."""
    padded, packed = (
        read_metrics(trained(tmp_path / layout, f"train.layout={layout}", steps=2) / "metrics.jsonl")
        for layout in ("padded", "packed")
    )
    for one, other in zip(padded, packed, strict=True):
        for key in ("policy/loss", "optim/grad_norm", "policy/entropy_nats", "policy/kl_nats"):
            assert one[key] == pytest.approx(other[key], rel=2e-3, abs=1e-5), key


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(3))
def test_killed_with_open_turns_and_resumed_it_ends_in_the_same_numbers(partial, tmp_path, moment):
    run = tmp_path / "run"
    words = [sys.executable, "-m", "kgym", *command(run, *PARTIAL)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not (run / "checkpoints" / "step-1").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.Random(moment).uniform(0.0, 2.0))
        os.kill(process.pid, signal.SIGKILL)
    assert main([*PLUGINS, "train", "--run", str(run), "--resume", "--json"]) == 0
    same(run, partial)


@pytest.mark.slow
def test_open_turns_are_carried_over_updates(partial):
    assert any(line.get("rollout/carried", 0) > 0 for line in read_metrics(partial / "metrics.jsonl"))
    table = episodes(partial)
    assert (table["first_version"] < table["last_version"]).any()


@pytest.mark.slow
def test_the_recipe_of_the_calculator_runs(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("calculator_recipe", HERE.parent / "recipes/calculator.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    assert recipe.main(["--out", str(tmp_path / "out"), "--size", "tiny"]) == 0
    said = capsys.readouterr().out
    assert said.count("$ kgym train") == 6
    assert "| tool |" in said
    assert "| plain |" in said
    for n in range(60):
        prompt, completion = recipe.examples(0)(n)
        assert completion.startswith(("```calculator\n", "\\boxed{")) or "\\boxed{" in completion
        assert [message.role for message in prompt] in (["user"], ["user", "assistant", "user"])
