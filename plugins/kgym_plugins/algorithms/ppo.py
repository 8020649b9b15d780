"""Proximal policy optimization with a critic, as InstructGPT trains language models.

    r_t = -kl_coef * (old_t - ref_t), and r on top at the last token
    A = GAE(r_t, values), whitened over the tokens of the batch
    policy: L = -mean over tokens of min(ratio A, clip(ratio) A)
    critic: L = 0.5 mean over tokens of max((V - R)^2, (clip(V, old V +- clip_value) - R)^2),    R = A before whitening + old V

Source: Schulman et al. 2017, arXiv:1707.06347, equations 7 and 9; Schulman et al. 2016 (GAE), arXiv:1506.02438; Ouyang et al. 2022
(InstructGPT), arXiv:2203.02155, equation 2.
"""

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.baselines import whiten
from kgym.algorithms.clipping import clipped_gain
from kgym.algorithms.episodes import masked
from kgym.algorithms.gae import at_last_token, gae
from kgym.algorithms.kl import kl_in_reward
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch, UpdatePlan


class PPOOptions(TokenLossOptions):
    """Proximal policy optimization."""

    clip_low: float = Field(0.2, ge=0, lt=1)
    """A token's ratio gains nothing below 1 - clip_low; the paper's epsilon."""
    clip_high: float = Field(0.2, ge=0)
    """A token's ratio gains nothing above 1 + clip_high; the paper's epsilon."""
    kl_coef: float = Field(0.02, ge=0)
    """Weight of the KL to the frozen reference in the reward of each token; InstructGPT's beta. 0 keeps no reference in memory."""
    gamma: float = Field(1.0, gt=0, le=1)
    """Discount a token; answers end, so there is no need for one."""
    lam: float = Field(0.95, ge=0, le=1)
    """GAE's lambda: 1 trusts the rewards, 0 the critic."""
    clip_value: float = Field(0.2, gt=0)
    """How far the critic may move from its old value before the loss stops to reward it."""
    value_coef: float = Field(1.0, ge=0)
    """Weight of the critic's loss where both are one; the paper's c1."""
    inner_steps: int = Field(4, ge=1)
    """Passes over each batch; the paper's K."""


class PPO(AlgorithmBase):
    """See the module."""

    Options = PPOOptions
    facts = Facts(
        advantage="GAE of a critic, whitened over the batch",
        ratio="token",
        clip="0.2 / 0.2",
        aggregation="token mean",
        kl="k1 in the reward, 0.02",
        reference="frozen",
        source="Schulman et al. 2017, arXiv:1707.06347, equation 7",
    )

    @property
    def plan(self) -> UpdatePlan:
        """Ask for a critic besides."""
        return replace(super().plan, needs_values=True)

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the whitened GAE of each token, (T,)."""
        return whiten(batch, self._gae(batch))

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the clipped policy loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        o = self.options
        gain_T, clip_frac = clipped_gain(token_ratios(batch, logprobs), batch.advantages, o.clip_low, o.clip_high)
        loss = self.aggregate(batch, -self.mismatch_weights(batch) * gain_T)
        return self.output(batch, logprobs, loss, clip_frac=clip_frac)

    def value_loss(self, batch: PackedBatch, values: Tensor) -> LossOutput:
        """Return the clipped squared error of the critic, before `value_coef`; `values` is (T,) with gradient."""
        old_T = torch.zeros_like(values) if batch.old_values is None else masked(batch, batch.old_values)
        returns_T = self._gae(batch) + old_T
        values_T = masked(batch, values)
        held_T = old_T + (values_T - old_T).clamp(-self.options.clip_value, self.options.clip_value)
        loss = 0.5 * self.aggregate(batch, torch.maximum((values_T - returns_T).square(), (held_T - returns_T).square()))
        return LossOutput(loss, {"critic/loss": float(loss.detach())})

    def full_loss(self, batch: PackedBatch, logprobs: Tensor, values: Tensor | None) -> LossOutput:
        """Return policy loss + value_coef * critic loss, the latter if there are `values`, (T,)."""
        policy = self.loss(batch, logprobs)
        if values is None:
            return policy
        critic = self.value_loss(batch, values)
        return LossOutput(policy.loss + self.options.value_coef * critic.loss, policy.metrics | critic.metrics)

    def _gae(self, batch: PackedBatch) -> Tensor:
        o = self.options
        return gae(batch, at_last_token(batch, batch.rewards) + kl_in_reward(batch, o.kl_coef), o.gamma, o.lam)
