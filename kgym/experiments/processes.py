"""Runs as processes of their own, several at once, each when those that it needs have ended.

A run is killed with the process that started it, also if that is ended by kill -9, so the same command can be given again at once. What a
run printed is in the file beside its folder whose name ends in `.log`.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kgym.experiments.planning import PRINTS, Run
from kgym.files import write_atomic

_PR_SET_PDEATHSIG = 1
PAUSE_S = 0.2


def run_all(runs: Sequence[Run], jobs: int, ended: Callable[[Run, bool, float], None]) -> list[Run]:
    """Run what is not done, at most `jobs` at once; return those that failed, and those that need one of them.

    `ended` is told of each run, whether it ended well, and how many seconds it took.
    """
    waiting = [run for run in runs if not run.done]
    going: dict[str, tuple[Run, subprocess.Popen[bytes], float]] = {}
    failed: dict[str, Run] = {}
    try:
        while waiting or going:
            for run in [run for run in waiting if any(needed.key in failed for needed in run.needs)]:
                waiting.remove(run)
                failed[run.key] = run
            ready = [run for run in waiting if all(needed.done for needed in run.needs)]
            for run in ready[: max(0, jobs - len(going))]:
                waiting.remove(run)
                going[run.key] = run, _started(run), time.monotonic()
            for key, (run, process, begun) in [*going.items()]:
                if process.poll() is None:
                    continue
                del going[key]
                if process.returncode == 0 and run.command in PRINTS:
                    run.folder.mkdir(parents=True, exist_ok=True)
                    write_atomic(run.done_file, _printed(run).read_bytes())
                    _printed(run).unlink()
                if not (process.returncode == 0 and run.done):
                    failed[key] = run
                ended(run, key not in failed, time.monotonic() - begun)
            time.sleep(PAUSE_S if going else 0)
    finally:
        for _, process, _ in going.values():
            process.terminate()
        for _, process, _ in going.values():
            process.wait()
    return [*failed.values()]


def log_of(run: Run) -> Path:
    """Return the file that has what a run printed."""
    return run.folder.with_name(f"{run.folder.name}.log")


def _printed(run: Run) -> Path:
    return run.folder.with_name(f"{run.folder.name}.out")


def _started(run: Run) -> "subprocess.Popen[bytes]":
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    parent = os.getpid()
    prints = run.command in PRINTS
    with (_printed(run) if prints else log_of(run)).open("wb" if prints else "ab") as stdout, log_of(run).open("ab") as stderr:
        return subprocess.Popen(  # noqa: S603  (our own command)
            [sys.executable, "-m", "kgym", *run.words_now],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            preexec_fn=lambda: _end_with(parent),  # noqa: PLW1509  (this process has no threads)
        )


def _end_with(parent: int) -> None:
    """Ask Linux to kill this process when its parent ends, however it ends: it would hold the folder of its run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
