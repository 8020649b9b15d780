"""What is not yet solved comes more often: the chance of problem i is proportional to 1 - s_i, its tracked success rate.

A problem that was never tried has s = 0. Success rates are a moving mean, as the policy gets better. Of an endless source, the
first `pool` problems in its order are the set that is practised.

Source: Kimi k1.5, arXiv:2501.12599, section 2.3.4.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from kgym.errors import ConfigError
from kgym.options import Options
from kgym.seeding import derive_seed
from kgym.types import ProblemSource, Verdict


class PrioritizedOptions(Options):
    """Problems with a low success rate first."""

    pool: int = Field(2048, ge=1)
    """Of an endless source: how many problems are practised."""
    memory: float = Field(0.5, ge=0, lt=1)
    """Weight of the old success rate when the problem is tried again; 0 goes by the last attempts alone."""
    floor: float = Field(0.02, gt=0, le=1)
    """Least weight of a problem, so that what is solved is still asked now and then. The paper has none."""


class Prioritized:
    """See the module."""

    Options = PrioritizedOptions

    def __init__(self, options: PrioritizedOptions, source: ProblemSource, seed: int) -> None:
        self.options = options
        self.seed = seed
        first = derive_seed(seed, "first") % 2**32 if source.size is None else 0  # another seed, other problems
        self._indices = range(first, first + (options.pool if source.size is None else source.size))
        self._rates: dict[int, float] = {}
        self._draws = 0

    def next(self, n: int, step: int) -> list[int]:
        """Return n different indices. Raises ConfigError if there are fewer than n problems.

        Without replacement by exponential clocks: each problem rings after a time with its weight as rate, and the first n are taken
        (Efraimidis and Spirakis 2006).
        """
        if n > len(self._indices):
            raise ConfigError(
                f"a step of {n} problems from a pool of {len(self._indices)}: take at most {len(self._indices)} problems a step"
            )
        self._draws += 1
        rng = random.Random(derive_seed(self.seed, "step", self._draws))  # noqa: S311  (an order, not a secret)
        rings = {index: rng.expovariate(max(self.options.floor, 1 - self._rates.get(index, 0.0))) for index in self._indices}
        return sorted(self._indices, key=rings.__getitem__)[:n]

    def update(self, index: int, verdicts: Sequence[Verdict]) -> None:
        """Move the success rate of the problem towards that of these attempts; unscored ones say nothing."""
        scores = [verdict.score for verdict in verdicts if verdict.scored]
        if scores:
            rate = sum(scores) / len(scores)
            keep = self.options.memory if index in self._rates else 0.0
            self._rates[index] = keep * self._rates.get(index, 0.0) + (1 - keep) * rate

    def state_dict(self) -> dict[str, Any]:
        """Return the number of draws and the success rates as a list of [index, rate]."""
        return {"draws": self._draws, "rates": [[index, rate] for index, rate in self._rates.items()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._draws = int(state["draws"])
        self._rates = {int(index): float(rate) for index, rate in state["rates"]}
