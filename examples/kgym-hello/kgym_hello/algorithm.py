"""REINFORCE with the group mean as its baseline.

    A = r - group mean,   the same for all tokens of a completion
    L = -mean over completions of the sum over tokens of [ ratio A ]

The ratio is 1 in the first optimizer step, where the gradient is that of REINFORCE; in further inner steps it corrects
for the policy having moved, without any clipping. Source: Williams 1992, equation 11, doi:10.1007/BF00992696.
"""

from torch import Tensor

from kgym.algorithms.aggregation import Aggregation, aggregate
from kgym.algorithms.base import AlgorithmBase, AlgorithmOptions
from kgym.algorithms.baselines import group_mean
from kgym.algorithms.episodes import to_tokens
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch


class HelloOptions(AlgorithmOptions):
    """REINFORCE with the group mean as its baseline."""

    aggregation: Aggregation = "seq_mean_token_sum"
    """How token losses become one."""


class Hello(AlgorithmBase):
    """Follows `kgym.types.Algorithm`; the plan of the update comes with the base."""

    Options = HelloOptions

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return how much better than its group a completion is, for each of its tokens, (T,)."""
        return to_tokens(batch, batch.rewards - group_mean(batch))

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        ratio_T = token_ratios(batch, logprobs)
        loss_T = -self.mismatch_weights(batch) * ratio_T * batch.advantages
        return self.output(batch, logprobs, aggregate(batch, loss_T, self.options.aggregation), ratio=ratio_T.detach())
