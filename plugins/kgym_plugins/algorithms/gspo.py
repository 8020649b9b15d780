"""GSPO: the reward is for the completion, so the ratio and the clip are too.

    s = exp(mean over tokens of (log p - log old)),    A = (r - group mean) / (group std + 1e-6)
    L = -mean over completions of min(s A, clip(s, 1 - 3e-4, 1 + 4e-4) A)

The geometric mean moves far less than single ratios do, hence the narrow clip.

Source: Zheng et al. 2025, arXiv:2507.18071, equations 5 to 7 and section 5.1.
"""

from pydantic import Field
from torch import Tensor

from kgym.algorithms.aggregation import mean_over_answers
from kgym.algorithms.base import AlgorithmBase, AlgorithmOptions, Facts
from kgym.algorithms.baselines import group_mean, group_std
from kgym.algorithms.clipping import clipped_gain
from kgym.algorithms.episodes import mean_per_episode, to_tokens
from kgym.algorithms.ratios import sequence_ratios
from kgym.types import LossOutput, PackedBatch


class GSPOOptions(AlgorithmOptions):
    """Group sequence policy optimization."""

    clip_low: float = Field(3e-4, ge=0, lt=1)
    """A completion's ratio gains nothing below 1 - clip_low."""
    clip_high: float = Field(4e-4, ge=0)
    """A completion's ratio gains nothing above 1 + clip_high."""
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL to the frozen reference, a mean over tokens, then completions; 0 keeps no reference in memory.
    """
    minibatches: int = Field(4, ge=1)
    """Optimizer steps in a pass; groups are kept whole."""


class GSPO(AlgorithmBase):
    """See the module."""

    Options = GSPOOptions
    facts = Facts(
        advantage="(r - group mean) / group std",
        ratio="completion, geometric mean",
        clip="0.0003 / 0.0004",
        aggregation="mean over completions",
        kl="k3 in the loss, off",
        reference="frozen, if kl_coef > 0",
        source="Zheng et al. 2025, arXiv:2507.18071, equation 5",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the standardised reward of its completion for each token, (T,); 0 in a group of one or of equal
        rewards.
        """
        return to_tokens(batch, (batch.rewards - group_mean(batch)) / (group_std(batch) + 1e-6)).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the clipped loss of completions; `logprobs` is (T,)."""
        assert batch.advantages is not None
        o = self.options
        advantages_E = mean_per_episode(batch, batch.advantages)
        gain_E, clipped_E = clipped_gain(sequence_ratios(batch, logprobs), advantages_E, o.clip_low, o.clip_high)
        weight_E = mean_per_episode(batch, self.mismatch_weights(batch))  # 0 for a completion that does not count
        loss_E = -weight_E * gain_E + mean_per_episode(batch, self.kl_penalty(batch, logprobs))
        return self.output(batch, logprobs, mean_over_answers(batch, loss_E), clip_frac=to_tokens(batch, clipped_E))
