"""GMPO: the geometric mean of the clipped token ratios, which one outlier cannot move.

    l = log p - log old per token, clipped to [-clip_low, clip_high] where PPO would clip (the pessimistic side of A)
    L = -mean over completions of A exp(mean over tokens of l),    A = (r - group mean) / (group std + 1e-6)

Source: Zhao et al. 2025, arXiv:2507.20673.
"""

import torch
from pydantic import Field
from torch import Tensor

from kgym.algorithms.aggregation import mean_over_answers
from kgym.algorithms.base import AlgorithmBase, AlgorithmOptions, Facts
from kgym.algorithms.baselines import group_mean, group_std
from kgym.algorithms.episodes import mean_per_episode, to_tokens
from kgym.algorithms.ratios import MAX_LOG_RATIO, log_ratios
from kgym.types import LossOutput, PackedBatch


class GMPOOptions(AlgorithmOptions):
    """Geometric-mean policy optimization."""

    clip_low: float = Field(0.4, ge=0)
    """A token's log-ratio gains nothing below -clip_low; in logs, unlike in the other algorithms."""
    clip_high: float = Field(0.4, ge=0)
    """A token's log-ratio gains nothing above clip_high; in logs, unlike in the other algorithms."""
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL to the frozen reference, a mean over tokens, then completions; 0 keeps no reference in memory.
    """
    minibatches: int = Field(4, ge=1)
    """Optimizer steps in a pass; groups are kept whole."""


class GMPO(AlgorithmBase):
    """See the module."""

    Options = GMPOOptions
    facts = Facts(
        advantage="(r - group mean) / group std",
        ratio="completion, geometric mean of clipped token ratios",
        clip="token, 0.4 / 0.4 in logs",
        aggregation="mean over completions",
        kl="k3 in the loss, off",
        reference="frozen, if kl_coef > 0",
        source="Zhao et al. 2025, arXiv:2507.20673",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the standardised reward of its completion for each token, (T,); 0 in a group of one or of equal
        rewards.
        """
        return to_tokens(batch, (batch.rewards - group_mean(batch)) / (group_std(batch) + 1e-6)).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the loss of completions; `logprobs` is (T,)."""
        assert batch.advantages is not None
        o = self.options
        log_T = log_ratios(batch, logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
        held_T = log_T.clamp(-o.clip_low, o.clip_high)
        pessimistic_T = torch.where(batch.advantages > 0, torch.minimum(log_T, held_T), torch.maximum(log_T, held_T))
        ratio_E = mean_per_episode(batch, pessimistic_T).exp()
        weight_E = mean_per_episode(batch, self.mismatch_weights(batch))  # 0 for a completion that does not count
        gain_E = weight_E * ratio_E * mean_per_episode(batch, batch.advantages)
        loss_E = -gain_E + mean_per_episode(batch, self.kl_penalty(batch, logprobs))
        return self.output(
            batch,
            logprobs,
            mean_over_answers(batch, loss_E),
            clip_frac=(pessimistic_T != log_T) & (batch.advantages != 0),
        )
