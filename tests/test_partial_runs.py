"""kgym train with episodes that outlive a step, for real: schedules that are the same run, kill -9 with open
episodes, contradictions.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from kgym.cli.main import main
from kgym.runs.metrics import read_metrics
from test_train import numbers

SMALL = {
    "rollout.problems_per_step": 3,
    "rollout.group_size": 4,
    "eval.every": 3,
    "eval.problems": 6,
    "train.save_every": 1,
    "train.threads": 1,
}
SETTINGS = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
PARTIAL = ("--set", "rollout.schedule=partial", "--set", "rollout.oversample=2.4", "--set", "rollout.step_tokens=500")


def trained(run, *more, steps=4):
    assert main(["train", "--run", str(run), *SETTINGS, "--steps", str(steps), "--json", *more]) == 0
    return run


def episodes(run):
    """Every stored episode of a run, with its step."""
    files = sorted((run / "episodes").glob("*.parquet"))
    return pd.concat([pd.read_parquet(path).assign(file=path.stem) for path in files], ignore_index=True)


@pytest.fixture(scope="module")
def sync(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("sync") / "run")


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("partial") / "run", *PARTIAL, steps=8)


def test_partial_without_a_budget_is_sync_to_the_last_bit(sync, tmp_path):
    run = trained(tmp_path / "run", "--set", "rollout.schedule=partial")
    assert numbers(run) == numbers(sync)
    assert episodes(run)["text"].tolist() == episodes(sync)["text"].tolist()


def test_ahead_without_a_lag_is_sync_to_the_last_bit(sync, tmp_path):
    run = trained(tmp_path / "run", "--set", "rollout.schedule=ahead", "--set", "rollout.max_lag=0")
    assert numbers(run) == numbers(sync)
    assert episodes(run)["text"].tolist() == episodes(sync)["text"].tolist()


@pytest.mark.parametrize("schedule", ["sync", "partial"])
def test_an_engine_that_sleeps_during_updates_samples_the_same(sync, partial, tmp_path, schedule):
    if schedule == "sync":
        run, awake = trained(tmp_path / "run", "--set", "rollout.sleep=true"), sync
    else:
        run, awake = trained(tmp_path / "run", *PARTIAL, "--set", "rollout.sleep=true", steps=8), partial
    assert numbers(run) == numbers(awake)
    assert episodes(run)["text"].tolist() == episodes(awake)["text"].tolist()


def test_ahead_trains_on_what_the_weights_before_the_last_update_have_sampled(tmp_path):
    run = trained(tmp_path / "run", "--set", "rollout.schedule=ahead")
    versions = episodes(run).groupby("file")["last_version"].unique().map(list)
    assert versions.tolist() == [[0], [0], [1], [2]]
    assert all(line["optim/grad_norm"] > 0 for line in read_metrics(run / "metrics.jsonl")[1:])


@pytest.mark.slow
def test_ahead_killed_and_resumed_ends_in_the_same_numbers(tmp_path):
    straight = trained(tmp_path / "straight", "--set", "rollout.schedule=ahead")
    run = trained(tmp_path / "run", "--set", "rollout.schedule=ahead", steps=4)
    for step in ("step-3", "step-4"):  # as if it had been killed before step 3 was kept
        assert (run / "checkpoints" / step).is_dir()
    import shutil

    shutil.rmtree(run / "checkpoints" / "step-4")
    assert main(["train", "--run", str(run), "--resume", "--json"]) == 0
    assert numbers(run) == numbers(straight)


def test_open_episodes_are_carried_counted_and_complete(partial):
    lines = read_metrics(partial / "metrics.jsonl")[1:]
    assert any(line.get("rollout/carried", 0) > 0 for line in lines)
    assert all(
        line["rollout/tokens"] <= 1000 for line in lines
    )  # the budget is renewed once where no group was complete
    assert sum(line["rollout/tokens"] <= 500 for line in lines) > 4
    table = episodes(partial)
    assert not table.duplicated(["problem_id", "attempt"]).any()
    assert (table.groupby(["file", "problem_id"]).size() % 4 == 0).all()  # groups stay whole
    assert (table["first_version"] < table["last_version"]).any()
    assert (table["last_version"] <= table["file"].str.removeprefix("step-").astype(int) - 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(5))
def test_killed_with_open_episodes_and_resumed_it_ends_in_the_same_numbers(partial, tmp_path, moment):
    """kill -9 at a random moment after the first checkpoint, when episodes are open."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "kgym", "train", "--run", str(run), *SETTINGS, *PARTIAL, "--steps", "8"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not (run / "checkpoints" / "step-1").exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(random.Random(moment).uniform(0.0, 3.0))
        os.kill(process.pid, signal.SIGKILL)
    assert main(["train", "--run", str(run), "--resume", "--json"]) == 0
    assert numbers(run) == numbers(partial)
    mine, undisturbed = episodes(run), episodes(partial)
    assert not mine.duplicated(["problem_id", "attempt"]).any()
    pd.testing.assert_frame_equal(mine.drop(columns="verify_s"), undisturbed.drop(columns="verify_s"))


