"""Unsolved problems are drawn more often: the chance of problem i is proportional to 1 - s_i, where s_i is its tracked
success rate.

A problem that was never tried has s = 0. Success rates are moving means, because the policy gets better. From an
endless source, the first `pool` problems are practised. A problem that is solved repeatedly may be retired (`retire`).

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
    """For an endless source: the number of problems that are practised."""
    memory: float = Field(0.5, ge=0, lt=1)
    """Weight of the old success rate when the problem is tried again; with 0 only the last attempts count."""
    floor: float = Field(0.02, gt=0, le=1)
    """Least weight of a problem, so that solved problems are still drawn sometimes. The paper has no such floor."""
    retire: int = Field(0, ge=0)
    """A problem is no longer drawn after all attempts at it were correct this many times in a row; 0: never. If fewer
    problems are left than a step needs, retired ones are added.
    """


class Prioritized:
    """See the module."""

    Options = PrioritizedOptions

    def __init__(self, options: PrioritizedOptions, source: ProblemSource, seed: int) -> None:
        self.options = options
        self.seed = seed
        first = derive_seed(seed, "first") % 2**32 if source.size is None else 0  # another seed, other problems
        self._indices = range(first, first + (options.pool if source.size is None else source.size))
        self._rates: dict[int, float] = {}
        self._solved: dict[int, int] = {}
        """Times in a row that all attempts were correct."""
        self._draws = 0
        self._figures: dict[str, float] = {}

    def next(self, n: int, step: int) -> list[int]:
        """Return n different indices. Raises ConfigError if there are fewer than n problems.

        Sampling is without replacement, by exponential clocks: each problem has a random time with its weight as rate,
        and the first n are taken (Efraimidis and Spirakis 2006).
        """
        if n > len(self._indices):
            raise ConfigError(
                f"a step of {n} problems from a pool of {len(self._indices)}: take at most {len(self._indices)} "
                "problems a step"
            )
        self._draws += 1
        rng = random.Random(derive_seed(self.seed, "step", self._draws))  # noqa: S311  (an order, not a secret)
        rings = {
            index: rng.expovariate(max(self.options.floor, 1 - self._rates.get(index, 0.0))) for index in self._indices
        }
        chosen = sorted(self._indices, key=lambda index: (self._retired(index), rings[index]))[:n]
        self.see(chosen)
        return chosen

    def see(self, chosen: Sequence[int]) -> None:
        """Note which problems are drawn in a step, for `figures`; another rule may have chosen them."""
        practised = [index for index in self._rates if index in self._indices]
        self._figures = {
            "chosen_success_frac": sum(self._rates.get(index, 0.0) for index in chosen) / len(chosen),
            "chosen_new_frac": sum(index not in self._rates for index in chosen) / len(chosen),
            "tried_frac": len(practised) / len(self._indices),
            "retired_frac": sum(map(self._retired, practised)) / len(self._indices),
        }

    def _retired(self, index: int) -> bool:
        return bool(self.options.retire) and self._solved.get(index, 0) >= self.options.retire

    def figures(self) -> dict[str, float]:
        """See `ReportsChoice`: for the problems of the last step, the mean success rate and the share that was new; for
        all practised problems, the shares that were tried and retired.
        """
        return dict(self._figures)

    def update(self, index: int, verdicts: Sequence[Verdict]) -> None:
        """Move the success rate of the problem towards that of these attempts; unscored ones do not count."""
        scores = [verdict.score for verdict in verdicts if verdict.scored]
        if scores:
            rate = sum(scores) / len(scores)
            keep = self.options.memory if index in self._rates else 0.0
            self._rates[index] = keep * self._rates.get(index, 0.0) + (1 - keep) * rate
            solved = all(verdict.status == "correct" for verdict in verdicts if verdict.scored)
            self._solved[index] = self._solved.get(index, 0) + 1 if solved else 0

    def state_dict(self) -> dict[str, Any]:
        """Return the number of draws, and for each problem that was tried [index, success rate, times solved in a
        row].
        """
        return {
            "draws": self._draws,
            "rates": [[index, rate, self._solved.get(index, 0)] for index, rate in self._rates.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from there."""
        self._draws = int(state["draws"])
        self._rates = {int(index): float(rate) for index, rate, *_ in state["rates"]}
        self._solved = {
            int(index): int(solved[0]) if solved else 0 for index, _, *solved in state["rates"]
        }  # older states have none
