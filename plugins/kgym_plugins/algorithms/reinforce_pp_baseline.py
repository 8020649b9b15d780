"""REINFORCE++ with a baseline: the group mean is subtracted, and the batch gives the scale.

    A = r - group mean, whitened over the tokens of the batch
    L = mean over tokens of [ -min(ratio A, clip(ratio) A) + kl_coef * k2(policy || reference) ]

Source: Hu et al. 2025, arXiv:2501.03262, the variant for several completions of each problem.
"""

from pydantic import Field
from torch import Tensor

from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import group_mean, whiten
from kgym.algorithms.clipping import clipped_gain
from kgym.algorithms.episodes import to_tokens
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch


class ReinforcePPBaselineOptions(TokenLossOptions):
    """REINFORCE++ with a group baseline."""

    clip_low: float = Field(0.2, ge=0, lt=1)
    """A token's ratio gains nothing below 1 - clip_low."""
    clip_high: float = Field(0.2, ge=0)
    """A token's ratio gains nothing above 1 + clip_high."""
    kl_coef: float = Field(0.001, ge=0)
    """Weight of the KL to the frozen reference in the loss; 0 keeps no reference in memory."""


class ReinforcePPBaseline(AlgorithmBase):
    """See the module."""

    Options = ReinforcePPBaselineOptions
    facts = Facts(
        advantage="r - group mean, whitened over the batch",
        ratio="token",
        clip="0.2 / 0.2",
        aggregation="token mean",
        kl="k2 in the loss, 0.001",
        reference="frozen",
        source="Hu et al. 2025, arXiv:2501.03262",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the centred, then whitened reward of its completion for each token, (T,); 0 if all groups have equal
        rewards.
        """
        return whiten(batch, to_tokens(batch, batch.rewards - group_mean(batch))).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the clipped loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        o = self.options
        gain_T, clip_frac = clipped_gain(token_ratios(batch, logprobs), batch.advantages, o.clip_low, o.clip_high)
        loss_T = -self.mismatch_weights(batch) * gain_T + self.kl_penalty(batch, logprobs, "k2")
        return self.output(batch, logprobs, self.aggregate(batch, loss_T), clip_frac=clip_frac)
