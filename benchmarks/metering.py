"""What the processes of a benchmark have in common: a clock of CPU seconds, phases, and lines of JSON between them.

    meter = Meter()                     # user and system time of this process and of its workers
    with meter.phase("generate"): ...   # the inner of two nested phases gets the time
    meter.take()                        # {"cpu_s": 3.1, "wall_s": 1.7, "phases": {"generate": 1.2}}, and begin again

Only the standard library: the side of another trainer runs in its own environment, without kgym.
"""

import ctypes
import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import IO, Any

TICK = os.sysconf("SC_CLK_TCK")


def tree_cpu_s() -> float:
    """Return the user and system seconds of this process, of its children that have ended and of its descendants
    that are alive.
    """
    own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    parents: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
        seconds[int(folder.name)] = sum(map(int, fields[11:15])) / TICK
    below = list(parents.get(os.getpid(), ()))
    for process in below:
        below += parents.get(process, ())
    return own + sum(seconds[process] for process in below)


def memory_gib(what: str = "VmRSS") -> float:
    """Return the resident memory of this process, or with `VmHWM` its peak since `reset_peak`."""
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith(what + ":"):
            return int(text.split()[1]) / 2**20
    raise LookupError(what)


def reset_peak() -> None:
    """Give unused memory back, and let `memory_gib("VmHWM")` begin again at what is resident now."""
    with suppress(OSError, AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


class Meter:
    """Adds up the CPU seconds of phases between two calls of `take`."""

    def __init__(self) -> None:
        self._stack: list[str] = []
        self.begin()

    def begin(self) -> None:
        """Forget what was added up."""
        self._phases: dict[str, float] = {}
        self._since = time.process_time()
        reset_peak()
        self._gib = memory_gib()
        self._cpu, self._wall = tree_cpu_s(), time.perf_counter()

    def take(self) -> dict[str, Any]:
        """Return the seconds since `begin` or the last `take`, and the memory that was added at the peak, in GiB.

        Phases and memory are of this process alone.
        """
        self._add()
        taken = {"cpu_s": tree_cpu_s() - self._cpu, "wall_s": time.perf_counter() - self._wall, "phases": self._phases}
        taken["peak_gib"] = memory_gib("VmHWM") - self._gib
        self.begin()
        return taken

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add what the block takes to a phase."""
        self._add()
        self._stack.append(name)
        try:
            yield
        finally:
            self._add()
            self._stack.pop()

    def _add(self) -> None:
        now = time.process_time()
        if self._stack:
            self._phases[self._stack[-1]] = self._phases.get(self._stack[-1], 0.0) + now - self._since
        self._since = now

    def wrap(self, owner: Any, method: str, phase: str) -> None:
        """Let every call of a method or function of `owner` be a phase."""
        inner = getattr(owner, method)

        @wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.phase(phase):
                return inner(*args, **kwargs)

        setattr(owner, method, timed)


class Wire:
    """Lines of JSON to and from the process that started this one; what libraries print goes to standard error."""

    def __init__(self) -> None:
        self._out: IO[str] = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def send(self, kind: str, **values: Any) -> None:
        """Send a message."""
        self._out.write(json.dumps({"kind": kind, **values}) + "\n")
        self._out.flush()

    def receive(self) -> Mapping[str, Any]:
        """Wait for a message. Raises SystemExit if the other side is gone."""
        line = sys.stdin.readline()
        if not line:
            raise SystemExit(0)
        message: Mapping[str, Any] = json.loads(line)
        return message

    def may_go(self) -> bool:
        """Wait until the next step may be taken; False if there shall be none."""
        return bool(self.receive()["kind"] == "go")


def odd(text: str) -> float:
    """Return a reward that random texts get in half of the cases: whether the sum of their bytes is odd."""
    return float(sum(text.encode(errors="replace")) % 2)
