"""ReMax: the greedy completion of the same problem is the baseline.

    A = R - r of the greedy completion,    R = r - kl_coef * sum over tokens of (old - ref)
    L = -mean over completions of A log p(completion)

One completion of each problem is enough, plus the greedy one, which is not trained on.

Source: Li et al. 2023, arXiv:2310.10505.
"""

from dataclasses import replace

from pydantic import Field
from torch import Tensor

from kgym.algorithms.aggregation import Aggregation
from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.episodes import sum_per_episode, to_tokens
from kgym.algorithms.kl import kl_in_reward
from kgym.errors import ConfigError
from kgym.types import LossOutput, PackedBatch, UpdatePlan


class ReMaxOptions(TokenLossOptions):
    """ReMax."""

    kl_coef: float = Field(0.1, ge=0)
    """Weight of the KL to the frozen reference in the reward; 0 keeps no reference in memory."""
    aggregation: Aggregation = "seq_mean_token_sum"
    """How token losses become one loss: the log-probability of a whole completion is the sum of its tokens'."""


class ReMax(AlgorithmBase):
    """See the module."""

    Options = ReMaxOptions
    facts = Facts(
        advantage="r - r of the greedy completion",
        ratio="none",
        clip="none",
        aggregation="mean over completions of the sum",
        kl="k1 in the reward, 0.1",
        reference="frozen",
        source="Li et al. 2023, arXiv:2310.10505",
    )
    min_group_size = 1

    @property
    def plan(self) -> UpdatePlan:
        """Ask for the greedy completions also."""
        return replace(super().plan, needs_greedy=True)

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the reward of its completion over that of the greedy one for each token, (T,)."""
        if batch.greedy_rewards is None:
            raise ConfigError(
                "remax compares with the greedy completion of the same problem: fill in PackedBatch.greedy_rewards"
            )
        rewards_E = batch.rewards + sum_per_episode(batch, kl_in_reward(batch, self.options.kl_coef))
        return to_tokens(batch, rewards_E - batch.greedy_rewards)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the policy-gradient loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        loss_T = -self.mismatch_weights(batch) * batch.advantages * logprobs
        return self.output(batch, logprobs, self.aggregate(batch, loss_T))
