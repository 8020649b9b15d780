"""CISPO: clip the weight of a token, never its gradient.

    w = min(ratio, 1 + clip_high), without gradient,    A = (r - group mean) / (group std + 1e-6)
    L = -mean over the tokens of the batch of w A log p(token)

PPO's clip removes the gradient of a rare token after the first inner step; here the gradient stays, with a bounded
weight.

Source: MiniMax-M1, arXiv:2506.13585, section 3.1, equations 4 and 5.
"""

from pydantic import Field
from torch import Tensor

from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import group_mean, group_std
from kgym.algorithms.episodes import to_tokens
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch


class CISPOOptions(TokenLossOptions):
    """Clipped importance-sampling weights."""

    clip_high: float = Field(4.0, ge=0)
    """A token's weight is at most 1 + clip_high. The paper states no value; bounds of 4 to 8 work equally well
    (arXiv:2510.13786).
    """
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL to the frozen reference; 0 keeps no reference in memory."""
    minibatches: int = Field(4, ge=1)
    """Optimizer steps in a pass; groups are kept whole. The paper takes 16."""


class CISPO(AlgorithmBase):
    """See the module."""

    Options = CISPOOptions
    facts = Facts(
        advantage="(r - group mean) / group std",
        ratio="token, as a weight without gradient",
        clip="weight at most 1 + 4",
        aggregation="token mean",
        kl="k3 in the loss, off",
        reference="frozen, if kl_coef > 0",
        source="MiniMax-M1, arXiv:2506.13585, equations 4 and 5",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the standardised reward of its completion for each token, (T,); 0 in a group of one or of equal
        rewards.
        """
        return to_tokens(batch, (batch.rewards - group_mean(batch)) / (group_std(batch) + 1e-6)).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the weighted policy-gradient loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        bound = 1 + self.options.clip_high
        ratios_T = token_ratios(batch, logprobs).detach()
        weights_T = self.mismatch_weights(batch) * ratios_T.clamp(max=bound)
        loss_T = -weights_T * batch.advantages * logprobs + self.kl_penalty(batch, logprobs)
        return self.output(batch, logprobs, self.aggregate(batch, loss_T), clip_frac=ratios_T > bound)
