"""Common parts of the commands that start many runs (`reproduce`, `sweep`): `--jobs`, `--dry-run`, progress lines."""

import argparse
import math
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kgym.cli.interrupts import command_line, saying_how_to_go_on
from kgym.cli.output import clock, print_json, say
from kgym.errors import ConfigError

if TYPE_CHECKING:
    from kgym.experiments.planning import Run


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add `--jobs` and `--dry-run`."""
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        help="runs at the same time, each with one thread (default: the number of cores; 1 on a machine with a GPU)",
    )
    parser.add_argument("--dry-run", action="store_true", help="list the runs, finished ones included, and exit")


def jobs_of(args: argparse.Namespace) -> int:
    """Return how many runs are started at the same time. Raises ConfigError for fewer than one."""
    if args.jobs is None:
        return _default_jobs()
    if args.jobs < 1:
        raise ConfigError(f"--jobs {args.jobs}: must be 1 or more")
    return int(args.jobs)


def _default_jobs() -> int:
    from torch.cuda import is_available

    if is_available():  # runs that share a GPU share its memory
        return 1
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def plugin_words(names: Sequence[str]) -> list[str]:
    """Return the words before a command that load plugins."""
    return [word for name in names for word in ("-p", name)]


def list_runs(runs: "Sequence[Run]", jobs: int, *, as_json: bool, before: Sequence[str] = ()) -> int:
    """Print the commands, with finished ones marked as done, and about how long the others take."""
    left = [run for run in runs if not run.done]
    seconds = _left(left, jobs)
    if as_json:
        facts = [
            {"arm": run.arm, "seed": run.seed, "done": run.done, "command": ["kgym", *before, *run.words]}
            for run in runs
        ]
        print_json({"runs": facts, "seconds": seconds, "jobs": jobs})
        return 0
    for run in runs:
        say(f"{'done ' if run.done else '     '}{shlex.join(['kgym', *before, *run.words])}")
    say(f"\n{_standing(len(runs), len(left), seconds, jobs)}")
    return 0


def run_missing(
    args: argparse.Namespace, runs: "Sequence[Run]", jobs: int, out: Path, *, before: Sequence[str] = ()
) -> "list[Run]":
    """Run what has not ended, with a line for each run; return the runs that failed. The folder `out` is locked
    meanwhile.
    """
    from kgym.experiments.processes import last_line, log_of, run_all
    from kgym.files import locked

    left = {run.key: run for run in runs if not run.done}
    total, expected, took = len(left), 0.0, 0.0

    def tell(text: str) -> None:
        if args.verbose >= 0:
            say(text, file=sys.stderr if args.json else sys.stdout, flush=True)

    def ended(run: "Run", well: bool, seconds: float) -> None:
        nonlocal expected, took
        left.pop(run.key, None)
        expected, took = expected + _weight(run), took + seconds
        text = f"{run.arm}, seed {run.seed}"
        if well:
            rest = f", about {clock(_left([*left.values()], jobs, took / expected))} left" if left else ""
            tell(f"{total - len(left)}/{total}  {text}: {clock(seconds)}{rest}")
        else:
            say(f"{text} failed: {last_line(run)}; see {log_of(run)}", file=sys.stderr, flush=True)

    if left:
        tell(_standing(len(runs), total, _left([*left.values()], jobs), jobs))
    with (
        saying_how_to_go_on(lambda: f"resume with: {command_line(args, args.argv)}"),
        locked(out / ".lock", what=f"the folder {out}"),
    ):
        return run_all(runs, jobs, ended, before=before)


def _standing(n_runs: int, n_left: int, seconds: float, jobs: int) -> str:
    about = f", about {clock(seconds)} with" if math.isfinite(seconds) else ","
    return f"{n_runs} runs, {n_left} of them to do{about} {jobs} at once"


def _weight(run: "Run") -> float:
    """Return the weight of a run, its expected time; 1 if it is not known."""
    return run.seconds if math.isfinite(run.seconds) and run.seconds > 0 else 1.0


def _left(runs: "Sequence[Run]", jobs: int, pace: float | None = None) -> float:
    """Return about how long runs take; `pace` is measured seconds for each expected second."""
    seconds = [run.seconds if pace is None else pace * _weight(run) for run in runs]
    return max([sum(seconds) / jobs, *seconds], default=0.0)
