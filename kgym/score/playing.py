"""Playing the episodes of an evaluation: as many at the same time as there are slots, a new one for each that ends.
Episodes that have ended are handed over to be stored.

    Player(setup, engine, keep=store ...).play([(problem, attempt) ...])

So the slots are full until the last episodes of a long evaluation, and little is lost when the process is killed. An
error or an interruption loses no episode that has ended.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from kgym.envs.setup import EnvSetup
from kgym.rollout.episodes import EpisodePool
from kgym.types import CountsUse, Engine, Episode, Problem, Sampling

TICK_S = 2.0
"""Longest time between two calls of `progress`, as far as the engine allows."""
KEEP_S = 30.0
"""Longest time until an ended episode is stored: a killed process loses what ended within it."""
FREE_FRAC = 1 / 8
"""Share of the slots that has to be free before new episodes are begun: engines read prompts together."""


@dataclass(frozen=True)
class Standing:
    """How far an evaluation is."""

    done: int
    """Completions that have ended, those of an earlier command included."""
    total: int
    """Completions asked for."""
    played: int = 0
    """Completions that have ended since the command began."""
    tokens: int = 0
    """Tokens sampled since the command began."""
    usage: Mapping[str, int] = field(default_factory=dict)
    """See `kgym.types.CountsUse`; {} for an engine that does not count."""


class Player:
    """Plays attempts at problems with one engine."""

    def __init__(
        self,
        setup: EnvSetup,
        engine: Engine,
        *,
        slots: int,
        sampling: Sampling,
        seed_parts: tuple[str | int, ...],
        problem: Callable[[int], Problem],
        keep: Callable[[list[Episode]], None],
        progress: Callable[[int, int], None],
    ) -> None:
        """`problem` returns the problem at an index; `keep` is given episodes with their verdicts.

        `progress` is called as (episodes that have ended, tokens sampled).
        """
        self.engine = engine
        self._setup = setup
        self._slots = slots
        self._sampling = sampling
        self._seed_parts = seed_parts
        self._problem = problem
        self._keep = keep
        self._progress = progress
        self._pool = EpisodePool(progress=lambda ended, _, tokens: self._tell(ended, tokens))
        self._n_kept = 0
        self._told = 0.0
        self._kept = time.monotonic()

    def play(self, asked: Iterable[tuple[int, int]]) -> None:
        """Play attempts, given as (index of the problem, number of the attempt). Raises what `EpisodePool.advance`
        raises.
        """
        waiting = deque(asked)
        try:
            while waiting or self._pool.n_open:
                self._fill(waiting)
                self._pool.advance(self.engine, timeout_s=TICK_S)
                if time.monotonic() - self._told >= TICK_S:
                    self._tell(self._pool.n_ended_groups, self._pool.n_tokens)
                if self._is_due():
                    self._hand_over()
        except BaseException as stop:
            if isinstance(stop, KeyboardInterrupt):  # after an error the engine has no open request
                with suppress(Exception):  # report what ended the run, not what followed from it
                    self._pool.pause(self.engine)
            with suppress(Exception):
                self._hand_over()
            raise
        self._hand_over()

    def _fill(self, waiting: "deque[tuple[int, int]]") -> None:
        """Begin episodes in the free slots."""
        free = self._slots - self._pool.n_open
        if free < (self._slots if self._setup.verifier.batched else max(1, int(self._slots * FREE_FRAC))):
            return
        for index, attempt in [waiting.popleft() for _ in range(min(free, len(waiting)))]:
            self._pool.start(
                self._setup,
                index,
                self._problem(index),
                attempts=[attempt],
                seed_parts=self._seed_parts,
                sampling=self._sampling,
                version=self.engine.version,
            )

    def _is_due(self) -> bool:
        """Whether ended episodes are to be handed over.

        A verifier that judges with a model gets all completions of the slots at once, so that its rounding does not
        depend on timing.
        """
        if self._setup.verifier.batched:
            return self._pool.n_open == 0
        ended = self._pool.n_ended_groups
        return ended >= self._slots or (ended > 0 and time.monotonic() - self._kept >= KEEP_S)

    def _hand_over(self) -> None:
        episodes = [episode for group in self._pool.finished() for episode in group.episodes]
        self._n_kept += len(episodes)
        self._kept = time.monotonic()
        self._keep(episodes)

    def _tell(self, ended: int, tokens: int) -> None:
        self._told = time.monotonic()
        self._progress(self._n_kept + ended, tokens)


def usage_of(engine: Engine | None, before: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return what an engine has counted since `before`; {} if it does not count."""
    found: Mapping[str, int] = engine.usage if isinstance(engine, CountsUse) else {}
    return {name: n - (before or {}).get(name, 0) for name, n in found.items()}


def added(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """Return the sums of two counts.

    >>> added({"requests": 3}, {"requests": 2, "failed_429": 1})
    {'requests': 5, 'failed_429': 1}
    """
    return {
        name: first.get(name, 0) + second.get(name, 0)
        for name in [*first, *(name for name in second if name not in first)]
    }


def n_failed(usage: Mapping[str, int]) -> int:
    """Return how many requests failed and were sent again.

    >>> n_failed({"requests": 9, "failed_429": 2, "failed_timeout": 1})
    3
    """
    return sum(n for name, n in usage.items() if name.startswith("failed_"))
