"""The token budget of a completion over the steps of a run: a longer context, stage by stage.

    stages = Stages.of([(0, 128), (0.5, 256)], steps=12)
    stages.tokens(6), stages.tokens(7)     128 and 256

An episode keeps the budget of the step in which it began, also where it continues in later steps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

KEY = "rollout.max_tokens"
"""The key that sets the stages of a run."""


def steps_of(value: float, steps: int) -> int:
    """Return the number of steps that a number of steps, or a share below 1 of a run of `steps` steps, stands for.

    >>> steps_of(0.29, 100), steps_of(0.5, 7), steps_of(3, 7)  # 0.29 * 100 is 28.999999999999996
    (29, 3, 3)
    """
    return math.floor(round(value * steps, 9)) if value < 1 else int(value)


@dataclass(frozen=True)
class Stages:
    """The stages of a run, in order."""

    points: tuple[tuple[int, int], ...] = ()
    """(steps, tokens): the budget of episodes that begin after this number of steps. Without points the environment's
    own budget holds.
    """

    @classmethod
    def of(cls, points: Sequence[tuple[float, int]], steps: int) -> "Stages":
        """Return the stages of a run of `steps` steps; a number of steps below 1 is a share of the run.

        Raises ValueError, naming the key, if they do not begin with the run or their steps do not rise.
        """
        found = [(steps_of(begin, steps), tokens) for begin, tokens in points]
        given = f"{KEY}={[list(point) for point in points]}"
        if found and found[0][0] != 0:
            raise ValueError(
                f"{given}: the first stage begins after step {found[0][0]}; it has to begin with the run: [0, TOKENS]"
            )
        for (before, _), (begin, tokens) in pairwise(found):
            if begin <= before:
                raise ValueError(
                    f"{given}: in a run of {steps} steps the stage of {tokens} tokens begins after step {begin} and "
                    f"the one before it after step {before}; the steps of the stages have to rise"
                )
        return cls(tuple(found))

    def tokens(self, step: int) -> int | None:
        """Return the budget of episodes that begin in a step, which counts from 1; None without stages."""
        return next((tokens for begin, tokens in reversed(self.points) if step > begin), None)

    @property
    def most(self) -> int | None:
        """The largest budget; None without stages."""
        return max((tokens for _, tokens in self.points), default=None)

    def late(self, steps: int) -> list[int]:
        """Return the budgets of stages that a run of `steps` steps does not reach."""
        return [tokens for begin, tokens in self.points if begin >= steps]

    def __str__(self) -> str:
        """Describe the stages: `64 tokens, 128 from step 7 on`."""
        first, *later = self.points
        return ", ".join([f"{first[1]:,} tokens", *(f"{tokens:,} from step {begin + 1} on" for begin, tokens in later)])
