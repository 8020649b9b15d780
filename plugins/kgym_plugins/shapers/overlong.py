"""A punishment that grows in the last stretch before the token budget, instead of setting in at once.

    0                                       up to max_tokens - cache_tokens
    (max_tokens - cache_tokens - length) / cache_tokens    from there to max_tokens
    -1                                      beyond

Source: DAPO, arXiv:2503.14476, section 3.4, equation 13 (20,480 and 4,096 tokens there).
"""

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from kgym.options import Options
from kgym.types import Group


class OverlongOptions(Options):
    """DAPO's soft overlong punishment."""

    max_tokens: int = Field(512, ge=1)
    """Length from which the full punishment applies; the paper's L_max. Set it to the token budget of the rollout."""
    cache_tokens: int = Field(128, ge=1)
    """Length of the stretch in which the punishment grows; the paper's L_cache."""
    weight: float = Field(1.0, ge=0)
    """Factor of the punishment, which is between -1 and 0, before it is added. 1 suits the paper's rewards of +1 and
    -1.
    """

    @model_validator(mode="after")
    def _stretch_fits(self) -> Self:
        if self.cache_tokens > self.max_tokens:
            raise ValueError(
                f"cache_tokens={self.cache_tokens} is more than max_tokens={self.max_tokens}: take a fifth of it"
            )
        return self


class Overlong:
    """See the module."""

    Options = OverlongOptions

    def __init__(self, options: OverlongOptions) -> None:
        self.options = options

    def __call__(self, group: Group, rewards: Sequence[float], step: int) -> list[float]:
        """Return the rewards with the punishment of each episode added."""
        o = self.options
        free = o.max_tokens - o.cache_tokens
        return [
            reward + o.weight * min(0.0, max(-1.0, (free - episode.n_tokens) / o.cache_tokens))
            for episode, reward in zip(group.episodes, rewards, strict=True)
        ]
