"""Verifiers in worker processes that can be killed.

One thread of the caller's process looks after each worker: it takes items from a common queue, sends them over, and waits for each
verdict until the deadline, which is counted from when the worker starts on the item (so that a long queue costs nobody a point).
A worker that is late or gone is killed and replaced, its item is `unscored:<why>`, and the rest of its batch goes on in the new one.
No signal handlers, no multiprocessing; callable from any thread, and from asyncio through `verify_many_async`.

    unscored:timeout        the deadline passed
    unscored:cpu            the worker used up its processor time (RLIMIT_CPU)
    unscored:memory         an allocation failed under RLIMIT_AS
    unscored:killed         something else, such as the kernel out of memory, killed the worker
    unscored:crash          the worker ended in another way (a segmentation fault in a C library)
    unscored:error:NAME     the verifier raised NAME
"""

import asyncio
import atexit
import logging
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from kgym.errors import VerifierError
from kgym.loading import FILES
from kgym.types import Verdict, VerifyItem
from kgym.verify.frames import receive_exactly, receive_frame, send_frame
from kgym.verify.limits import PoolLimits
from kgym.verify.zygote import NUMBER

log = logging.getLogger(__name__)

Fast = Callable[[VerifyItem], Verdict | None]
_Job = tuple[list[VerifyItem], "Future[list[Verdict]]"]

_STARTUP_S = 120.0
"""For importing the verifier's libraries on a busy machine."""
_CHUNK = 16
"""Items sent to a worker at a time, at most: enough to hide the way there, few enough to share out evenly."""


