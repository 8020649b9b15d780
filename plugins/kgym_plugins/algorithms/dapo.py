"""DAPO: GRPO with room for unlikely tokens to grow, and every token of the batch weighing the same.

    A = (r - group mean) / (group std + 1e-6)
    L = -mean over the tokens of the batch of min(ratio A, clip(ratio, 1 - 0.2, 1 + 0.28) A)

Dynamic sampling (`max_rounds`) refills the batch until every group has both correct and wrong completions. The recipe
adds overlong filtering (`env.truncated=mask`), which leaves truncated completions out of the loss but not out of their
group's mean and deviation, and soft overlong punishment, the shaper `overlong`. The paper's rewards are +1 and -1,
which a group's standardisation makes the same as 1 and 0; the punishment is halved with them.

Source: Yu et al. 2025, arXiv:2503.14476, equation 8 and section 3.
"""

from typing import Any

from pydantic import Field
from torch import Tensor

from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import group_mean, group_std
from kgym.algorithms.clipping import clipped_gain
from kgym.algorithms.episodes import to_tokens
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch


class DAPOOptions(TokenLossOptions):
    """Decoupled clip policy optimization."""

    clip_low: float = Field(0.2, ge=0, lt=1)
    """A token's ratio gains nothing below 1 - clip_low; the paper's epsilon_low."""
    clip_high: float = Field(0.28, ge=0)
    """A token's ratio gains nothing above 1 + clip_high; the paper's epsilon_high. A higher one lets unlikely tokens
    grow.
    """
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL to the frozen reference; the paper drops it. 0 keeps no reference in memory."""
    minibatches: int = Field(4, ge=1)
    """Optimizer steps in a pass; groups are kept whole. The paper takes 16 of 32 problems each."""
    max_rounds: int = Field(10, ge=1)
    """Rounds of rollouts for a batch: groups whose completions are all correct or all wrong are replaced until the
    batch is full or the rounds are used up. 1 turns dynamic sampling off.
    """


class DAPO(AlgorithmBase):
    """See the module."""

    Options = DAPOOptions
    facts = Facts(
        advantage="(r - group mean) / group std",
        ratio="token",
        clip="0.2 / 0.28",
        aggregation="token mean",
        kl="k3 in the loss, off",
        reference="frozen, if kl_coef > 0",
        source="Yu et al. 2025, arXiv:2503.14476, equation 8",
    )

    def recipe(self, max_tokens: int) -> dict[str, Any]:
        """Mask truncated completions, and punish the last fifth of the token budget, as the paper does: 4,096 of 20,480
        tokens.
        """
        return {
            "env.options.truncated": "mask",
            "shapers.overlong": {"max_tokens": max_tokens, "cache_tokens": max(1, max_tokens // 5), "weight": 0.5},
        }

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the standardised reward of its completion for each token, (T,); 0 in a group of one or of equal
        rewards.
        """
        return to_tokens(batch, (batch.rewards - group_mean(batch)) / (group_std(batch) + 1e-6)).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the clipped loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        o = self.options
        gain_T, clip_frac = clipped_gain(token_ratios(batch, logprobs), batch.advantages, o.clip_low, o.clip_high)
        loss_T = -self.mismatch_weights(batch) * gain_T + self.kl_penalty(batch, logprobs)
        return self.output(batch, logprobs, self.aggregate(batch, loss_T), clip_frac=clip_frac)
