"""A sampler that reports how it chooses; `metrics.jsonl` has the figures as `sampler/NAME`."""

from collections.abc import Mapping

from kgym.types import ReportsChoice


class Acme:
    """The part of a sampler that reports."""

    def __init__(self) -> None:
        self.retired = 3
        self.pool = 12

    def figures(self) -> Mapping[str, float]:
        """Return the figures by name."""
        return {"retired_frac": self.retired / self.pool}


assert isinstance(Acme(), ReportsChoice)
assert Acme().figures() == {"retired_frac": 0.25}
