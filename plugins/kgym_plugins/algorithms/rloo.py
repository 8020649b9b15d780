"""REINFORCE leave-one-out: each completion is compared with the others of its group.

    A_j = R_j - mean of R over the other completions,    R = r - kl_coef * sum over tokens of (old - ref)
    L = -mean over completions of A_j log p(completion j)

The baseline does not depend on the completion itself, so the gradient is unbiased, unlike with the mean of the whole
group.

Source: Ahmadian et al. 2024, "Back to basics", arXiv:2402.14740; Kool et al. 2019.
"""

from dataclasses import replace

from pydantic import Field
from torch import Tensor

from kgym.algorithms.aggregation import Aggregation
from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import leave_one_out_mean
from kgym.algorithms.episodes import sum_per_episode, to_tokens
from kgym.algorithms.kl import kl_in_reward
from kgym.types import LossOutput, PackedBatch


class RLOOOptions(TokenLossOptions):
    """REINFORCE leave-one-out."""

    kl_coef: float = Field(0.03, ge=0)
    """Weight of the KL to the frozen reference in the reward; the paper's beta. 0 keeps no reference in memory."""
    aggregation: Aggregation = "seq_mean_token_sum"
    """How token losses become one loss: the log-probability of a whole completion is the sum of its tokens'."""


class RLOO(AlgorithmBase):
    """See the module."""

    Options = RLOOOptions
    facts = Facts(
        advantage="r - mean of the other completions",
        ratio="none",
        clip="none",
        aggregation="mean over completions of the sum",
        kl="k1 in the reward, 0.03",
        reference="frozen",
        source="Ahmadian et al. 2024, arXiv:2402.14740",
    )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the leave-one-out advantage of its completion for each token, (T,); 0 in a group of one."""
        batch = replace(
            batch, rewards=batch.rewards + sum_per_episode(batch, kl_in_reward(batch, self.options.kl_coef))
        )
        return to_tokens(batch, batch.rewards - leave_one_out_mean(batch)).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the policy-gradient loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        loss_T = -self.mismatch_weights(batch) * batch.advantages * logprobs
        return self.output(batch, logprobs, self.aggregate(batch, loss_T))
