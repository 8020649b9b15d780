"""Group relative policy optimization: PPO's clipped objective, with the group instead of the critic.

    A = (r - group mean) / (group std + 1e-6),   the same for all tokens of a completion
    L = -mean over completions of mean over tokens of
            [ min(ratio A, clip(ratio) A) - kl_coef * k3(policy || reference) ]

Source: DeepSeekMath, arXiv:2402.03300, equation 3; DeepSeek-R1, arXiv:2501.12948. Variants that change one thing each:
`dr_grpo` (no std, constant length), `dapo` (higher upper clip, token mean), `gspo` (ratio of the whole completion).
"""

from typing import Literal

from pydantic import Field
from torch import Tensor

from kgym.algorithms.aggregation import Aggregation
from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import group_mean, group_std
from kgym.algorithms.clipping import clipped_gain
from kgym.algorithms.episodes import to_tokens
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch


class GRPOOptions(TokenLossOptions):
    """Group relative policy optimization."""

    clip_low: float = Field(0.2, ge=0, lt=1)
    """A token's ratio gains nothing below 1 - clip_low; the paper's epsilon."""
    clip_high: float = Field(0.2, ge=0)
    """A token's ratio gains nothing above 1 + clip_high; the paper's epsilon."""
    kl_coef: float = Field(0.04, ge=0)
    """Weight of the KL to the frozen reference; the paper's beta. 0 keeps no reference in memory."""
    std: Literal["sample", "population"] = "sample"
    """Divide by n - 1 or by n in the group's standard deviation; published implementations differ."""
    aggregation: Aggregation = "seq_mean_token_mean"
    """How token losses become one loss: every completion weighs the same."""


class GRPO(AlgorithmBase):
    """See the module."""

    Options = GRPOOptions
    facts = Facts(
        advantage="(r - group mean) / group std",
        ratio="token",
        clip="0.2 / 0.2",
        aggregation="mean over completions of the token mean",
        kl="k3 in the loss, 0.04",
        reference="frozen",
        source="DeepSeekMath, arXiv:2402.03300, equation 3",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the standardised reward of its completion for each token, (T,); 0 in a group of one or of equal
        rewards.
        """
        std_E = group_std(batch, sample=self.options.std == "sample")
        return to_tokens(batch, (batch.rewards - group_mean(batch)) / (std_E + 1e-6)).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the clipped loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        o = self.options
        gain_T, clip_frac = clipped_gain(token_ratios(batch, logprobs), batch.advantages, o.clip_low, o.clip_high)
        loss_T = -self.mismatch_weights(batch) * gain_T + self.kl_penalty(batch, logprobs)
        return self.output(batch, logprobs, self.aggregate(batch, loss_T), clip_frac=clip_frac)
