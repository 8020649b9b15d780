"""Every problem equally often: a finite set in shuffled epochs, an endless one with new problems only."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from kgym.errors import ConfigError
from kgym.options import Options
from kgym.seeding import derive_seed
from kgym.types import ProblemSource, Verdict


class UniformOptions(Options):
    """No options."""


class Uniform:
    """Without replacement in each epoch, and never the same problem twice in one step."""

    Options = UniformOptions

    def __init__(self, options: UniformOptions, source: ProblemSource, seed: int) -> None:
        self.size = source.size
        self.seed = seed
        self._epoch = 0
        self._left: list[int] = []  # the rest of this epoch of a finite source
        self._drawn = 0  # number of draws from an endless source

    def next(self, n: int, step: int) -> list[int]:
        """Return n different indices. Raises ConfigError if the source has fewer than n problems."""
        if self.size is None:
            first = derive_seed(self.seed, "first") % 2**32 + self._drawn  # another seed, other problems
            self._drawn += n
            return list(range(first, first + n))
        if n > self.size:
            raise ConfigError(
                f"a step of {n} problems from a source of {self.size}: take at most {self.size} problems a step"
            )
        chosen, self._left = self._left[:n], self._left[n:]
        if len(chosen) < n:
            order = self._next_epoch()
            order.sort(key=set(chosen).__contains__)  # stable: problems that this step already has come last
            missing = n - len(chosen)
            chosen, self._left = chosen + order[:missing], order[missing:]
        return chosen

    def _next_epoch(self) -> list[int]:
        assert self.size is not None
        self._epoch += 1
        order = list(range(self.size))
        random.Random(derive_seed(self.seed, "epoch", self._epoch)).shuffle(order)  # noqa: S311  (not a secret)
        return order

    def update(self, index: int, verdicts: Sequence[Verdict]) -> None:
        """Ignore the verdicts: every problem is drawn equally often."""

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the order."""
        return {"epoch": self._epoch, "left": list(self._left), "drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from there."""
        self._epoch, self._left, self._drawn = int(state["epoch"]), list(state["left"]), int(state["drawn"])
