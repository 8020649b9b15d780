"""A penalty on answers that were ended because they repeated themselves.

    reward -= weight        where the finish reason is `repetition`

Such an answer has the reward 0 already, as any wrong one. The penalty says that looping is worse than being wrong, and
it is a signal where all answers of a group are wrong. The engine finds them, so `rollout.loop_tokens` has to be set;
without it nothing is penalised.

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
    """What an answer loses that was ended because it repeated itself."""


class Repetition:
    """See the module. Text is not looked at: an answer that found its way out of a loop is not penalised."""

    Options = RepetitionOptions

    def __init__(self, options: RepetitionOptions) -> None:
        self.options = options

    def __call__(self, group: Group, rewards: Sequence[float], step: int) -> list[float]:
        """Return the rewards, lowered where the answer repeated itself."""
        return [
            reward - self.options.weight * (episode.finish_reason == "repetition")
            for episode, reward in zip(group.episodes, rewards, strict=True)
        ]