def test_episodes_that_are_too_old_are_counted(tmp_path):
    run = tmp_path / "run"
    settings = ["--set", "rollout.schedule=partial", "--set", "rollout.step_tokens=150", "--set", "rollout.max_age=1"]
    trained(run, *settings, "--set", "rollout.max_unscored_frac=1", "--set", "eval.every=0", steps=6)
    lines = read_metrics(run / "metrics.jsonl")
    table = episodes(run)
    assert sum(line.get("rollout/dropped", 0) for line in lines) > 0
    assert (table["status"] == "unscored:too_old").sum() <= sum(line.get("rollout/dropped", 0) for line in lines)


def test_many_that_are_too_old_end_the_run_with_the_reason(tmp_path, capsys):
    settings = ["--set", "rollout.schedule=partial", "--set", "rollout.step_tokens=150", "--set", "rollout.max_age=1"]
    assert (
        main(["train", "--run", str(tmp_path / "run"), *SETTINGS, *settings, "--steps", "20", "--set", "eval.every=0"])
        == 1
    )
    error = capsys.readouterr().err
    assert "too_old" in error
    assert "rollout.max_unscored_frac" in error


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["rollout.schedule=partial", "rollout.max_age=0"], "rollout.max_age=0"),
        (["rollout.schedule=ahead", "rollout.oversample=2", "rollout.max_age=0"], "rollout.max_age=0"),
        (
            ["rollout.oversample=2"],
            "rollout.oversample=2.0 is for open episodes; set rollout.schedule=partial or ahead",
        ),
        (["rollout.step_tokens=10000"], "rollout.step_tokens=10000 is for open episodes"),
        (["rollout.max_lag=2"], "rollout.max_lag=2 is for rollout.schedule=ahead"),
        (["rollout.schedule=partial", "rollout.max_lag=2"], "rollout.max_lag=2 is for rollout.schedule=ahead"),
        (["rollout.old_tokens=correct"], "rollout.old_tokens=correct"),
        (["rollout.schedule=ahead", "rollout.old_tokens=mask"], "rollout.old_tokens=mask leaves nothing to train on"),
        (
            ["rollout.schedule=partial", "rollout.step_tokens=11"],
            "rollout.step_tokens=11 is less than one token for each of the 12",
        ),
        (
            ["rollout.schedule=partial", "rollout.step_tokens=13"],
            "rollout.step_tokens=13 is less than the longest prompt has",
        ),
        (["rollout.schedule=partial", "rollout.oversample=0.5"], "rollout.oversample=0.5"),
        (
            ["rollout.schedule=ahead", "rollout.sleep=true"],
            "rollout.sleep=true: with rollout.schedule=ahead the engine samples while",
        ),
    ],
)
def test_contradictions_are_refused_before_anything_is_written(tmp_path, capsys, settings, words):
    run = tmp_path / "run"
    given = [part for setting in settings for part in ("--set", setting)]
    assert main(["train", "--run", str(run), *SETTINGS, *given]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not run.exists()


def test_an_engine_that_cannot_leave_the_process_is_refused_for_ahead(tmp_path, capsys):
    plugin = tmp_path / "bound.py"
    plugin.write_text(
        "from kgym.hookspecs import EngineInfo, hookimpl\n"
        "from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions\nkgym_api = 1\n\n\n"
        "@hookimpl\ndef kgym_components():\n"
        '    yield EngineInfo(name="bound", target="bound:Bound", summary="stays here", own_process=False)\n\n\n'
        "class Bound(TransformersEngine):\n    Options = TransformersOptions\n"
    )
    run = tmp_path / "run"
    argv = ["-p", str(plugin), "train", "--run", str(run), "--engine", "bound", "--set", "rollout.schedule=ahead"]
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert "engine=bound cannot run in its own process, as rollout.schedule=ahead needs" in error
    assert error.count("\n") == 1
    assert not run.exists()


def test_the_summary_says_what_was_left_open(partial):
    assert json.loads((partial / "summary.json").read_text())["steps"] == 8


def test_a_checkpoint_of_an_earlier_version_is_refused_in_one_line(sync, tmp_path, capsys):
    run = shutil.copytree(sync, tmp_path / "run")
    for file in run.glob("checkpoints/*/episodes.parquet"):
        file.unlink()
    before = (run / "metrics.jsonl").read_bytes()
    for more in (["--steps", "5"], ["--show-config"]):
        assert main(["train", "--run", str(run), "--resume", *more]) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith(
            f"kgym: error: {run}/checkpoints/step-4 has no episodes.parquet: an earlier version of kgym wrote"
        )
        assert f"--model {run}/checkpoints/step-4" in said
    assert (run / "metrics.jsonl").read_bytes() == before


def test_a_run_that_drops_too_much_names_the_option(tmp_path, capsys):
    settings = (
        "rollout.schedule=partial",
        "rollout.oversample=3",
        "rollout.step_tokens=150",
        "rollout.max_age=1",
        "engine.max_batch=4",
    )
    run = ("train", "--run", str(tmp_path / "run"), *SETTINGS, "--set", *settings, "eval.every=0", "--steps", "8")
    assert main([*run, "--set", "rollout.max_unscored_frac=0"]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "too_old" in said
    assert said.endswith("raise rollout.max_age=1 or lower env.max_tokens")
