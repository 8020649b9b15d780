"""Verifiers in worker processes that can be killed.

One thread of the caller's process, a keeper, looks after each worker: it takes items from a common queue, sends them to
the worker, and waits for each verdict until the deadline. The deadline is counted from when the worker starts on the
item, so that a long queue does not cause timeouts. It uses neither signal handlers nor multiprocessing, and can be
called from any thread, and from asyncio with `verify_many_async`.

    unscored:timeout        the deadline passed
    unscored:cpu            the worker used up its processor time (RLIMIT_CPU)
    unscored:memory         an allocation failed under RLIMIT_AS
    unscored:killed         something else, such as the kernel out of memory, killed the worker
    unscored:crash          the worker ended in another way (a segmentation fault in a C library)
    unscored:no_worker      no worker could be started: the machine has no more processes, memory or files
    unscored:error:NAME     the verifier raised NAME
    unscored:bad_verdict    the verifier returned something other than Verdicts

Every call returns, in a time bounded by its items and their deadlines. It raises VerifierError only if the verifier
cannot be imported or built, or if the pool is closed while it judges. States, events and their consequences:

    a job (up to 16 items of a call): queued -> judging -> every item has a verdict
        its caller leaves, or the rest of the call is given up (`call.py`)
                                    dropped; a worker that judges it is replaced
        no worker can be started    queued again if another keeper has a worker; otherwise its items are
                                    unscored:no_worker
    an item: has one verdict, the first
        its worker ended before it could have begun, or the fork server was lost
                                    judged once more, alone; the second time it is unscored with the reason
    a worker (`worker.py`): none -> starting -> idle -> judging -> idle ... -> none
        late, ended, out of memory, used up
                                    killed by the fork server; its keeper starts another for the next item
        cannot be started           tried three times within about a second
    the fork server (`server.py`): none -> starting -> serving -> lost -> none
        killed, stopped, silent     lost: killed with all of its workers; the next keeper that needs a worker starts
                                    another
    a keeper (`keeper.py`): lives until the pool is closed or collected
        an error                    does not end it
        it cannot start a worker while others have one
                                    it ends
        its thread cannot be started
                                    the next call tries again; without any keeper, items are unscored:no_worker
"""

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from kgym.errors import VerifierError
from kgym.limits import PoolLimits
from kgym.loading import prints_to_stderr
from kgym.types import Verdict, VerifyItem
from kgym.verify.call import Call
from kgym.verify.checked import sound
from kgym.verify.crew import Crew
from kgym.verify.server import NoWorker
from kgym.verify.troubles import Troubles

log = logging.getLogger(__name__)

Fast = Callable[[VerifyItem], Verdict | None]

REPORT_S = 10.0
"""Seconds after which the progress of a waiting call is checked; the intervals then double."""


