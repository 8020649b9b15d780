"""A penalty on completions that were ended because they repeated themselves.

    reward -= weight        where the finish reason is `repetition`

Such a completion already has the reward 0, like any wrong one. The penalty makes a loop worse than a wrong answer, and
gives a gradient where all completions of a group are wrong. The engine finds the loops, so `rollout.loop_tokens` has to
be set; without it nothing is penalised.

Source: Kimi k1.5, arXiv:2501.12599, section 2.6.2: repeated sequences are detected and ended early, and "can be
assigned additional penalties"; it states no number.
"""

from collections.abc import Sequence

from pydantic import Field

from kgym.options import Options
from kgym.types import Group


class RepetitionOptions(Options):
    """Kimi k1.5's penalty on repetition."""

    weight: float = Field(0.5, ge=0)
    """Reward that is subtracted from a completion that was ended because it repeated itself."""


class Repetition:
    """See the module. The text is not read: a completion that left a loop by itself is not penalised."""

    Options = RepetitionOptions

    def __init__(self, options: RepetitionOptions) -> None:
        self.options = options

    def __call__(self, group: Group, rewards: Sequence[float], step: int) -> list[float]:
        """Return the rewards, lowered where the completion repeated itself."""
        return [
            reward - self.options.weight * (episode.finish_reason == "repetition")
            for episode, reward in zip(group.episodes, rewards, strict=True)
        ]
