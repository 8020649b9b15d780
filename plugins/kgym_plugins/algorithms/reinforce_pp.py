"""REINFORCE++: PPO's clipped objective without a critic, its advantages whitened over the whole batch.

    A_t = r - kl_coef * sum over the tokens from t on of (old - ref),    whitened over the tokens of the batch
    L = -mean over tokens of min(ratio A, clip(ratio) A)

Advantages are normalised over the batch, not the group: one completion of each problem is enough, and easy groups do
not weigh more because of their small spread.

Source: Hu et al. 2025, arXiv:2501.03262.
"""

from dataclasses import replace

from pydantic import Field
from torch import Tensor

from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import whiten
from kgym.algorithms.clipping import clipped_gain
from kgym.algorithms.gae import at_last_token, gae
from kgym.algorithms.kl import kl_in_reward
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch


class ReinforcePPOptions(TokenLossOptions):
    """REINFORCE++."""

    clip_low: float = Field(0.2, ge=0, lt=1)
    """A token's ratio gains nothing below 1 - clip_low."""
    clip_high: float = Field(0.2, ge=0)
    """A token's ratio gains nothing above 1 + clip_high."""
    kl_coef: float = Field(0.01, ge=0)
    """Weight of the KL to the frozen reference in the reward of each token; 0 keeps no reference in memory."""


class ReinforcePP(AlgorithmBase):
    """See the module."""

    Options = ReinforcePPOptions
    facts = Facts(
        advantage="r with KL to go, whitened over the batch",
        ratio="token",
        clip="0.2 / 0.2",
        aggregation="token mean",
        kl="k1 in the reward, 0.01",
        reference="frozen",
        source="Hu et al. 2025, arXiv:2501.03262",
    )
    min_group_size = 1

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the whitened reward to go of each token, (T,); 0 if all are equal."""
        rewards_T = at_last_token(batch, batch.rewards) + kl_in_reward(batch, self.options.kl_coef)
        to_go_T = gae(
            replace(batch, old_values=None), rewards_T, gamma=1.0, lam=1.0
        )  # no critic: what is still to come
        return whiten(batch, to_go_T)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the clipped loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        o = self.options
        gain_T, clip_frac = clipped_gain(token_ratios(batch, logprobs), batch.advantages, o.clip_low, o.clip_high)
        loss = self.aggregate(batch, -self.mismatch_weights(batch) * gain_T)
        return self.output(batch, logprobs, loss, clip_frac=clip_frac)
