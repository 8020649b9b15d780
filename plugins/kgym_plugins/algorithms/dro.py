"""DRO: mirror descent, token by token.

    A = r - group mean
    L = -mean over the tokens of the batch of [ A log p - beta / 2 (log p - log old)^2 ]

Mirror descent squares the log-ratio of the whole completion, which grows with its length; here each token has its own
penalty.

Source: Richemond et al. 2024, "Offline regularised reinforcement learning for LLM alignment", arXiv:2405.19107; per
token as in verl 0.9.
"""

from pydantic import Field
from torch import Tensor

from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import group_mean
from kgym.algorithms.episodes import to_tokens
from kgym.algorithms.ratios import log_ratios
from kgym.types import LossOutput, PackedBatch


class DROOptions(TokenLossOptions):
    """Direct reward optimisation, per token."""

    beta: float = Field(0.1, ge=0)
    """Pull of each token towards the policy that sampled it."""
    inner_steps: int = Field(4, ge=1)
    """Passes over each batch. With one optimizer step, on fresh data, the pull has no gradient."""


class DRO(AlgorithmBase):
    """See the module."""

    Options = DROOptions
    facts = Facts(
        advantage="r - group mean",
        ratio="token, in logs",
        clip="none: squared log-ratio",
        aggregation="token mean",
        kl="squared log-ratio, beta / 2",
        reference="policy at the start of the batch",
        source="Richemond et al. 2024, arXiv:2405.19107; verl 0.9",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the centred reward of its completion for each token, (T,); 0 in a group of one or of equal rewards."""
        return to_tokens(batch, batch.rewards - group_mean(batch)).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the regularised policy-gradient loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        gain_T = batch.advantages * logprobs - self.options.beta / 2 * log_ratios(batch, logprobs).square()
        return self.output(batch, logprobs, self.aggregate(batch, -self.mismatch_weights(batch) * gain_T))
