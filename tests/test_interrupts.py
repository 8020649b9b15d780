"""Ctrl-C, SIGTERM and SIGHUP: one line with the command that goes on, which does, and the status 128 + the signal."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from kgym.cli.interrupts import Interrupted, signals_interrupt
from kgym.cli.main import main
from kgym.errors import RunError
from kgym.runs.metrics import MetricsFile, read_metrics
from kgym.score.store import EvalFolder
from kgym.train.checkpoint import going_on, load_state, save_checkpoint

TRAIN = ["train", "--env", "arithmetic", "--algo", "grpo", "--run", "the run", "--steps", "3"]
SMALL = ("rollout.problems_per_step=2", "rollout.group_size=2", "env.max_tokens=8", "eval.every=0", "train.threads=1")
SETTINGS = [word for setting in (*SMALL, "train.save_every=1") for word in ("--set", setting)]
SIGNALS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "ended by SIGTERM"),
    (signal.SIGHUP, 129, "ended by SIGHUP"),
]


@pytest.fixture(autouse=True)
def _signals_arrive():
    """A suite that a shell started in the background, or with nohup, ignores two of the signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_model):
    """A working directory with a model in it."""
    shutil.copytree(tiny_model, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def at_step(monkeypatch):
    """Return a function: send this process a signal once, when the metrics of a step are written."""

    def install(number, step):
        append = MetricsFile.append

        def append_and_signal(self, now, metrics):
            append(self, now, metrics)
            if now == step:
                monkeypatch.setattr(MetricsFile, "append", append)
                os.kill(os.getpid(), number)

        monkeypatch.setattr(MetricsFile, "append", append_and_signal)

    return install


def line_of(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error.strip()


def go_on(line):
    """Type what the line ends with."""
    command = line.rpartition(": kgym ")[2]
    return main([*shlex.split(command), "-q"])


@pytest.mark.parametrize("case", SIGNALS)
def test_an_interrupted_training_says_how_to_go_on(place, at_step, capsys, case):
    number, status, word = case
    at_step(number, 3)
    assert main([*TRAIN, "--model", "model", "-q", *SETTINGS]) == status
    line = line_of(capsys)
    assert line == f"kgym: {word}; continue from step 2 with: kgym train --resume --run 'the run'"
    assert go_on(line) == 0
    assert [row["step"] for row in read_metrics(place / "the run" / "metrics.jsonl")] == [1, 2, 3]


def test_before_the_first_checkpoint_it_begins_again_and_asks_for_the_same_steps_and_plugins(place, at_step, capsys):
    at_step(signal.SIGTERM, 1)
    assert main(["-p", "fixed_verdicts", *TRAIN, "--model", "model", "-q", *SETTINGS]) == 143
    assert (
        line_of(capsys)
        == "kgym: ended by SIGTERM; begin again with: kgym -p fixed_verdicts train --resume --run 'the run'"
    )
    at_step(signal.SIGTERM, 2)
    assert main(["train", "--resume", "--run", "the run", "--steps", "2", "-q", "-p", "fixed_verdicts"]) == 143
    line = line_of(capsys)
    assert line.endswith("; continue from step 1 with: kgym train -p fixed_verdicts --resume --run 'the run' --steps 2")
    assert go_on(line) == 0
    assert [row["step"] for row in read_metrics(place / "the run" / "metrics.jsonl")] == [1, 2]


def test_an_interrupted_evaluation_is_gone_on_with_by_the_same_command(place, monkeypatch, capsys):
    add = EvalFolder.add

    def add_and_signal(self, groups):
        add(self, groups)
        monkeypatch.setattr(EvalFolder, "add", add)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(EvalFolder, "add", add_and_signal)
    command = [
        "eval",
        "--model",
        "model",
        "--bench",
        "arithmetic:validation",
        "--problems",
        "4",
        "--slots",
        "2",
        "--max-tokens",
        "8",
        "-q",
    ]
    assert main(command) == 143
    line = line_of(capsys)
    assert line == f"kgym: ended by SIGTERM; resume with the same command: {shlex.join(['kgym', *command])}"
    (run,) = (place / "runs").iterdir()
    assert len(EvalFolder(run).frame()) == 2
    assert go_on(line) == 0
    assert len(EvalFolder(run).frame()) == 4


@pytest.mark.parametrize("command", ["sft", "dpo", "rm"])
def test_interrupted_supervised_runs_say_how_to_go_on(place, at_step, capsys, command):
    words = [
        command,
        "--model",
        "model",
        "--env",
        "arithmetic",
        "--run",
        "the run",
        "--out",
        "out",
        "--steps",
        "3",
        "--batch",
        "2",
    ]
    words += ["--set", "train.save_every=2", *(["pairs.held_out=2"] if command != "sft" else [])]
    at_step(signal.SIGTERM, 1)
    assert main([*words, "-q"]) == 143
    last = capsys.readouterr().err.strip().split("\n")[-1]
    assert last == f"kgym: ended by SIGTERM; begin again with: kgym {command} --resume --run 'the run' --out out"
    at_step(signal.SIGTERM, 3)
    assert go_on(last) == 143
    last = capsys.readouterr().err.strip().split("\n")[-1]
    assert (
        last == f"kgym: ended by SIGTERM; continue from step 2 with: kgym {command} --resume --run 'the run' --out out"
    )
    assert go_on(last) == 0
    assert (place / "out" / "config.json").is_file()
    assert [row["step"] for row in read_metrics(place / "the run" / "metrics.jsonl")] == [1, 2, 3]


@pytest.mark.slow
def test_a_process_that_is_told_to_end_has_the_status_of_the_signal(place):
    """A separate process, long before its first checkpoint."""
    command = [sys.executable, "-m", "kgym", *TRAIN, "--model", "model", *SETTINGS, "--steps", "9999"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("run "))  # it has begun
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        error = process.stderr.read()
    assert process.returncode == 143
    assert error.count("\n") == 1
    assert "kgym train --resume --run 'the run'" in error


def test_a_signal_that_is_ignored_stays_ignored_and_handlers_are_put_back():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as by nohup
    try:
        with signals_interrupt():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_signal_would_end_the_process_at_once():
    def interrupted():
        with signals_interrupt():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    with pytest.raises(Interrupted):
        interrupted()


@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGTERM, Interrupted), (signal.SIGHUP, Interrupted), (signal.SIGINT, KeyboardInterrupt)],
)
def test_a_signal_that_strikes_in_a_destructor_interrupts_all_the_same(number, kind, capfd):
    class Last:
        def __del__(self):
            os.kill(os.getpid(), number)
            for _ in range(10):  # here it is raised, and lost
                pass

    hook = sys.unraisablehook
    with pytest.raises(kind), signals_interrupt():  # noqa: PT012
        last = Last()
        del last
        time.sleep(30)
        raise AssertionError("it was lost")
    assert sys.unraisablehook is hook
    assert capfd.readouterr().err == ""


def test_threads_can_use_the_command_line_too():
    status = []
    thread = threading.Thread(target=lambda: status.append(main(["--version"])))
    thread.start()
    thread.join()
    assert status == [0]


def test_only_checkpoints_that_exist_are_named(tmp_path, monkeypatch):
    def full(folder):
        raise OSError(28, "No space left on device")

    def message(step):
        with pytest.raises(RunError) as caught:
            save_checkpoint(tmp_path, step, write=full, state={}, keep=0)
        return str(caught.value)

    assert going_on(tmp_path) == "begin again"
    assert message(2).endswith("make room, and begin again with --resume")
    (tmp_path / "step-1").mkdir()
    (tmp_path / "step-1" / "trainer.pt").write_text("noise")
    assert going_on(tmp_path) == "continue from step 1"
    assert message(2).endswith("make room, and continue from step 1 with --resume")
    with pytest.raises(RunError, match=r"remove the folder .*/step-1 to begin again with --resume"):
        load_state(tmp_path / "step-1")
