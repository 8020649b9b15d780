"""Runs on several ranks: real processes on this machine, by gloo. They give what one rank gives, and end as one."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kgym.cli.main import main
from kgym.runs.metrics import CLOCK, read_metrics

HERE = Path(__file__).parent
TINY = {
    "verifier": "even-length",
    "env.max_tokens": 14,
    "env.truncated": "score",
    "rollout.problems_per_step": 5,
    "rollout.group_size": 4,
    "train.microbatch_tokens": 600,
    "eval.every": 0,
    "train.save_every": 0,
    "train.keep_checkpoints": 9,
    # Adam divides by the size of a gradient: where that is rounding alone, so is the direction of the step
    "train.lr": 3e-5,
    "train.threads": 1,
}
CLOSE = 1e-5
WAIT_S = 300


def words(run, steps, **settings):
    settings |= {"critic.lr": 1e-4} if settings.get("algo") == "ppo" else {}
    values = [
        f"{key}={value}"
        for key, value in (TINY | {key.replace("__", "."): value for key, value in settings.items()}).items()
    ]
    return [
        "train",
        "-p",
        "fixed_verdicts",
        "--env",
        "arithmetic",
        "--steps",
        str(steps),
        "--run",
        str(run),
        "--set",
        *values,
    ]


def environment():
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def start(arguments, ranks=1, **streams):
    command = [sys.executable, "-m", "kgym", *arguments, *(["--ranks", str(ranks)] if ranks > 1 else [])]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **streams
    )


def finish(process):
    out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err


def run_on(ranks, arguments):
    """Run a command, and return what it printed. One rank is this process: to start another one takes longer than to
    train.
    """
    if ranks == 1:
        assert main(arguments) == 0
        return ""
    status, out, err = finish(start(arguments, ranks))
    assert status == 0, err
    return out


def train(run, steps, ranks=1, more=(), **settings):
    return run_on(ranks, [*words(run, steps, **settings), *more])


def metrics(run):
    return [
        {key: value for key, value in line.items() if not clocked(key)}
        for line in read_metrics(Path(run) / "metrics.jsonl")
    ]


def clocked(key):
    return key.startswith(CLOCK)


def assert_same(one, other):
    """The figures of two runs agree to 1e-5."""
    one, other = metrics(one), metrics(other)
    assert [line.keys() for line in one] == [line.keys() for line in other]
    apart = [
        (line["step"], key, line[key], again[key])
        for line, again in zip(one, other, strict=True)
        for key in line
        if not math.isclose(line[key], again[key], rel_tol=CLOSE, abs_tol=CLOSE)
    ]
    assert not apart


def resume(run, steps, ranks=1):
    run_on(ranks, ["train", "-p", "fixed_verdicts", "--resume", "--run", str(run), "--steps", str(steps)])


def as_if_killed_after(step, run, copy):
    """Copy a run, without the checkpoints and the metrics after a step."""
    shutil.copytree(run, copy)
    lines = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join(line for line in lines if json.loads(line)["step"] <= step))
    later = [path for path in (copy / "checkpoints").glob("step-*") if int(path.name.removeprefix("step-")) > step]
    assert later
    for path in later:
        shutil.rmtree(path)


# --- the same numbers -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_ranks_train_as_one_and_speak_as_one(tmp_path):
    more = {"eval__every": 2, "eval__problems": 5}
    train(tmp_path / "one", 2, **more)
    out = train(tmp_path / "two", 2, ranks=2, more=["--json"], **more)
    assert_same(tmp_path / "one", tmp_path / "two")
    assert json.loads(out)["steps"] == 2  # once, by rank 0
    names = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*")}
    assert {path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*")} == names
    for file in ("eval/step-00002.json", "checkpoints/step-2/config.json"):
        assert (tmp_path / "one" / file).read_text() == (tmp_path / "two" / file).read_text()


@pytest.fixture(scope="module")
def ten_steps(tmp_path_factory):
    """Return a function that gives a run of ten steps with a checkpoint after the sixth; each is made once."""
    made = {}

    def run_of(ranks, settings):
        key = (ranks, *settings.items())
        if key not in made:
            made[key] = tmp_path_factory.mktemp("ten-steps") / "run"
            train(made[key], 10, ranks=ranks, **settings, **{"train.save_every": 6})
        return made[key]

    return run_of


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["mirror", "grpo", "ppo"])
def test_ten_steps_on_two_and_four_ranks_are_those_of_one(algorithm, ten_steps):
    one, two, four = (ten_steps(ranks, {"algo": algorithm}) for ranks in (1, 2, 4))
    assert len(metrics(one)) == 10
    assert any(line.get("optim/grad_norm", 0.0) > 0 for line in metrics(one))
    assert_same(one, two)
    assert_same(one, four)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"algo": "ppo"}, {"train.lora.rank": 4}], ids=["ppo", "lora"])
def test_a_run_of_two_ranks_resumes_on_one_and_on_four(settings, ten_steps, tmp_path):
    if "train.lora.rank" in settings:
        pytest.importorskip("peft")
    straight = ten_steps(2, settings)
    for ranks in (1, 2, 4):
        as_if_killed_after(6, straight, tmp_path / str(ranks))
        resume(tmp_path / str(ranks), 10, ranks)
        assert_same(straight, tmp_path / str(ranks))


@pytest.mark.slow
def test_open_episodes_of_two_ranks_are_resumed(tmp_path):
    settings = {
        "rollout.schedule": "partial",
        "rollout.oversample": 2,
        "rollout.segment_tokens": 2,
        "rollout.step_tokens": 100,
        "train.save_every": 2,
    }
    train(tmp_path / "straight", 4, ranks=2, **settings)
    assert metrics(tmp_path / "straight")[1]["rollout/left_open"] > 0
    for name in ("one", "two"):
        as_if_killed_after(2, tmp_path / "straight", tmp_path / name)
    resume(tmp_path / "two", 4, 2)
    assert_same(tmp_path / "straight", tmp_path / "two")
    resume(tmp_path / "one", 4)
    assert len(metrics(tmp_path / "one")) == 4


@pytest.mark.slow
def test_a_shared_critic_and_examples_of_pretraining_are_learnt_on_two_ranks(tmp_path):
    settings = {"algo": "ppo", "critic.backbone": "shared", "ptx.coef": 0.1, "ptx.batch_size": 3}
    for ranks in (1, 2):
        train(tmp_path / str(ranks), 3, ranks=ranks, **settings)
    assert metrics(tmp_path / "1")[-1]["ptx/loss_nats"] > 0
    assert_same(tmp_path / "1", tmp_path / "2")
    shutil.copytree(tmp_path / "2", tmp_path / "resumed")
    resume(tmp_path / "resumed", 4)
    resume(tmp_path / "2", 4, 2)
    assert_same(tmp_path / "resumed", tmp_path / "2")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["sft", "dpo", "rm"])
def test_two_ranks_learn_from_examples_as_one_does(command, tmp_path):
    for ranks in (1, 2):
        arguments = [
            command,
            "--env",
            "arithmetic",
            "--steps",
            "3",
            "--batch",
            "5",
            "--run",
            str(tmp_path / str(ranks)),
        ]
        arguments += ["--set", "train.threads=1", "train.lr=3e-5", "train.microbatch_tokens=200"]
        run_on(ranks, arguments)
    assert len(metrics(tmp_path / "1")) == 3
    assert_same(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
def test_two_ranks_generate_ahead_what_one_does(tmp_path):
    settings = {"rollout.schedule": "ahead", "eval.every": 2, "eval.problems": 5, "train.save_every": 2}
    for ranks in (1, 2):
        train(tmp_path / str(ranks), 5, ranks=ranks, **settings)
    assert_same(tmp_path / "1", tmp_path / "2")


# --- the same end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--ranks", "0"], "--ranks 0: a run needs at least one"),
        (["--cluster", "auto"], "--cluster auto starts ranks, and needs their number: --ranks N"),
        (["--ranks", "2", "--env", "airth"], "no environment named 'airth'"),
        (["--ranks=2", "--set", "train.lr=-1"], "train.lr"),
    ],
)
def test_what_is_wrong_is_said_before_ranks_are_started(more, said, tmp_path):
    status, out, err = finish(start(["train", "--run", str(tmp_path / "run"), *more]))
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_only_ranks_find_out_is_said_once(tmp_path):
    status, out, err = finish(
        start(words(tmp_path / "run", 2, **{"rollout.schedule": "ahead", "rollout.max_lag": 2}), 2)
    )
    assert (status, out) == (2, "")
    assert err.startswith("kgym: error: rollout.max_lag=2 ")
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ranks_of_torchrun_say_once_what_is_wrong():
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    done = subprocess.run(
        [*command, "-m", "kgym", "train", "--env", "airth"],
        check=False,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stderr.count("kgym: error: no environment named 'airth'") == 1


def ranks_of(launcher):
    """Return the process numbers of the ranks, by their parent."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            command = (status.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if fields["PPid"].strip() == str(launcher) and b"kgym" in command:
            found.append(int(status.parent.name))
    return sorted(found)


def wait_for(path, process):
    end = time.monotonic() + WAIT_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_a_killed_rank_ends_all_with_one_line_and_the_run_resumes(tmp_path):
    run = tmp_path / "run"
    process = start(words(run, 500, **{"train.save_every": 1}), 2)
    wait_for(run / "checkpoints" / "step-2" / "trainer.pt", process)
    _, second = ranks = ranks_of(process.pid)
    os.kill(second, signal.SIGKILL)
    status, _, err = finish(process)
    assert status == 1
    assert err.count("\n") == 1
    assert "was killed by SIGKILL" in err
    assert f"--resume --run {run} --ranks 2" in err
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)
    steps = len(metrics(run))
    resume(run, steps + 2, 4)
    train(tmp_path / "straight", steps + 2)
    assert_same(tmp_path / "straight", run)


@pytest.mark.slow
def test_a_signal_ends_all_ranks_with_one_line(tmp_path):
    run = tmp_path / "run"
    process = start(words(run, 500, **{"train.save_every": 1}), 2)
    wait_for(run / "checkpoints" / "step-1" / "trainer.pt", process)
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    assert status == 128 + signal.SIGTERM
    assert err.count("\n") == 1
    assert err.startswith("kgym: ended by SIGTERM; continue from step ")
