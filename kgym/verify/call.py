"""One call of a pool: its items, the verdicts so far, and the future that the caller waits for.

A call is open until each item has a verdict, until it fails as a whole, or until the caller leaves (a cancelled
coroutine, Ctrl-C). It is resolved once; later verdicts are discarded. After `HOPELESS` items in a row that timed out or
found no worker, in the order in which they ended, the rest is given up with the same reason: a verifier that hangs on
every item would take hours.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from kgym.types import Verdict, VerifyItem

HOPELESS = 20
"""Number of such items in a row after which the rest of the call is given up."""
NO_WORKER = "no_worker"
HOPELESS_REASONS = ("timeout", NO_WORKER)


class Call:
    """The items of one call. Methods may be called from any thread."""

    def __init__(self, items: Sequence[VerifyItem]) -> None:
        self.items = items
        self.future: Future[list[Verdict]] = Future()
        self.n_given_up = 0
        self.timeouts = 0
        self._begin = time.monotonic()
        self._last = self._begin
        """Time of the newest verdict."""
        self._verdicts: list[Verdict | None] = [None] * len(items)
        self._left = len(items)
        self._in_a_row = 0
        self._resolved = False
        self._lock = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether the caller has its verdicts or has left."""
        return self.future.done()

    @property
    def done(self) -> int:
        """Number of items with a verdict."""
        return len(self.items) - self._left

    @property
    def waited_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._begin

    def stalls(self, patience_s: float) -> bool:
        """Whether items timed out, or there was no verdict for `patience_s` seconds."""
        return self.timeouts > 0 or time.monotonic() - self._last >= patience_s

    def put(self, place: int, verdict: Verdict) -> bool:
        """Take the verdict on the item at `place`. Return whether the rest of the call is given up after it."""
        with self._lock:
            if self._resolved or self._verdicts[place] is not None:
                return False
            self._verdicts[place] = verdict
            self._left -= 1
            self._last = time.monotonic()
            hopeless = verdict.status == "unscored" and verdict.reason in HOPELESS_REASONS
            self._in_a_row = self._in_a_row + 1 if hopeless else 0
            self.timeouts += verdict.status == "unscored" and verdict.reason == "timeout"
            given_up = self._in_a_row >= HOPELESS and self._left > 0
            if given_up:
                self._give_up(Verdict("unscored", verdict.reason))
            finished = self._left == 0
            self._resolved = self._resolved or finished
        if finished:
            self._resolve(None)
        return given_up

    def fail(self, error: Exception) -> None:
        """End the call with an error."""
        with self._lock:
            if self._resolved:
                return
            self._resolved = True
        self._resolve(error)

    def leave(self) -> None:
        """Stop waiting: the caller has left."""
        self.future.cancel()

    def _give_up(self, verdict: Verdict) -> None:
        self.n_given_up = self._left
        self._left = 0
        self._verdicts = [verdict if known is None else known for known in self._verdicts]

    def _resolve(self, error: Exception | None) -> None:
        """Set the result; called once. The caller may leave at the same time, so the future is asked first."""
        if not self.future.set_running_or_notify_cancel():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result([verdict for verdict in self._verdicts if verdict is not None])
