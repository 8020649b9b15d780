"""From a verifier's name to a verifier that is safe to call.

Verifiers that are safe by construction have `isolation="none"` and judge in the caller. All others judge in a pool of
killable workers. A process has one pool for each verifier with its options, which all callers share.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

from kgym.hookspecs import VerifierInfo
from kgym.limits import PoolLimits
from kgym.loading import prints_to_stderr
from kgym.options import Options
from kgym.registry import registry
from kgym.types import LoadedVerifier, Verdict, Verifier, VerifyItem
from kgym.verify.checked import Judged, judge
from kgym.verify.pool import Fast, VerifierPool
from kgym.verify.troubles import Troubles

_shared: dict[tuple[str, str, str], VerifierPool] = {}
_lock = threading.Lock()


class CallerVerifier:
    """A verifier that judges in the caller's process, with the same consequences of its errors as in a worker."""

    def __init__(self, verifier: Verifier, who: str, *, batched: bool = False, threads: int = 1) -> None:
        self.batched = batched
        self._threads = threads
        self._verifier = verifier
        self._troubles = Troubles(who)
        self._lock = threading.Lock()
        self._queue: deque[tuple[VerifyItem, Future[Verdict]]] = deque()
        self._working = 0

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item, in order."""
        if not items:
            return []
        with prints_to_stderr():
            judged = self._judged(items)
        for item, (_, trouble) in zip(items, judged, strict=True):
            if trouble is not None:
                self._troubles.note(trouble, item)
        return [verdict for verdict, _ in judged]

    def _judged(self, items: Sequence[VerifyItem]) -> list[Judged]:
        if self._threads == 1 or len(items) == 1:
            return judge(self._verifier, items)
        with ThreadPoolExecutor(self._threads) as executor:
            return [judged for (judged,) in executor.map(lambda item: judge(self._verifier, [item]), items)]

    def submit(self, item: VerifyItem) -> "Future[Verdict]":
        """Judge in a thread, each completion alone: a verdict does not depend on which others wait at the same time."""
        future: Future[Verdict] = Future()
        with self._lock:
            self._queue.append((item, future))
            if self._working < self._threads:
                self._working += 1
                threading.Thread(target=self._work, name="kgym-verifier", daemon=True).start()
        return future

    def _work(self) -> None:
        """Judge what is in the queue until it is empty."""
        while True:
            with self._lock:
                if not self._queue:
                    self._working -= 1
                    return
                item, future = self._queue.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    (verdict,) = self.verify_many([item])
                except BaseException as error:  # raised where the verdict is waited for
                    future.set_exception(error)
                else:
                    future.set_result(verdict)


def load_verifier(
    name: str, options: Mapping[str, Any] | Options | None = None, *, limits: PoolLimits | None = None
) -> LoadedVerifier:
    """Return the verifier called `name`, in a pool unless it is safe without one.

    A verifier may have a method `fast(item) -> Verdict | None` for items that it can judge quickly and safely. It is
    called in this process, and only items for which it returns None are sent to a worker. An item for which the
    verifier raises or returns something other than a Verdict is unscored, and the reason is logged once with the names
    of the verifier, its distribution and the problem.

    Raises UnknownName for a name that no plugin offers and ConfigError for options that the verifier does not take.
    """
    plain = options.model_dump(mode="json") if isinstance(options, Options) else dict(options or {})
    info = registry().info(VerifierInfo, name)
    who = registry().label("verifier", name)
    verifier = cast(Verifier, registry().create("verifier", name, plain))  # also checks the options, in this process
    if info.isolation == "none":
        threads = (limits or PoolLimits()).n_workers if info.threads else 1
        return CallerVerifier(verifier, who, batched=info.batched, threads=threads)
    limits = limits or PoolLimits()
    key = (info.target, repr(sorted(plain.items())), limits.model_dump_json())
    with _lock:
        pool = _shared.get(key)
        if pool is None:
            fast = cast("Fast | None", getattr(verifier, "fast", None))
            pool = _shared[key] = VerifierPool(info.target, plain, limits=limits, fast=fast, who=who)
        return pool
