"""REINFORCE: raise the log-probability of completions that did better than the average of the batch.

    A = r - mean over the completions of the batch
    L = -mean over tokens of A log p(token) + kl_coef * k3(policy || reference)

It has no ratio and no clip: with several optimizer steps a batch, the loss treats the tokens as if the current policy
had sampled them.

Source: Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement learning",
section 4.
"""

from pydantic import Field
from torch import Tensor

from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import batch_mean
from kgym.algorithms.episodes import to_tokens
from kgym.types import LossOutput, PackedBatch


class ReinforceOptions(TokenLossOptions):
    """REINFORCE with the batch mean as baseline."""

    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL to the frozen reference; 0 keeps no reference in memory."""


class Reinforce(AlgorithmBase):
    """See the module."""

    Options = ReinforceOptions
    facts = Facts(
        advantage="r - batch mean",
        ratio="none",
        clip="none",
        aggregation="token mean",
        kl="k3 in the loss, off",
        reference="frozen, if kl_coef > 0",
        source="Williams 1992",
    )
    min_group_size = 1

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the centred reward of its completion for each token, (T,)."""
        return to_tokens(batch, batch.rewards - batch_mean(batch)).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the policy-gradient loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        loss_T = -self.mismatch_weights(batch) * batch.advantages * logprobs + self.kl_penalty(batch, logprobs)
        return self.output(batch, logprobs, self.aggregate(batch, loss_T))
