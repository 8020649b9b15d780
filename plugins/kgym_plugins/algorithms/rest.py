"""ReST and RAFT: imitate the policy's own good completions and ignore the rest.

    L = -mean over the tokens of the batch of w log p(token),    w = 1 for the chosen completions and 0 for the others

`rest` chooses the correct ones, `raft` the best of each group. Neither has a negative gradient: in Kimi k1.5
(arXiv:2501.12599, section 3) ReST is the baseline that learns more slowly without it.

Source: Gulcehre et al. 2023 (ReST), arXiv:2308.08998; Dong et al. 2023 (RAFT), arXiv:2304.06767.
"""

from torch import Tensor

from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import group_max
from kgym.algorithms.episodes import to_tokens
from kgym.types import LossOutput, PackedBatch


class ReSTOptions(TokenLossOptions):
    """Imitation of correct completions."""

    threshold: float = 0.5
    """A completion is correct if its reward, after shaping, is above this."""


class ReST(AlgorithmBase):
    """The correct completions."""

    Options = ReSTOptions
    facts = Facts(
        advantage="1 if right, else 0",
        ratio="none",
        clip="none",
        aggregation="token mean",
        kl="none",
        reference="none",
        source="Gulcehre et al. 2023, arXiv:2308.08998",
    )
    min_group_size = 1

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return 1 for each token of a correct completion, else 0, (T,)."""
        return to_tokens(batch, (batch.rewards > self.options.threshold).to(batch.rewards.dtype))

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the negative log-likelihood of the chosen completions; `logprobs` is (T,)."""
        return _imitate(self, batch, logprobs)


class RAFTOptions(TokenLossOptions):
    """Imitation of the best completions."""


class RAFT(AlgorithmBase):
    """The best completions of each group; all of them if they are equal."""

    Options = RAFTOptions
    facts = Facts(
        advantage="1 if the best of its group, else 0",
        ratio="none",
        clip="none",
        aggregation="token mean",
        kl="none",
        reference="none",
        source="Dong et al. 2023, arXiv:2304.06767",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return 1 for each token of a completion with the highest reward of its group, else 0, (T,)."""
        return to_tokens(batch, (batch.rewards >= group_max(batch)).to(batch.rewards.dtype))

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the negative log-likelihood of the chosen completions; `logprobs` is (T,)."""
        return _imitate(self, batch, logprobs)


def _imitate(algorithm: AlgorithmBase, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
    assert batch.advantages is not None
    loss_T = -algorithm.mismatch_weights(batch) * batch.advantages * logprobs
    return algorithm.output(batch, logprobs, algorithm.aggregate(batch, loss_T))
