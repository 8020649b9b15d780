"""A shaper: a little less for every token."""

from collections.abc import Iterator, Sequence

from pydantic import Field

from kgym.hookspecs import Component, ShaperInfo, hookimpl
from kgym.options import Options
from kgym.types import Group

kgym_api = 1


class BrevityOptions(Options):
    """What length costs."""

    per_token: float = Field(0.001, ge=0)
    """Taken from the reward for each token of a completion."""


class Brevity:
    """Follows `kgym.types.Shaper`."""

    Options = BrevityOptions

    def __init__(self, options: BrevityOptions) -> None:
        self.options = options

    def __call__(self, group: Group, rewards: Sequence[float], step: int) -> Sequence[float]:
        """Return the new rewards, one for each episode."""
        cost = self.options.per_token
        return [reward - cost * e.n_tokens for e, reward in zip(group.episodes, rewards, strict=True)]


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield ShaperInfo(
        name="brevity",
        target=f"{__name__}:Brevity",
        summary="a little less for every token",
    )
