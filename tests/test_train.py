"""kgym train, for real: the built-in model, its own engine, files on disk; killed in mid-step and resumed."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from kgym.cli.main import main
from kgym.runs.metrics import CLOCK, MetricsFile, describe, read_metrics

SMALL = {
    "seed": 4,
    "rollout.problems_per_step": 3,
    "rollout.group_size": 4,
    "env.max_tokens": 48,
    "train.lr": 1e-4,
    "eval.every": 2,
    "eval.problems": 8,
    "train.save_every": 2,
    "train.threads": 1,
}
SETTINGS = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]


def arguments(run, *more):
    return ["train", "--run", str(run), *SETTINGS, *more]


CRITIC = ("--algo", "ppo", "--set", "eval.every=4")


def numbers(run):
    """The metrics without what comes from the clock."""
    return [
        {key: value for key, value in line.items() if not key.startswith(CLOCK)}
        for line in read_metrics(run / "metrics.jsonl")
    ]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run of four steps that no one disturbed."""
    run = tmp_path_factory.mktemp("straight") / "run"
    assert main(arguments(run, "--steps", "4", "--json")) == 0
    return run


def test_a_run_leaves_what_it_says(straight):
    lines = read_metrics(straight / "metrics.jsonl")
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4]
    assert ["eval/accuracy" in line for line in lines] == [True, False, True, False, True]
    assert sorted(path.name for path in (straight / "checkpoints").iterdir()) == ["step-2", "step-4"]
    assert len(list((straight / "episodes").glob("*.parquet"))) == 4
    manifest = json.loads((straight / "manifest.json").read_text())
    assert manifest["config"]["rollout"]["group_size"] == 4
    assert json.loads((straight / "summary.json").read_text())["n_problems"] == 8


def test_the_stored_episodes_are_the_ones_of_the_metrics(straight):
    import pandas as pd

    table = pd.read_parquet(straight / "episodes" / "step-00001.parquet")
    line = read_metrics(straight / "metrics.jsonl")[1]
    assert len(table) == 12
    assert table["problem_id"].nunique() == 3
    assert (table["status"] == "correct").mean() == pytest.approx(line["episode/correct_frac"])
    assert table["tokens"].mean() == pytest.approx(line["episode/tokens_mean"])
    assert table["truncated"].mean() == pytest.approx(line["episode/truncated_frac"])


def test_engine_and_trainer_agree_on_every_step(straight):
    gaps = [line["policy/engine_gap_nats"] for line in read_metrics(straight / "metrics.jsonl")[1:]]
    assert max(gaps) < 1e-4  # were the engine's weights one update late, the gap would be of the size of the update
    assert all(line["policy/kl_nats"] > 0 for line in read_metrics(straight / "metrics.jsonl")[1:])


def test_a_checkpoint_is_a_model_that_transformers_loads(straight):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = straight / "checkpoints" / "step-4"
    before = AutoModelForCausalLM.from_pretrained(straight / "checkpoints" / "step-2").get_input_embeddings().weight
    after = AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight
    assert not before.equal(after)
    assert (
        AutoTokenizer.from_pretrained(folder).decode(AutoTokenizer.from_pretrained(folder)("a+b")["input_ids"]) == "a+b"
    )


