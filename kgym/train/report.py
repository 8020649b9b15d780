"""Reports of a run. The trainer calls a reporter, which decides how the report looks (in a terminal, in a notebook, or
not at all).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kgym.types import Group


class Reporter:
    """Reports nothing; subclasses override its methods. What they raise ends the run."""

    def started(self, facts: Mapping[str, Any]) -> None:
        """See the facts of the run."""

    def planned(self, plan: Any) -> None:
        """See what the run will have in memory, a `kgym.train.plan.Plan`, before anything is loaded."""

    def progress(self, phase: str, done: int, total: int) -> None:
        """See how far a phase of the current step is (`rollout`, `validation`: in completions; `update`: in optimizer
        steps).
        """

    def note(self, text: str) -> None:
        """See a note about something unusual that does not end the run."""

    def sampled(self, step: int, groups: "Sequence[Group]") -> None:
        """See what was sampled in a step, judged and with rewards, before the policy is updated."""

    def step(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        """See the metrics of a finished step; step 0 is the validation before training."""

    def finished(self, summary: Mapping[str, Any]) -> None:
        """See the results of the run."""
