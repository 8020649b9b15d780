"""The algorithm `median`: REINFORCE with the median reward of the group as its baseline.

    A = r - group median,   the same for all tokens of a completion
    L = -mean over completions of the sum over tokens of [ ratio A ]

With rewards of 0 and 1 a group that mostly fails learns from its successes alone, and one that mostly succeeds from
its failures alone. The ratio is 1 in the first optimizer step; in further inner steps it corrects for the policy having
moved, without clipping.

Dimension key:  T tokens of the pack   E episodes
"""

import torch
from kgym.algorithms.aggregation import Aggregation, aggregate
from kgym.algorithms.base import AlgorithmBase, AlgorithmOptions
from kgym.algorithms.episodes import counted, to_tokens
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch
from torch import Tensor


def group_median(batch: PackedBatch) -> Tensor:
    """Return the median reward of each episode's group, over the episodes that count, (E,) float64."""
    rewards_E = batch.rewards.double()  # noqa: N806  (E episodes)
    median_E = torch.zeros_like(rewards_E)  # noqa: N806
    for group in set(batch.group_ids.tolist()):
        members = batch.group_ids == group
        rewards = rewards_E[members & counted(batch)]
        if rewards.numel():
            median_E[members] = rewards.quantile(0.5)
    return median_E


class MedianOptions(AlgorithmOptions):
    """REINFORCE with the group median as its baseline."""

    aggregation: Aggregation = "seq_mean_token_sum"
    """How the losses of tokens become one loss."""


class Median(AlgorithmBase):
    """Follows `kgym.types.Algorithm`; the plan of the update is the base class's."""

    Options = MedianOptions
    options: MedianOptions

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return how much better than its group a completion is, for each of its tokens, (T,)."""
        return to_tokens(batch, batch.rewards - group_median(batch))

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the loss; `logprobs` is (T,)."""
        assert batch.advantages is not None  # filled in before a loss is asked for
        ratio = token_ratios(batch, logprobs)
        loss = -self.mismatch_weights(batch) * ratio * batch.advantages
        return self.output(batch, logprobs, aggregate(batch, loss, self.options.aggregation), ratio=ratio.detach())