class VerifierPool:
    """Judges items in killable workers; a `Verifier` itself.

    `target` is a `"module:attribute"` string and `options` plain JSON values, since the workers import and build the
    verifier themselves. `fast`, if given, is called first, in the caller's process: it returns a verdict, or None to
    let a worker judge. `who` is the name of the verifier in messages.
    """

    batched = False
    """Workers judge one completion after another."""

    def __init__(
        self,
        target: str,
        options: Mapping[str, Any] | None = None,
        *,
        limits: PoolLimits | None = None,
        fast: Fast | None = None,
        who: str = "",
    ) -> None:
        self.target = target
        self.limits = limits or PoolLimits()
        self.troubles = Troubles(who or f"verifier {target}")
        self._options = dict(options or {})
        self._fast = fast
        self._lock = threading.Lock()
        self._crew: Crew | None = None
        self._reported_at = -REPORT_S
        _pools.add(self)

    # --- for callers ---

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item, in order. Raises VerifierError if the verifier cannot be imported or
        built.
        """
        verdicts, slow = self._at_once(items)
        if slow:
            call = self._submit([items[i] for i in slow])
            try:
                for patience in _intervals():
                    with contextlib.suppress(TimeoutError):
                        judged = call.future.result(patience)
                        break
                    self._report(call)
            finally:
                call.leave()
            for i, verdict in zip(slow, judged, strict=True):
                verdicts[i] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    async def verify_many_async(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """`verify_many` without blocking the event loop. If it is cancelled, its items are dropped."""
        verdicts, slow = self._at_once(items)
        if slow:
            call = self._submit([items[i] for i in slow])
            future = asyncio.wrap_future(call.future)
            try:
                for patience in _intervals():
                    if (await asyncio.wait({future}, timeout=patience))[0]:
                        break
                    self._report(call)
            finally:
                call.leave()
            for i, verdict in zip(slow, future.result(), strict=True):
                verdicts[i] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    def submit(self, item: VerifyItem) -> "Future[Verdict]":
        """Judge one item without waiting for it. A future that is cancelled drops the item."""
        future: Future[Verdict] = Future()
        verdicts, slow = self._at_once([item])
        if not slow:
            (verdict,) = verdicts
            assert verdict is not None
            future.set_result(verdict)
            return future
        call = self._submit([item])
        future.add_done_callback(lambda own: call.leave() if own.cancelled() else None)
        call.future.add_done_callback(lambda judged: _pass_on(judged, future))
        return future

    def start(self) -> Self:
        """Start the fork server now instead of at the first item that needs a worker."""
        with self._lock:
            crew = self._crew_locked()
        try:
            crew.start()
        except NoWorker as error:
            raise VerifierError(f"{self.troubles.who} has no worker: {error}") from error
        return self

    @property
    def server_pid(self) -> int | None:
        """The process id of the fork server, None if there is none."""
        crew = self._crew
        return crew.server_pid if crew is not None else None

    def close(self) -> None:
        """End all workers; the pool starts again if it is used again."""
        with self._lock:
            crew, self._crew = self._crew, None
        if crew is not None:
            self._collected.detach()
            crew.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside ---

    def _at_once(self, items: Sequence[VerifyItem]) -> tuple[list[Verdict | None], list[int]]:
        """Return the verdicts that need no worker, and the places of the other items."""
        if self._fast is None:
            return [None] * len(items), list(range(len(items)))
        with prints_to_stderr():
            verdicts = [self._fast_verdict(self._fast, item) for item in items]
        return verdicts, [i for i, verdict in enumerate(verdicts) if verdict is None]

    def _fast_verdict(self, fast: Fast, item: VerifyItem) -> Verdict | None:
        try:
            verdict = fast(item)
            return None if verdict is None else sound(verdict)
        except (Exception, SystemExit) as error:  # third-party code
            self.troubles.note_fast(error, item)  # a worker judges, and reports more if it fails there too
            return None

    def _submit(self, items: list[VerifyItem]) -> Call:
        call = Call(items)
        with self._lock:  # so that it is not queued in a crew that is just being dismissed
            self._crew_locked().submit(call)
        return call

    def _crew_locked(self) -> Crew:
        if self._crew is None:
            self._crew = Crew(self.target, self._options, self.limits, self.troubles)
            self._collected = weakref.finalize(self, self._crew.dismiss)  # keepers hold the crew and not the pool
            self._collected.atexit = False
        return self._crew

    def _report(self, call: Call) -> None:
        """Log that a call makes little or no progress; once an interval for calls that wait at the same time."""
        now = time.monotonic()
        if call.stalls(REPORT_S) and now - self._reported_at >= REPORT_S / 2:
            self._reported_at = now
            log.warning(
                "%s: %d of %d completions judged after %.0f s, %d of them timed out; each may take %g s before it is "
                "unscored:timeout "
                "(the limit is deadline_s: --deadline of kgym verify, verifier.limits.deadline_s elsewhere)",
                self.troubles.who,
                call.done,
                len(call.items),
                call.waited_s,
                call.timeouts,
                self.limits.deadline_s,
            )

    def _forget(self) -> None:
        """In a forked child: the workers and the threads that look after them belong to the parent."""
        self._lock = threading.Lock()
        crew, self._crew = self._crew, None
        if crew is not None:
            self._collected.detach()
            crew.forget()


def _pass_on(judged: "Future[list[Verdict]]", future: "Future[Verdict]") -> None:
    """Pass the result of a call with one item on to the future of that item."""
    if judged.cancelled() or not future.set_running_or_notify_cancel():
        return
    error = judged.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(judged.result()[0])


def _intervals() -> Iterator[float]:
    patience = REPORT_S
    while True:
        yield patience
        patience *= 2


_pools: "weakref.WeakSet[VerifierPool]" = weakref.WeakSet()


def close_all() -> None:
    """End the workers of every pool of this process."""
    for pool in list(_pools):
        pool.close()


def _forget_after_fork() -> None:
    for pool in list(_pools):
        pool._forget()


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget_after_fork)
