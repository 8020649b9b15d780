"""A sampler: goes round and round through the first problems."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from kgym.hookspecs import Component, SamplerInfo, hookimpl
from kgym.options import Options
from kgym.types import ProblemSource, Verdict

kgym_api = 1


class RoundOptions(Options):
    """Which problems are asked."""

    pool: int = Field(64, ge=1)
    """The first so many problems."""


class Round:
    """Follows `kgym.types.Sampler`."""

    Options = RoundOptions

    def __init__(self, options: RoundOptions, source: ProblemSource, seed: int) -> None:
        self.pool = options.pool if source.size is None else min(options.pool, source.size)
        self.place = seed % self.pool

    def next(self, n: int, step: int) -> Sequence[int]:
        """Return the indices of the next n problems."""
        chosen = [(self.place + i) % self.pool for i in range(n)]
        self.place = (self.place + n) % self.pool
        return chosen

    def update(self, index: int, verdicts: Sequence[Verdict]) -> None:
        """Learn nothing from how the attempts went."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"place": self.place}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from there."""
        self.place = state["place"]


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield SamplerInfo(name="round", target=f"{__name__}:Round", summary="the first problems in turn")
