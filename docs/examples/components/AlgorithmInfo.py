"""An algorithm: REINFORCE, with the mean of the group as its baseline."""

from collections.abc import Iterator

from torch import Tensor

from kgym.algorithms.aggregation import aggregate
from kgym.algorithms.base import AlgorithmBase, AlgorithmOptions
from kgym.algorithms.baselines import group_mean
from kgym.algorithms.episodes import to_tokens
from kgym.algorithms.ratios import token_ratios
from kgym.hookspecs import AlgorithmInfo, Component, hookimpl
from kgym.types import LossOutput, PackedBatch

kgym_api = 1


class PlainOptions(AlgorithmOptions):
    """REINFORCE with the mean of the group as its baseline."""


class Plain(AlgorithmBase):
    """Follows `kgym.types.Algorithm`; the plan of the update comes with the base."""

    Options = PlainOptions

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return how much better than its group an episode is, for each of its tokens, (T,)."""
        return to_tokens(batch, batch.rewards - group_mean(batch))

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        ratio_T = token_ratios(batch, logprobs)
        loss_T = -self.mismatch_weights(batch) * ratio_T * batch.advantages
        return self.output(
            batch, logprobs, aggregate(batch, loss_T, "token_mean"), ratio=ratio_T.detach()
        )


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield AlgorithmInfo(
        name="plain",
        target=f"{__name__}:Plain",
        summary="REINFORCE with the mean of the group",
    )
