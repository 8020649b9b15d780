"""Proximal policy optimization with a critic, as InstructGPT trains language models.

    r_t = -kl_coef * (old_t - ref_t), plus r at the last token  (kl_in = "loss": r alone, and k3 in the policy's loss)
    A = GAE(r_t, values), whitened over the tokens of the batch
    policy: L = -mean over tokens of min(ratio A, clip(ratio) A)
    critic: L = 0.5 mean over tokens of max((V - R)^2, (clip(V, old V +- clip_value) - R)^2)
            R = A before whitening + old V

Source: Schulman et al. 2017, arXiv:1707.06347, equations 7 and 9; Schulman et al. 2016 (GAE), arXiv:1506.02438; Ouyang
et al. 2022 (InstructGPT), arXiv:2203.02155, equation 2.
"""

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from kgym.algorithms.aggregation import mean_over_tokens
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
    """Weight of the KL to the frozen reference; InstructGPT's beta. 0 keeps no reference in memory."""
    kl_in: Literal["reward", "loss"] = "reward"
    """Where the KL is: k1 in the reward of each token, which the critic then foresees, or k3 in the loss of the
    policy.
    """
    gamma: float = Field(1.0, gt=0, le=1)
    """Discount of each token. Completions end, so 1 (no discount) works."""
    lam: float = Field(0.95, ge=0, le=1)
    """GAE's lambda: 1 trusts the rewards, 0 the critic."""
    clip_value: float = Field(0.2, gt=0)
    """How far the critic may move from its old value before the loss stops rewarding it."""
    value_coef: float = Field(1.0, ge=0)
    """Weight of the critic's loss; the paper's c1. It matters where critic and policy share a backbone."""
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
    min_group_size = 1

    @property
    def plan(self) -> UpdatePlan:
        """Ask for a critic also."""
        return replace(super().plan, needs_values=True)

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the whitened GAE of each token, (T,)."""
        return whiten(batch, self._gae(batch))

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the clipped policy loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        o = self.options
        gain_T, clip_frac = clipped_gain(token_ratios(batch, logprobs), batch.advantages, o.clip_low, o.clip_high)
        loss_T = -self.mismatch_weights(batch) * gain_T
        if o.kl_in == "loss":
            loss_T = loss_T + self.kl_penalty(batch, logprobs)
        return self.output(batch, logprobs, self.aggregate(batch, loss_T), clip_frac=clip_frac)

    def value_loss(self, batch: PackedBatch, values: Tensor) -> LossOutput:
        """Return value_coef * the clipped squared error of the critic; `values` is (T,) with gradient."""
        o = self.options
        old_T = torch.zeros_like(values) if batch.old_values is None else masked(batch, batch.old_values)
        returns_T = self._gae(batch) + old_T
        values_T = masked(batch, values)
        held_T = old_T + (values_T - old_T).clamp(-o.clip_value, o.clip_value)
        error_T = torch.maximum((values_T - returns_T).square(), (held_T - returns_T).square())
        loss = 0.5 * self.aggregate(batch, error_T)
        metrics = {
            "critic/loss": float(loss.detach()),
            "critic/value_mean": float(mean_over_tokens(batch, values.detach())),
            "critic/return_mean": float(mean_over_tokens(batch, returns_T)),
        }
        return LossOutput(o.value_coef * loss, metrics)

    def full_loss(self, batch: PackedBatch, logprobs: Tensor, values: Tensor | None) -> LossOutput:
        """Return the loss of the policy, and of the critic if there are `values`, (T,)."""
        policy = self.loss(batch, logprobs)
        if values is None:
            return policy
        critic = self.value_loss(batch, values)
        return LossOutput(policy.loss + critic.loss, policy.metrics | critic.metrics)

    def _gae(self, batch: PackedBatch) -> Tensor:
        o = self.options
        rewards_T = at_last_token(batch, batch.rewards)
        if o.kl_in == "reward":
            rewards_T = rewards_T + kl_in_reward(batch, o.kl_coef)
        return gae(batch, rewards_T, o.gamma, o.lam)
