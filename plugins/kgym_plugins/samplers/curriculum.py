"""Easy problems first: the ceiling on the level of difficulty rises with the steps.

The levels are the labels of the problems. A finite source shows all of them; in an endless one the first `lookahead`
problems represent the rest. At step t of `steps`, problems up to the t / steps quantile of the levels are drawn
uniformly. Later all problems are drawn, uniformly or, with `then = "prioritized"`, by their success rates, which are
tracked from the first step.

Source: Kimi k1.5, arXiv:2501.12599, section 2.3.4.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from kgym.errors import ConfigError
from kgym.options import Options, RunSteps
from kgym.seeding import derive_seed
from kgym.types import ProblemSource, Verdict
from kgym_plugins.samplers.prioritized import Prioritized, PrioritizedOptions


class CurriculumOptions(Options):
    """Easy to hard, by the labels of the problems."""

    steps: RunSteps = 0.5
    """Training steps until problems of every level are drawn: a number, or, below 1, a share of the run."""
    then: Literal["uniform", "prioritized"] = "uniform"
    """How problems are drawn afterwards: uniformly, or those with a lower success rate more often, as the sampler
    `prioritized` does by default.
    """
    pool: int = Field(2048, ge=1)
    """`pool` of the sampler `prioritized`, if that follows."""
    retire: int = Field(0, ge=0)
    """`retire` of the sampler `prioritized`, if that follows."""
    lookahead: int = Field(1024, ge=1)
    """For an endless source: the number of problems that represent its levels, and that are searched for an easy one.
    """


class Curriculum:
    """See the module."""

    Options = CurriculumOptions

    def __init__(self, options: CurriculumOptions, source: ProblemSource, seed: int) -> None:
        self.options = options
        self.source = source
        self.seed = seed
        self._first = derive_seed(seed, "first") % 2**32 if source.size is None else 0  # another seed, other problems
        self._n_known = options.lookahead if source.size is None else source.size
        self._levels = [source[self._first + place].level for place in range(self._n_known)]
        self._draws = 0
        self._ceiling = max(self._levels, default=0)
        self._seen = 0  # the position of the last draw in an endless source
        self._then = (
            Prioritized(PrioritizedOptions(pool=options.pool, retire=options.retire), source, seed)
            if options.then == "prioritized"
            else None
        )

    def next(self, n: int, step: int) -> list[int]:
        """Return n different indices.

        Raises ConfigError if a finite source has fewer than n problems, or an endless one has too many others before an
        easy problem.
        """
        if self._then is not None and step > self.options.steps:
            self._ceiling = max(self._levels, default=0)
            return self._then.next(n, step)
        self._draws += 1
        ranked = sorted(self._levels)
        share = min(1.0, step / self.options.steps) if self.options.steps else 1.0
        self._ceiling = ranked[max(0, round(share * self._n_known) - 1)]
        chosen = self._fresh(n, self._ceiling) if self.source.size is None else self._finite(n, self._ceiling)
        if self._then is not None:
            self._then.see(chosen)
        return chosen

    def figures(self) -> dict[str, float]:
        """See `ReportsChoice`: the highest level that is drawn, and the figures of the sampler that follows."""
        return {"ceiling_level": float(self._ceiling), **({} if self._then is None else self._then.figures())}

    def _finite(self, n: int, ceiling: int) -> list[int]:
        if n > self._n_known:
            raise ConfigError(
                f"a step of {n} problems from a source of {self._n_known}: take at most {self._n_known} problems a step"
            )
        order = list(range(self._n_known))
        random.Random(derive_seed(self.seed, "step", self._draws)).shuffle(order)  # noqa: S311  (not a secret)
        allowed = [index for index in order if self._levels[index] <= ceiling]
        harder = sorted((index for index in order if self._levels[index] > ceiling), key=self._levels.__getitem__)
        return (allowed + harder)[:n]  # the easiest of the others, if too few are allowed

    def _fresh(self, n: int, ceiling: int) -> list[int]:
        chosen: list[int] = []
        looked = 0
        while len(chosen) < n:
            index = self._first + self._seen
            self._seen += 1
            looked += 1
            if self.source[index].level <= ceiling:
                chosen.append(index)
                looked = 0
            elif looked >= self.options.lookahead:
                raise ConfigError(
                    f"no problem up to level {ceiling} among {looked}: raise the curriculum's lookahead, or use uniform"
                )
        return chosen

    def update(self, index: int, verdicts: Sequence[Verdict]) -> None:
        """Pass the verdicts to the sampler that follows; the curriculum itself uses labels."""
        if self._then is not None:
            self._then.update(index, verdicts)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of draws, the place in an endless source, and the state of the sampler that follows."""
        return {
            "draws": self._draws,
            "seen": self._seen,
            "then": None if self._then is None else self._then.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from there."""
        self._draws, self._seen = int(state["draws"]), int(state["seen"])
        if self._then is not None:
            self._then.load_state_dict(state["then"])
