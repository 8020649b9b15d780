"""Short correct completions get more reward than long ones, and long wrong ones less: Kimi k1.5's remedy for
overthinking.

    lambda = 0.5 - (length - min) / (max - min)         within a group; 0 for all if the lengths are equal
    reward += weight * (lambda if right, min(0, lambda) if wrong)

Source: Kimi k1.5, arXiv:2501.12599, section 2.3.3.
"""

from collections.abc import Sequence

from pydantic import Field

from kgym.options import Options, RunSteps
from kgym.types import Group


class LengthPenaltyOptions(Options):
    """Kimi k1.5's length penalty."""

    weight: float = Field(0.2, ge=0)
    """Factor of the penalty, which is between -0.5 and 0.5, before it is added."""
    warmup_steps: RunSteps = 0.25
    """Steps without a penalty, because it slows early training down; afterwards the penalty is constant. A number, or,
    below 1, a share of the run.
    """


class LengthPenalty:
    """See the module. Lengths are tokens; episodes that could not be judged neither set the range nor get a penalty."""

    Options = LengthPenaltyOptions

    def __init__(self, options: LengthPenaltyOptions) -> None:
        self.options = options

    def __call__(self, group: Group, rewards: Sequence[float], step: int) -> list[float]:
        """Return the rewards with the penalty of each episode added."""
        lengths = [episode.n_tokens for episode in group.episodes if episode.judged]
        if step <= self.options.warmup_steps or not lengths or min(lengths) == max(lengths):
            return list(rewards)
        shortest, longest = min(lengths), max(lengths)
        shaped = []
        for episode, reward in zip(group.episodes, rewards, strict=True):
            if not episode.judged:
                shaped.append(reward)
                continue
            share = 0.5 - (episode.n_tokens - shortest) / (longest - shortest)
            right = episode.verdict is not None and episode.verdict.status == "correct"
            shaped.append(reward + self.options.weight * (share if right else min(0.0, share)))
        return shaped
