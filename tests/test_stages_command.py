"""`kgym stages`: cold start and longer and longer budgets as one series of commands, which may be killed and goes
on.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from kgym.cli.main import main
from kgym.runs.metrics import read_metrics
from test_long2short import commands
from test_train import numbers

SMALL = (
    "rollout.loop_tokens=24",
    "verifier=math",
    "rollout.problems_per_step=3",
    "rollout.group_size=4",
    "train.threads=1",
    "train.save_every=1",
)


def words(out, *more, keys=()):
    flags = ["--budgets", "30", "90", "--steps", "2", "--cold-steps", "3", "--score", "8", "--out", str(out)]
    return ["stages", *flags, *more, "--set", *SMALL, *keys]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A series that no one disturbed."""
    out = tmp_path_factory.mktemp("straight") / "out"
    assert main([*words(out), "--json"]) == 0
    return out


@pytest.mark.slow
def test_a_series_ends_with_accuracy_and_length_after_each_stage_and_is_not_run_twice(straight, capsys):
    assert main([*words(straight), "--json"]) == 0
    again = capsys.readouterr()
    assert not commands(again.err)
    found = json.loads(again.out)
    assert [(row["after"], row["budget"]) for row in found["stages"]] == [
        ("nothing", None),
        ("cold start", None),
        ("stage 1", 30),
        ("stage 2", 90),
    ]
    lines = read_metrics(straight / "rl/metrics.jsonl")
    assert [line.get("rollout/max_tokens") for line in lines] == [None, 30, 30, 90, 90]
    assert [row["accuracy"] for row in found["stages"][1:]] == [lines[step]["eval/accuracy"] for step in (0, 2, 4)]
    assert found["model"] == str(straight / "rl")
    manifest = json.loads((straight / "rl/manifest.json").read_text())
    assert manifest["config"]["model"] == str(straight / "cold")
    before = json.loads((straight / "before/results.json").read_text())
    cold = json.loads((straight / "rl/eval/step-00000.json").read_text())
    assert before["comparability"] == cold["comparability"], "all rows are measured in the same way"
    assert before["facts"]["max_tokens"] == 90


@pytest.mark.slow
@pytest.mark.parametrize("when", ["cold/checkpoints", "rl/checkpoints/step-1"])
def test_killed_in_any_part_the_same_command_ends_in_the_same_numbers(straight, tmp_path, when, capsys):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "kgym", *words(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not (out / when).exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(random.Random(when).uniform(0.0, 0.5))
        os.kill(process.pid, signal.SIGKILL)
    assert not (out / "rl/summary.json").exists(), "it was killed too late for this test to say anything"
    assert main([*words(out), "--json"]) == 0
    capsys.readouterr()
    assert numbers(out / "rl") == numbers(straight / "rl")
    assert numbers(out / "cold") == numbers(straight / "cold")


@pytest.mark.slow
def test_a_folder_of_another_series_is_refused(straight, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(straight, out)
    assert main(words(out, "--seed", "1")) == 2
    error = capsys.readouterr().err
    assert "contains a series with other settings: seed was 0 and is 1" in error
    assert error.count("\n") == 1


def test_a_dry_run_prints_the_commands_and_writes_nothing(tmp_path, capsys):
    keys = ("env.difficulty=2", "sft.batch_size=4", "sampler=curriculum", "sampler.then=prioritized")
    assert main(words(tmp_path / "out", "--dry-run", keys=keys)) == 0
    before, cold, trained = capsys.readouterr().out.splitlines()
    assert not (tmp_path / "out").exists()
    assert all("env.difficulty=2" in line for line in (before, cold, trained))
    assert "--samples 1 --max-tokens 90 --seed 0 --loop-tokens 24" in before
    assert "verifier=math" in before
    assert "sft.batch_size=4" in cold
    assert "sampler" not in cold
    assert "'rollout.max_tokens=[[0, 30], [2, 90]]'" in trained
    assert "sampler.then=prioritized" in trained
    assert "sft." not in trained


def test_without_a_cold_start_the_model_itself_is_trained(tmp_path, capsys):
    assert main(words(tmp_path / "out", "--cold-steps", "0", "--dry-run")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "--model nano" in lines[1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--budgets", "0"], "--budgets 0"),
        (["--steps", "0"], "--steps 0: must be 1 or more"),
        (["--budgets", "30", "2040"], "the context of nano is 2048"),
        (["--set", "env.max_tokens=9"], "env.max_tokens cannot be set here; the budgets of the stages are --budgets"),
        (["--set", "rollout.max_tokens=[[0,9]]"], "rollout.max_tokens cannot be set here"),
        (["--set", "train.lrr=1"], "train.lrr"),
        (["--set", "sft.batch=1"], "sft.batch"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--env", "no-such-env"], "no-such-env"),
        (["--cold-data", "no-such-file.jsonl"], "no-such-file.jsonl"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_run(more, said, tmp_path, capsys):
    assert main(words(tmp_path / "out", *more)) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not commands(printed.out)
    assert not (tmp_path / "out").exists()