class VerifierPool:
    """Judges items in killable workers; a `Verifier` itself.

    `target` is a `"module:attribute"` string and `options` plain JSON values, since the workers import and build the verifier themselves.
    `fast`, if given, is asked first, in the caller: a verdict, or None to have a worker judge.
    """

    def __init__(
        self, target: str, options: Mapping[str, Any] | None = None, *, limits: PoolLimits | None = None, fast: Fast | None = None
    ) -> None:
        self.target = target
        self.limits = limits or PoolLimits()
        self._options = dict(options or {})
        self._fast = fast
        self._lock = threading.Lock()
        self._control_lock = threading.Lock()
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False

    # --- for callers ---

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item, in order. Raises VerifierError if the verifier cannot be started."""
        verdicts = [self._fast(item) if self._fast else None for item in items]
        slow = [i for i, verdict in enumerate(verdicts) if verdict is None]
        jobs = self._submit([items[i] for i in slow])
        for i, verdict in zip(slow, (v for job in jobs for v in job.result()), strict=True):
            verdicts[i] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    async def verify_many_async(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """`verify_many` without blocking the event loop."""
        verdicts = [self._fast(item) if self._fast else None for item in items]
        slow = [i for i, verdict in enumerate(verdicts) if verdict is None]
        done = await asyncio.gather(*(asyncio.wrap_future(job) for job in self._submit([items[i] for i in slow])))
        for i, verdict in zip(slow, (v for job in done for v in job), strict=True):
            verdicts[i] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    def start(self) -> Self:
        """Start the workers now instead of at the first item that needs one."""
        self._start()
        return self

    def close(self) -> None:
        """End all workers; the pool starts anew if it is used again."""
        with self._lock:
            threads, zygote, control, jobs = self._threads, self._zygote, self._control, self._jobs
            self._closed = True
            for _ in threads:
                jobs.put(None)
            if control is not None:
                control.close()  # the zygote kills its workers when it hears no more from us, and their threads wake up
            if zygote is not None:
                try:
                    zygote.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    zygote.kill()
                    zygote.wait()
            for thread in threads:
                thread.join(timeout=5)
            self._reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- inside ---

    def _submit(self, items: list[VerifyItem]) -> "list[Future[list[Verdict]]]":
        if not items:
            return []
        size = min(_CHUNK, math.ceil(len(items) / (4 * self.limits.workers)))
        futures = []
        with self._lock:
            self._start_locked()
            for begin in range(0, len(items), size):
                future: Future[list[Verdict]] = Future()
                self._jobs.put((items[begin : begin + size], future))
                futures.append(future)
        return futures

    def _start(self) -> None:
        with self._lock:
            self._start_locked()

    def _start_locked(self) -> None:
        if self._zygote is not None:
            return
        ours, theirs = socket.socketpair()
        config = {
            "path": [*sys.path, os.getcwd()],
            "target": self.target,
            "file": str(FILES.get(self.target.partition(":")[0], "")),
            "options": self._options,
            "memory_bytes": int(self.limits.memory_gib * 2**30),
            "cpu_s": self.limits.deadline_s,
        }
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._zygote = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            [sys.executable, "-m", "kgym.verify.zygote", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the caller; we end the workers ourselves
            env=environment,
        )
        theirs.close()
        self._control = ours
        try:
            send_frame(ours, config)
            error = receive_frame(ours, _STARTUP_S)["error"]
        except (EOFError, TimeoutError, OSError) as problem:
            error = f"the worker process did not start ({type(problem).__name__})"
        if error:
            ours.close()
            self._zygote.kill()
            self._zygote.wait()
            self._zygote = self._control = None
            raise VerifierError(f"verifier {self.target} cannot be imported by its workers: {error}")
        ours.settimeout(None)
        for number in range(self.limits.workers):
            thread = threading.Thread(target=self._serve, args=(self._jobs,), name=f"kgym-verifier-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, jobs: "queue.SimpleQueue[_Job | None]") -> None:
        worker: _Worker | None = None
        while (job := jobs.get()) is not None:
            items, future = job
            verdicts: list[Verdict] = []
            try:
                while len(verdicts) < len(items):
                    if worker is None:
                        worker = _Worker(self)
                    if not worker.judge(items[len(verdicts) :], verdicts):
                        worker = None
                future.set_result(verdicts)
            except Exception as error:
                worker = None
                future.set_exception(
                    error if isinstance(error, VerifierError) else VerifierError(f"verifier {self.target}: {type(error).__name__}: {error}")
                )
        if worker is not None:
            worker.channel.close()

    def _fork(self, channel: socket.socket) -> int:
        with self._control_lock:
            if self._closed or self._control is None:
                raise VerifierError("the verifier pool was closed while it was judging")
            socket.send_fds(self._control, [b"F"], [channel.fileno()])
            return int(NUMBER.unpack(receive_exactly(self._control, NUMBER.size))[0])

    def _end(self, pid: int) -> int:
        with self._control_lock:
            if self._closed or self._control is None:
                raise VerifierError("the verifier pool was closed while it was judging")
            self._control.sendall(b"E" + NUMBER.pack(pid))
            return int(NUMBER.unpack(receive_exactly(self._control, NUMBER.size))[0])


class _Worker:
    """One worker process, as seen by the thread that looks after it."""

    def __init__(self, pool: VerifierPool) -> None:
        self._pool = pool
        self._judged = 0
        self.channel, theirs = socket.socketpair()
        self._pid = pool._fork(theirs)
        theirs.close()
        try:
            hello = receive_frame(self.channel, _STARTUP_S)
        except (EOFError, TimeoutError) as error:
            self._retire()
            raise VerifierError(f"a worker of verifier {pool.target} did not start ({type(error).__name__})") from None
        if not hello["ready"]:
            self._retire()
            raise VerifierError(f"verifier {pool.target} cannot be built: {hello['error']}")

    def judge(self, items: list[VerifyItem], verdicts: list[Verdict]) -> bool:
        """Append a verdict for each item; False as soon as this worker is spent, perhaps with items left."""
        try:
            send_frame(self.channel, [(item.gold, item.response, item.question) for item in items])
        except OSError:
            verdicts.append(Verdict("unscored", self._why()))
            return False
        for _ in items:
            try:
                verdict = Verdict(**receive_frame(self.channel, self._pool.limits.deadline_s))
            except TimeoutError:
                verdicts.append(Verdict("unscored", "timeout", seconds=self._pool.limits.deadline_s))
                self._retire()
                return False
            except EOFError:
                verdicts.append(Verdict("unscored", self._why()))
                return False
            verdicts.append(verdict)
            self._judged += 1
            if verdict.reason == "memory" and not verdict.scored:
                self._retire()  # what is left of its heap is anybody's guess
                return False
        if self._judged >= self._pool.limits.recycle_after:
            self._retire()
            return False
        return True

    def _retire(self) -> int:
        self.channel.close()
        return self._pool._end(self._pid)

    def _why(self) -> str:
        code = self._retire()
        log.info("a worker of verifier %s ended with exit code %s", self._pool.target, code)
        return {-signal.SIGXCPU: "cpu", -signal.SIGKILL: "killed"}.get(code, "crash")


_pools: "weakref.WeakSet[VerifierPool]" = weakref.WeakSet()


def close_all() -> None:
    """End the workers of every pool of this process."""
    for pool in list(_pools):
        pool.close()


def _forget_after_fork() -> None:
    """In a forked child: the workers and their threads belong to the parent."""
    for pool in list(_pools):
        pool._lock = threading.Lock()
        pool._control_lock = threading.Lock()
        if pool._control is not None:
            pool._control.close()
        pool._reset()


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget_after_fork)