@pytest.mark.parametrize("room", [2_000_000, 6_000_000], ids=["the weights", "the state of the optimizer"])
def test_without_room_for_a_checkpoint_the_run_ends_in_one_line_and_goes_on_from_the_last(
    straight, tmp_path, capsys, room
):
    """A file of more bytes than `room` cannot be written: the same failures in the same writers as on a full disk."""
    run = tmp_path / "run"
    assert main(arguments(run, "--steps", "2", "--json")) == 0
    capsys.readouterr()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        assert main(["train", "--run", str(run), "--resume", "--steps", "4", "-q"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert error.startswith("kgym: error: cannot write the checkpoint")
    assert "--resume" in error
    assert error.count("\n") == 1
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-2"]  # nothing half-written takes room
    assert main(["train", "--run", str(run), "--resume", "--steps", "4", "--json"]) == 0
    assert numbers(run) == numbers(straight)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["metrics.jsonl", "episodes/step-00003.parquet", "checkpoints/.step-4.tmp"])
def test_killed_and_resumed_it_ends_in_the_same_numbers(straight, tmp_path, moment):
    """kill -9 as soon as a file of the moment is there: after the first validation, in step 3, while a checkpoint is
    written.
    """
    run = tmp_path / "run"
    command = [sys.executable, "-m", "kgym", *arguments(run, "--steps", "4")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not (run / moment).exists() and process.poll() is None:
            time.sleep(0.0005)
        os.kill(process.pid, signal.SIGKILL)
    assert main(["train", "--run", str(run), "--resume", "--json"]) == 0
    assert numbers(run) == numbers(straight)
    assert not list((run / "checkpoints").glob(".step-*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["episodes/step-00003.parquet", "checkpoints/.step-4.tmp", "checkpoints/.step-4.tmp/critic"]
)
def test_killed_and_resumed_a_run_with_a_critic_ends_in_the_same_numbers(tmp_path, moment):
    straight, run = tmp_path / "straight", tmp_path / "run"
    assert main(arguments(straight, "--steps", "4", *CRITIC, "--json")) == 0
    command = [sys.executable, "-m", "kgym", *arguments(run, "--steps", "4", *CRITIC)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not (run / moment).exists() and process.poll() is None:
            time.sleep(0.0005)
        os.kill(process.pid, signal.SIGKILL)
    assert main(["train", "--run", str(run), "--resume", "--json"]) == 0
    assert numbers(run) == numbers(straight)
    assert numbers(run)[-1]["critic/value_mean"] != 0
    weights = [
        (folder / "checkpoints" / "step-4" / "critic" / "model.safetensors").read_bytes() for folder in (straight, run)
    ]
    assert weights[0] == weights[1]


def test_a_finished_run_resumes_to_the_same_summary(straight, capsys):
    before = numbers(straight)
    assert main(["train", "--run", str(straight), "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((straight / "summary.json").read_text())
    assert numbers(straight) == before


def test_grpo_runs_with_its_reference(tmp_path):
    run = tmp_path / "run"
    assert main(arguments(run, "--steps", "2", "--algo", "grpo", "--set", "eval.every=0", "--json")) == 0
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[0]["policy/kl_reference_nats"] == pytest.approx(0.0, abs=1e-5)
    assert lines[1]["policy/kl_reference_nats"] > 1e-7


def test_segments_do_not_change_the_first_step(tmp_path):
    runs = [tmp_path / name for name in ("whole", "segments")]
    for run, more in zip(runs, ([], ["--set", "rollout.segment_tokens=7"]), strict=True):
        assert main(arguments(run, "--steps", "1", "--set", "eval.every=0", "--json", *more)) == 0
    whole, pieces = (read_metrics(run / "metrics.jsonl")[0] for run in runs)
    for key in ("reward/mean", "episode/tokens_mean", "episode/truncated_frac"):
        assert whole[key] == pieces[key]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--env", "aimee"], "did you mean 'aime'?"),
        (["--algo", "miror"], "did you mean 'mirror'?"),
        (["--engine", "transformer"], "did you mean 'transformers'?"),
        (["--set", "train.lrr=1"], "did you mean 'train.lr'?"),
        (["--set", "algo.tua=1"], "did you mean 'algo.tau'?"),
        (["--set", "algo.tau=-1"], "algo.tau"),
        (["--set", "rollout.group_size=1"], "use 2 or more"),
        (["--model", "no/such/folder"], "no/such/folder"),
        (["--set", "env.split=2024"], "kgym data add aime24"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, capsys, more, words):
    run = tmp_path / "run"
    assert main(["train", "--run", str(run), *more]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not run.exists()


def test_an_existing_run_is_not_written_over(straight, capsys):
    assert main(arguments(straight)) == 2
    assert "--resume" in capsys.readouterr().err


def test_resume_refuses_another_configuration(straight, capsys):
    assert main(["train", "--run", str(straight), "--resume", "--set", "train.lr=0.5"]) == 2
    assert "train.lr" in capsys.readouterr().err


def test_resume_of_nothing_says_so(tmp_path, capsys):
    assert main(["train", "--run", str(tmp_path / "nothing"), "--resume"]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_a_run_folder_below_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(arguments(tmp_path / "file" / "run", "--steps", "1")) == 2
    assert "cannot be a folder: it, or one of its parents, is a file" in capsys.readouterr().err


def test_a_torn_line_is_forgotten(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    for step in range(4):
        metrics.append(step, {"reward/mean": step / 10, "episode/correct_frac": float("nan")})
    with metrics.path.open("a") as file:
        file.write('{"step": 4, "rew')
    assert [line["step"] for line in read_metrics(metrics.path)] == [0, 1, 2, 3]
    metrics.cut_after(2)
    assert read_metrics(metrics.path)[-1] == {"step": 2, "reward/mean": 0.2, "episode/correct_frac": None}


def test_describe_leaves_out_what_is_not_finite():
    assert describe(1, 9, {"reward/mean": float("nan"), "optim/grad_norm": 1.0}) == "step  1/9 | grad 1.00"
