"""Samplers, which choose the problems of a step."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from kgym.types.verdicts import Verdict


class Sampler(Protocol):
    """Chooses problems. Constructed as `target(options, source, seed)`."""

    def next(self, n: int, step: int) -> Sequence[int]:
        """Return the indices of the next n problems; `step` counts from 1.

        An algorithm that replaces groups (`UpdatePlan.max_rounds`) asks again within a step, with the same `step`.
        """

    def update(self, index: int, verdicts: Sequence[Verdict]) -> None:
        """Learn how the attempts at one problem went."""

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to continue, as plain JSON values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""


@runtime_checkable
class ReportsChoice(Protocol):
    """A sampler may offer this: figures about its choice, for the metrics of a step."""

    def figures(self) -> Mapping[str, float]:
        """Return the figures by name, such as {"retired_frac": 0.2}; in the metrics they are `sampler/NAME`."""
