"""The keepers of a pool with their common queue of jobs and fork server. `pool.py` describes how failures are
handled.
"""

import contextlib
import math
import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from kgym.errors import VerifierError
from kgym.limits import PoolLimits
from kgym.loading import FILES
from kgym.types import Verdict
from kgym.verify.call import NO_WORKER, Call
from kgym.verify.keeper import Job, Keeper
from kgym.verify.server import ForkServer
from kgym.verify.troubles import Troubles

_ITEMS = 16
"""Most items sent to a worker at a time: enough to hide the time of sending, few enough to share out evenly."""
_CHARACTERS = 1 << 18
"""Most characters of the items sent at a time, except for a single item: a worker has all of them in its memory."""


class Crew:
    """Keepers, their queue and their fork server, from the first item until the pool is closed or collected."""

    def __init__(self, target: str, options: Mapping[str, Any], limits: PoolLimits, troubles: Troubles) -> None:
        self.limits = limits
        self.troubles = troubles
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.closing = threading.Event()
        self.suspects = threading.Lock()
        """Held while an item is judged whose worker was lost for an unknown reason."""
        self._target = target
        self._options = options
        self._keepers: list[threading.Thread] = []
        self._server: ForkServer | None = None
        self._server_lock = threading.Lock()
        self._n_workers = 0
        self._count_lock = threading.Lock()

    # --- for the pool ---

    def submit(self, call: Call) -> None:
        """Put the items of a call into the queue, in jobs."""
        if not self._keep():
            self.troubles.once(
                "no_thread", f"cannot be run: no thread can be started; such completions are unscored:{NO_WORKER}"
            )
            for place in range(len(call.items)):
                call.put(place, Verdict("unscored", NO_WORKER))
            return
        for job in _jobs(call, self.limits.n_workers):
            self.jobs.put(job)

    def start(self) -> None:
        """Start keepers and fork server. Raises VerifierError, and NoWorker."""
        self._keep()
        self.server()

    @property
    def server_pid(self) -> int | None:
        """The process id of the fork server, None if there is none."""
        server = self._server
        return None if server is None or server.lost else server.pid

    def close(self) -> None:
        """End keepers, workers and fork server; calls that are still open fail."""
        self.closing.set()
        self.dismiss()
        self.close_server()
        for keeper in self._keepers:
            keeper.join(timeout=5)

    def dismiss(self) -> None:
        """Let the keepers end once the queue is done; the last one closes the fork server. It takes no lock and waits
        for nothing, since the garbage collector may call it in any thread.
        """
        for _ in self._keepers:
            self.jobs.put(None)

    def forget(self) -> None:
        """In a forked child: close its copy of the control channel."""
        if self._server is not None:
            self._server.forget()

    # --- for the keepers ---

    def server(self) -> ForkServer:
        """Return the fork server; start one if there is none or it is lost.

        Raises VerifierError if the verifier cannot be imported, or the pool is closed, and NoWorker.
        """
        with self._server_lock:  # one keeper starts it, the others wait
            self.check_open()
            if self._server is None or self._server.lost:
                self._server = ForkServer(self._config())  # from here on `close` finds it
                if self.closing.is_set():
                    self._server.close()
                self.check_open()
                self._server.greet()
            return self._server

    def check_open(self) -> None:
        """Raise VerifierError if the pool was closed."""
        if self.closing.is_set():
            raise VerifierError("the verifier pool was closed while it was judging")

    def close_server(self) -> None:
        """End the fork server and all workers, if it was started."""
        if self._server is not None:
            self._server.close()

    def count_worker(self, change: int) -> None:
        """Add `change` (1 or -1) to the number of workers."""
        with self._count_lock:
            self._n_workers += change

    @property
    def has_workers(self) -> bool:
        """Whether a keeper has a worker."""
        with self._count_lock:
            return self._n_workers > 0

    # --- inside ---

    def _config(self) -> dict[str, Any]:
        path = list(sys.path)
        with contextlib.suppress(OSError):  # the working directory may have been removed
            path.append(os.getcwd())
        return {
            "path": path,
            "target": self._target,
            "file": str(FILES.get(self._target.partition(":")[0], "")),
            "options": self._options,
            "memory_bytes": int(self.limits.memory_gib * 2**30),
            "cpu_s": self.limits.deadline_s,
        }

    def _keep(self) -> int:
        """Start missing keepers as long as threads can be started; return the number of keepers."""
        self._keepers = [keeper for keeper in self._keepers if keeper.is_alive()]
        for number in range(len(self._keepers), self.limits.n_workers):
            keeper = threading.Thread(target=Keeper(self).serve, name=f"kgym-verifier-{number}", daemon=True)
            try:
                keeper.start()
            except (RuntimeError, MemoryError):  # no more threads; the existing keepers do the work
                break
            self._keepers.append(keeper)
        return len(self._keepers)


def _jobs(call: Call, n_workers: int) -> Iterator[Job]:
    """Cut a call into jobs with few items and few characters each."""
    most = min(_ITEMS, math.ceil(len(call.items) / (4 * n_workers)))
    places: list[int] = []
    characters = 0
    for place, item in enumerate(call.items):
        length = (
            len(item.gold) + len(item.response) + len(item.question) + sum(len(turn.content) for turn in item.turns)
        )
        if places and (len(places) >= most or characters + length > _CHARACTERS):
            yield Job(call, places)
            places, characters = [], 0
        places.append(place)
        characters += length
    if places:
        yield Job(call, places)
