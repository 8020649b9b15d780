"""GPG: plain policy gradient against the group mean, scaled up for groups without a gradient.

    A = alpha (r - group mean),    alpha = groups / groups whose rewards differ
    L = -mean over the tokens of the batch of A log p(token)

Groups of equal rewards have no gradient but count in the mean; alpha removes their share. It has no ratio, clip or
reference.

Source: Chu et al. 2025, arXiv:2504.02546.
"""

from torch import Tensor

from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import group_mean, group_shares, group_std
from kgym.algorithms.episodes import to_tokens
from kgym.types import LossOutput, PackedBatch


class GPGOptions(TokenLossOptions):
    """Group policy gradient."""


class GPG(AlgorithmBase):
    """See the module."""

    Options = GPGOptions
    facts = Facts(
        advantage="(r - group mean) x groups / groups that differ",
        ratio="none",
        clip="none",
        aggregation="token mean",
        kl="none",
        reference="none",
        source="Chu et al. 2025, arXiv:2504.02546",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the centred and scaled reward of its completion for each token, (T,); 0 if the rewards of no group
        differ.
        """
        shares_E = group_shares(batch)
        n_differ = shares_E[group_std(batch) > 1e-9].sum().round()
        alpha = shares_E.sum().round() / n_differ.clamp(min=1)
        return to_tokens(batch, alpha * (batch.rewards - group_mean(batch))).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the policy-gradient loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        loss_T = -self.mismatch_weights(batch) * batch.advantages * logprobs
        return self.output(batch, logprobs, self.aggregate(batch, loss_T))
