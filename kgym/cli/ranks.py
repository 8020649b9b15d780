"""`--ranks N`: start a command as N processes of this machine with PyTorch's own launcher, and end with their status.

    kgym train --ranks 4 ...      is      torchrun --nproc-per-node 4 -m kgym train ...

except that one line says what went wrong instead of torchrun's report, and the exit status is that of the rank that
failed. On several machines Ray starts the ranks (`--cluster`, see `cluster.py`), or torchrun itself.
"""

import argparse
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kgym.cli.interrupts import Interrupted, farewell
from kgym.cli.output import say
from kgym.errors import ConfigError
from kgym.world import LAUNCHER, is_first, join, n_ranks

T = TypeVar("T")

GRACE_S = 20
"""Time that ranks have to end after a signal; then they are killed."""

OPTIONS = ("--ranks", "--cluster")


def add_ranks(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--ranks",
        metavar="N",
        type=int,
        help="train on N processes of this machine, one for each GPU; each has a part of the episodes and of the model",
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="start the processes of --ranks on the machines of this Ray cluster; auto is the cluster of this machine",
    )


def first_rank() -> bool:
    """Whether this process prints for the run."""
    return is_first()


def agreed(choose: Callable[[], T]) -> T:
    """Return what rank 0 chose: the others could see another time, or files that rank 0 has written meanwhile."""
    if n_ranks() == 1:
        return choose()
    world = join()
    return world.broadcast(choose() if world.first else None)  # type: ignore[return-value]  # of rank 0


def started_again(command: str) -> str:
    """Return the command to type to start on the ranks of this run again: with torchrun, if it has started them."""
    if n_ranks() == 1 or LAUNCHER in os.environ:
        return command
    program, *words = shlex.split(command)
    return shlex.join(["torchrun", "...", "-m", program, *words])


def launches(args: argparse.Namespace) -> bool:
    """Whether the command starts ranks instead of training itself. Raises ConfigError for a cluster without a number
    of ranks.
    """
    if args.cluster is not None and args.ranks is None:
        raise ConfigError(f"--cluster {args.cluster} starts ranks, and needs their number: --ranks N")
    return args.ranks is not None


def launched(args: argparse.Namespace, run: Path, how_to_go_on: Callable[[], str], *, device: str) -> int:
    """Run the command of `args` on its number of ranks, in the folder `run`, and return its exit status. The ranks
    compute on `device`.

    Raises ConfigError for an invalid number of ranks.
    """
    if args.ranks < 1:
        raise ConfigError(f"--ranks {args.ranks}: a run needs at least one")
    if n_ranks() > 1:
        raise ConfigError("--ranks starts ranks, and torchrun has started this one already; leave it out")
    words = _without_ranks(args.words)
    if args.run is None:
        words += ["--run", str(run)]
    if args.cluster is not None:
        from kgym.cli.cluster import run_on_cluster

        return run_on_cluster(words, args.ranks, args.cluster, how_to_go_on, gpus=device != "cpu")
    return _run(words, args.ranks, how_to_go_on)


def _without_ranks(words: Sequence[str]) -> list[str]:
    """Return the words of a command without `--ranks N` and `--cluster ADDRESS`."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word not in OPTIONS and not word.startswith(tuple(f"{option}=" for option in OPTIONS)):
            kept.append(word)
        skip = word in OPTIONS and not skip
    return kept


def _run(words: Sequence[str], n: int, how_to_go_on: Callable[[], str]) -> int:
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ[LAUNCHER] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", "1" if n > 1 else "")
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):  # each has its own level, and reports what is printed below
            logging.getLogger(name).setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=f"kgym-{os.getpid()}",
        max_restarts=0,
        shutdown_timeout=GRACE_S,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "kgym", *words)
    except SignalException as stop:
        number = int(stop.sigval)
        ended = KeyboardInterrupt() if number == signal.SIGINT else Interrupted(number)
        ended.add_note(how_to_go_on())
        text, status = farewell(ended)
    except ChildFailedError as error:
        rank, failure = _cause(error)
        if failure.exitcode >= 0:  # the rank has printed why
            return int(failure.exitcode)
        text = f"error: rank {rank} was killed by {signal.Signals(-failure.exitcode).name}"
        text += " (by the system, if memory ran out)" if -failure.exitcode == signal.SIGKILL else ""
        text, status = f"{text}; {how_to_go_on()}", 1
    else:
        return 0
    say(f"kgym: {text}", file=sys.stderr)
    return status


def _cause(error: Any) -> tuple[int, Any]:
    """Return the rank that ended first, and how it ended; a rank that was killed comes before others."""
    killed = {rank: failure for rank, failure in error.failures.items() if failure.exitcode < 0}
    by_others = {rank: failure for rank, failure in killed.items() if -failure.exitcode != signal.SIGTERM}
    found: tuple[int, Any] = min((by_others or killed or error.failures).items(), key=lambda item: item[1].timestamp)
    return found
