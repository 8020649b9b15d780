"""SAPO: a soft gate instead of the hard clip.

    f(ratio) = 4 / t * sigmoid(t (ratio - 1)),    t = t_positive if A > 0, else t_negative
    L = -mean over completions of the mean over tokens of f(ratio) A,    A = (r - group mean) / (group std + 1e-6)

At ratio 1 the slope of f is 1, as without a gate; it falls off on both sides, faster for negative advantages, whose
gradient raises every other token that was possible there.

Source: Gao et al. 2025, arXiv:2511.20347, equations 5 and 6.
"""

import torch
from pydantic import Field
from torch import Tensor

from kgym.algorithms.aggregation import Aggregation
from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import group_mean, group_std
from kgym.algorithms.episodes import to_tokens
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch


class SAPOOptions(TokenLossOptions):
    """Soft adaptive policy optimization."""

    t_positive: float = Field(1.0, gt=0)
    """Sharpness of the gate where the advantage is positive; the paper's tau_pos."""
    t_negative: float = Field(1.05, gt=0)
    """Sharpness of the gate where it is not; the paper's tau_neg."""
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL to the frozen reference; 0 keeps no reference in memory."""
    aggregation: Aggregation = "seq_mean_token_mean"
    """How token losses become one loss: every completion weighs the same."""
    minibatches: int = Field(4, ge=1)
    """Optimizer steps in a pass; groups are kept whole."""


class SAPO(AlgorithmBase):
    """See the module."""

    Options = SAPOOptions
    facts = Facts(
        advantage="(r - group mean) / group std",
        ratio="token",
        clip="sigmoid gate, 1.0 / 1.05",
        aggregation="mean over completions of the token mean",
        kl="k3 in the loss, off",
        reference="frozen, if kl_coef > 0",
        source="Gao et al. 2025, arXiv:2511.20347, equations 5 and 6",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the standardised reward of its completion for each token, (T,); 0 in a group of one or of equal
        rewards.
        """
        return to_tokens(batch, (batch.rewards - group_mean(batch)) / (group_std(batch) + 1e-6)).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the gated loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        t_positive_T = torch.full_like(batch.advantages, self.options.t_positive)
        t_T = t_positive_T.where(batch.advantages > 0, self.options.t_negative)
        gate_T = 4 / t_T * torch.sigmoid(t_T * (token_ratios(batch, logprobs) - 1))
        loss_T = -self.mismatch_weights(batch) * gate_T * batch.advantages + self.kl_penalty(batch, logprobs)
        return self.output(batch, logprobs, self.aggregate(batch, loss_T))
