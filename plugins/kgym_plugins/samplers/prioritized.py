"""What is not yet solved comes more often: the chance of problem i is proportional to 1 - s_i, its tracked success
rate.

A problem that was never tried has s = 0. Success rates are a moving mean, as the policy gets better. Of an endless
source, the first `pool` problems in its order are the set that is practised. A problem that is solved again and again
may be retired (`retire`).

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
    retire: int = Field(0, ge=0)
    """Times in a row that all attempts at a problem must be right for it to be asked no more; 0: never. Where fewer
    problems are left than a step needs, retired ones fill it up.
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
        """Times in a row that all attempts were right."""
        self._draws = 0
        self._figures: dict[str, float] = {}

    def next(self, n: int, step: int) -> list[int]:
        """Return n different indices. Raises ConfigError if there are fewer than n problems.

        Without replacement by exponential clocks: each problem rings after a time with its weight as rate, and the
        first n are taken (Efraimidis and Spirakis 2006).
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
        """Take note of which problems are asked in a step, for `figures`; they may have been chosen by another rule."""
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
        """See `ReportsChoice`: when problems were last chosen, their mean success rate and the share that was new; of
        all that are practised, the shares that were tried and retired.
        """
        return dict(self._figures)

    def update(self, index: int, verdicts: Sequence[Verdict]) -> None:
        """Move the success rate of the problem towards that of these attempts; unscored ones say nothing."""
        scores = [verdict.score for verdict in verdicts if verdict.scored]
        if scores:
            rate = sum(scores) / len(scores)
            keep = self.options.memory if index in self._rates else 0.0
            self._rates[index] = keep * self._rates.get(index, 0.0) + (1 - keep) * rate
            solved = all(verdict.status == "correct" for verdict in verdicts if verdict.scored)
            self._solved[index] = self._solved.get(index, 0) + 1 if solved else 0

    def state_dict(self) -> dict[str, Any]:
        """Return the number of draws, and of each problem that was tried [index, success rate, times solved in a
        row].
        """
        return {
            "draws": self._draws,
            "rates": [[index, rate, self._solved.get(index, 0)] for index, rate in self._rates.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._draws = int(state["draws"])
        self._rates = {int(index): float(rate) for index, rate, *_ in state["rates"]}
        self._solved = {
            int(index): int(solved[0]) if solved else 0 for index, _, *solved in state["rates"]
        }  # older states have none
