"""Sandboxes that are ready before they are needed, and `run`, which runs a program in one.

    >>> run({"main.py": "print(6 * 7)"}, ["python3", "main.py"]).stdout
    b'42\\n'

A box is used once: anything that a program has changed in it is thrown away with it. `probe.py` tests the isolation
before the first program.
"""

import atexit
import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from kgym.errors import SandboxError
from kgym.judging import probe
from kgym.judging.box import STORAGE_MIB, Box, Finished
from kgym.limits import ProgramLimits

log = logging.getLogger(__name__)


class Pool:
    """Keeps boxes ready, so that a program does not wait for the start of its box. Several threads may use it."""

    def __init__(self, size: int = 0) -> None:
        """`size` boxes are kept ready; 0 is one for each processor, at most 8."""
        self.size = size or max(1, min(8, os.cpu_count() or 1))
        self._ready: deque[Box] = deque()
        self._lock = threading.Condition()
        self._starter: threading.Thread | None = None

    @contextlib.contextmanager
    def box(self, storage_mib: int = STORAGE_MIB) -> Iterator[Box]:
        """Provide a fresh box, which is thrown away afterwards. Raises SandboxError if programs cannot be isolated."""
        probe.require()
        taken = self._take() if storage_mib <= STORAGE_MIB else Box(storage_mib)
        try:
            yield taken
        finally:
            taken.close()

    def run(
        self,
        files: Mapping[str, bytes | str],
        command: Sequence[str],
        limits: ProgramLimits | None = None,
        *,
        stdin: bytes | str = b"",
    ) -> Finished:
        """Run one program in its own box; see `run` of this module."""
        with self.box((limits or ProgramLimits()).storage_mib) as box:
            box.put(files)
            return box.run(command, stdin, limits)

    def close(self) -> None:
        """End the boxes that are ready; the pool starts new ones if it is used again."""
        with self._lock:
            ready, self._ready = list(self._ready), deque()
            starter, self._starter = self._starter, None
            self._lock.notify_all()
        for box in ready:
            box.close()
        if starter is not None:
            starter.join()

    def _take(self) -> Box:
        with self._lock:
            if self._starter is None:
                self._starter = threading.Thread(target=self._keep_ready, name="kgym-sandboxes", daemon=True)
                self._starter.start()
            while self._ready:
                box = self._ready.popleft()
                self._lock.notify_all()
                if box.alive:
                    return box
                box.close()
        return Box()

    def _keep_ready(self) -> None:
        """Start boxes until `size` are ready, and again whenever one has been taken."""
        own = threading.current_thread()
        while True:
            with self._lock:
                while self._starter is own and len(self._ready) >= self.size:
                    self._lock.wait()
                if self._starter is not own:
                    return
            try:
                box = Box()
            except (SandboxError, OSError) as error:  # a caller that needs a box starts one itself, and gets the error
                log.warning("a sandbox could not be started ahead of need: %s", error)
                with self._lock:
                    if self._starter is own:
                        self._starter = None
                return
            with self._lock:
                if self._starter is own:
                    self._ready.append(box)
                    continue
            box.close()

    def _forget(self) -> None:
        """In a forked child: the boxes and the thread belong to the parent."""
        self._lock = threading.Condition()
        self._starter = None
        for box in self._ready:
            box.forget()
        self._ready.clear()


_shared: Pool | None = None
_shared_lock = threading.Lock()


def shared_pool() -> Pool:
    """Return the pool of this process."""
    global _shared  # noqa: PLW0603  (one for all verifiers and tools: all boxes are alike)
    with _shared_lock:
        if _shared is None:
            _shared = Pool()
        return _shared


def run(
    files: Mapping[str, bytes | str],
    command: Sequence[str],
    limits: ProgramLimits | None = None,
    *,
    stdin: bytes | str = b"",
) -> Finished:
    """Run a program in its own sandbox, end all processes that it has started, and return how it ended.

    `files` (path: content) are in its working folder; `python3` is the interpreter of this process. Raises
    SandboxError, with the reason and the remedy, if programs cannot be isolated.
    """
    return shared_pool().run(files, command, limits, stdin=stdin)


def close_all() -> None:
    """End the boxes that are ready."""
    if _shared is not None:
        _shared.close()


def _forget_after_fork() -> None:
    global _shared_lock  # noqa: PLW0603
    _shared_lock = threading.Lock()
    if _shared is not None:
        _shared._forget()


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget_after_fork)
