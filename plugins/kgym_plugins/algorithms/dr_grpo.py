"""Dr. GRPO: GRPO without the two terms that bias it.

    A = r - group mean
    L = -mean over completions of 1 / max_tokens * sum over tokens of min(ratio A, clip(ratio) A)

A is not divided by the std, which would favour problems that are nearly solved or nearly hopeless. The sum is not
divided by the length, which would make long wrong completions cheap.

Source: Liu et al. 2025, "Understanding R1-Zero-like training", arXiv:2503.20783, section 3.
"""

from pydantic import Field
from torch import Tensor

from kgym.algorithms.aggregation import Aggregation
from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import group_mean
from kgym.algorithms.clipping import clipped_gain
from kgym.algorithms.episodes import to_tokens
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch


class DrGRPOOptions(TokenLossOptions):
    """GRPO done right."""

    clip_low: float = Field(0.2, ge=0, lt=1)
    """A token's ratio gains nothing below 1 - clip_low; the paper's epsilon."""
    clip_high: float = Field(0.2, ge=0)
    """A token's ratio gains nothing above 1 + clip_high; the paper's epsilon."""
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL to the frozen reference; the paper's beta. 0 keeps no reference in memory."""
    aggregation: Aggregation = "seq_mean_token_sum_norm"
    """How token losses become one loss: sums divided by a constant, so that a token weighs the same in a long
    completion.
    """


class DrGRPO(AlgorithmBase):
    """See the module."""

    Options = DrGRPOOptions
    facts = Facts(
        advantage="r - group mean",
        ratio="token",
        clip="0.2 / 0.2",
        aggregation="mean over completions of the sum / a constant",
        kl="k3 in the loss, off",
        reference="frozen, if kl_coef > 0",
        source="Liu et al. 2025, arXiv:2503.20783, section 3",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the centred reward of its completion for each token, (T,); 0 in a group of one or of equal rewards."""
        return to_tokens(batch, batch.rewards - group_mean(batch)).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the clipped loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        o = self.options
        gain_T, clip_frac = clipped_gain(token_ratios(batch, logprobs), batch.advantages, o.clip_low, o.clip_high)
        loss_T = -self.mismatch_weights(batch) * gain_T + self.kl_penalty(batch, logprobs)
        return self.output(batch, logprobs, self.aggregate(batch, loss_T), clip_frac=clip_frac)
