"""Runs as separate processes, several at the same time; each starts when those that it needs have ended.

They are forked from a process that has loaded the common modules (`warm.py`), which saves half of the time of a small
run. A run is killed with the process that started it, also after kill -9, so the same command can be given again at
once. The output of a run is in the file next to its folder whose name ends in `.log`.
"""

import contextlib
import ctypes
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from kgym.experiments.planning import PRINTS, Run
from kgym.files import write_atomic

_PR_SET_PDEATHSIG = 1
PAUSE_S = 0.2


def run_all(
    runs: Sequence[Run], jobs: int, ended: Callable[[Run, bool, float], None], *, before: Sequence[str] = ()
) -> list[Run]:
    """Run what is not done, at most `jobs` at a time; return the runs that failed, and those that need one of them.

    `ended` is called for each run with whether it ended well and how many seconds it took. `before` are words before
    each command, such as `-p mine.py`.
    """
    waiting = [run for run in runs if not run.done]
    if not waiting:
        return []
    with _forking() as context:
        return _run_all(waiting, jobs, ended, partial(_begun, context=context, before=before))


def _run_all(
    waiting: list[Run], jobs: int, ended: Callable[[Run, bool, float], None], begin: Callable[[Run], ForkServerProcess]
) -> list[Run]:
    going: dict[str, tuple[Run, ForkServerProcess, float]] = {}
    failed: dict[str, Run] = {}
    try:
        while waiting or going:
            for run in [run for run in waiting if any(needed.key in failed for needed in run.needs)]:
                waiting.remove(run)
                failed[run.key] = run
            ready = [run for run in waiting if all(needed.done for needed in run.needs)]
            for run in ready[: max(0, jobs - len(going))]:
                waiting.remove(run)
                going[run.key] = run, begin(run), time.monotonic()
            for key, (run, process, begun) in [*going.items()]:
                if process.is_alive():
                    continue
                del going[key]
                if process.exitcode == 0 and run.command in PRINTS:
                    run.folder.mkdir(parents=True, exist_ok=True)
                    write_atomic(run.done_file, _printed(run).read_bytes())
                    _printed(run).unlink()
                if not (process.exitcode == 0 and run.done):
                    failed[key] = run
                ended(run, key not in failed, time.monotonic() - begun)
            time.sleep(PAUSE_S if going else 0)
    finally:
        for _, process, _ in going.values():
            process.terminate()
        for _, process, _ in going.values():
            process.join()
    return [*failed.values()]


def log_of(run: Run) -> Path:
    """Return the file with the output of a run."""
    return run.folder.with_name(f"{run.folder.name}.log")


def last_line(run: Run) -> str:
    """Return the last line that a run printed, which says why it failed; "it printed nothing" without output."""
    lines = (
        log_of(run).read_text(encoding="utf-8", errors="replace").strip().splitlines() if log_of(run).exists() else []
    )
    return lines[-1].removeprefix("kgym: ") if lines else "it printed nothing"


def _printed(run: Run) -> Path:
    return run.folder.with_name(f"{run.folder.name}.out")


def _begun(run: Run, *, context: ForkServerContext, before: Sequence[str]) -> ForkServerProcess:
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    log = log_of(run)
    words = (*before, *run.words_now)
    process = context.Process(target=_perform, args=(words, _printed(run) if run.command in PRINTS else log, log))
    process.start()
    return process


def _perform(words: Sequence[str], stdout: Path, stderr: Path) -> None:
    """Run `kgym WORDS` in this process, with the output in files."""
    if sys.platform == "linux":  # the parent is the process that forks, and it ends with the command, also by kill -9
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == 1:
            os._exit(1)
        _let_go_of_the_server()
    for path, descriptor in ((stderr, 2), (stdout, 1)):
        with path.open("ab" if path == stderr else "wb") as file:
            os.dup2(file.fileno(), descriptor)
    sys.argv = ["kgym", *words]
    runpy.run_module("kgym", run_name="__main__")


def _let_go_of_the_server() -> None:
    """Close the pipe that keeps the forking process alive. Python passes it on to every child, so the forking process
    would wait for this one to end even after the command is gone.
    """
    server: Any = multiprocessing.forkserver._forkserver
    if (pipe := getattr(server, "_forkserver_alive_fd", None)) is not None:
        os.close(pipe)
        server._forkserver_alive_fd = None


@contextlib.contextmanager
def _forking() -> Iterator[ForkServerContext]:
    """Keep the server that runs are forked from; each run has one thread, so that they do not compete for cores."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kgym.experiments.warm"])
    try:
        yield context
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
