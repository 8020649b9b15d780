"""Replies while generating: an environment replies to a turn that has ended; a slow one, which runs programs, does so
in threads.

    responder.submit(flight, setup)     at once for a quick environment, in the background for a slow one
    responder.due(n_sampling, all=...)  those whose reply is to be taken now, in the order in which they were submitted

The time at which a reply is taken does not depend on how long it took, because the rounding of an engine depends on
what is sampled together: it is taken after the next segments that the engine returns, or at once if no more completions
are being sampled than wait for replies.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from kgym.envs.responding import WORKERS, reply_of
from kgym.envs.task import Responds
from kgym.types import Episode, Message, Verdict

Flight = TypeVar("Flight")
Said = Message | Verdict | None


@dataclass(frozen=True)
class _Pending(Generic[Flight]):
    flight: Flight
    said: "Future[Said]"
    returned: int
    """How many times the engine had returned segments."""


class Responder(Generic[Flight]):
    """Asks slow environments for replies. Used from one thread."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pending: list[_Pending[Flight]] = []
        self._returned = 0

    def __len__(self) -> int:
        return len(self._pending)

    def returned(self) -> None:
        """Note that the engine has returned segments."""
        self._returned += 1

    def submit(self, flight: Flight, task: Responds, episode: Episode) -> None:
        """Ask for the reply to an episode."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="kgym-replies")
        self._pending.append(_Pending(flight, self._pool.submit(reply_of, task, episode), self._returned))

    def due(self, n_sampling: int) -> Sequence[tuple[Flight, Said]]:
        """Return the replies that are to be taken while `n_sampling` completions are being sampled, and wait for those
        that are not ready.
        """
        everything = n_sampling <= len(self._pending)
        due = [pending for pending in self._pending if everything or pending.returned < self._returned]
        self._pending = [pending for pending in self._pending if pending not in due]
        return [(pending.flight, pending.said.result()) for pending in due]
