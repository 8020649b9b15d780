"""Baselines of a reward: its group, the others of its group, or the batch.

Only the episodes that count take part: those with a masked-in token and, as in DAPO, truncated ones that are masked
(`PackedBatch.counted`). The figures of the others have no meaning and are masked out later. Whitening is over the
masked-in tokens alone. Computed in double precision: in float32 the mean of equal rewards need not be equal to them,
and a division by std + 1e-6 would make an advantage out of the rounding.

Dimension key:  T tokens of the pack   E episodes   G groups
"""

import torch
from torch import Tensor

from kgym.algorithms.episodes import counted, masked, scored
from kgym.types import PackedBatch


def _group_ranks(batch: PackedBatch) -> Tensor:
    """Number the groups 0 .. G-1 and return the number of each episode's, (E,) int64."""
    return torch.unique(batch.group_ids, return_inverse=True)[1]


def _group_sums(batch: PackedBatch, values_E: Tensor) -> Tensor:
    """Give each episode the sum of `values_E` over the episodes of its group that count, (E,) float64."""
    group_E = _group_ranks(batch)
    values_E = torch.where(counted(batch), values_E.double(), 0.0)
    return torch.zeros_like(values_E).index_add(0, group_E, values_E)[group_E]


def group_sizes(batch: PackedBatch) -> Tensor:
    """Return how many episodes that count the group of each episode has, (E,) float64."""
    return _group_sums(batch, torch.ones_like(batch.rewards))


def group_shares(batch: PackedBatch) -> Tensor:
    """Return what part of the trained episodes of its group each of them is, (E,) float64: sums to 1 over each group
    that has any.
    """
    trained_E = scored(batch).double()
    return trained_E / _group_sums(batch, trained_E).clamp(min=1)


def group_mean(batch: PackedBatch) -> Tensor:
    """Return the mean reward of each episode's group, (E,) float64."""
    return _group_sums(batch, batch.rewards) / group_sizes(batch).clamp(min=1)


def group_std(batch: PackedBatch, *, sample: bool = True) -> Tensor:
    """Return the standard deviation of the rewards in each episode's group, (E,) float64; 0 for a group of one.

    `sample` divides by n - 1, as `torch.std` does; otherwise by n. Published implementations of GRPO differ in this.
    """
    squares_E = _group_sums(batch, (batch.rewards - group_mean(batch)).square())
    return (squares_E / (group_sizes(batch) - int(sample)).clamp(min=1)).sqrt()


def leave_one_out_mean(batch: PackedBatch) -> Tensor:
    """Return the mean reward of the *other* episodes of each episode's group, (E,) float64; its own reward for a group
    of one.

    Source: Ahmadian et al. 2024 (RLOO), arXiv:2402.14740.
    """
    n_E = group_sizes(batch)
    others_E = (_group_sums(batch, batch.rewards) - batch.rewards) / (n_E - 1).clamp(min=1)
    return torch.where(n_E > 1, others_E, batch.rewards.double())


def _group_max(batch: PackedBatch, values_E: Tensor) -> Tensor:
    """Give each episode the largest of `values_E` among those of its group that count, (E,) float64; -inf if there
    is none.
    """
    group_E = _group_ranks(batch)
    values_E = torch.where(counted(batch), values_E.double(), -torch.inf)
    return torch.full_like(values_E, -torch.inf).scatter_reduce(0, group_E, values_E, "amax")[group_E]


def group_max(batch: PackedBatch) -> Tensor:
    """Return the highest reward in each episode's group, (E,) float64."""
    return _group_max(batch, batch.rewards)


def group_logmeanexp(batch: PackedBatch, tau: float) -> Tensor:
    """Return tau log mean exp(r / tau) over each episode's group, (E,) float64: Kimi k1.5's estimate of tau log Z,
    section 2.3.2.
    """
    scaled_E = batch.rewards.double() / tau
    top_E = _group_max(batch, scaled_E)  # subtracted first, or exp() overflows
    return tau * (top_E + (_group_sums(batch, (scaled_E - top_E).exp()) / group_sizes(batch)).log())


def batch_mean(batch: PackedBatch) -> Tensor:
    """Return the mean reward over all episodes that count, () float64."""
    return batch.rewards.double()[counted(batch)].sum() / counted(batch).sum().clamp(min=1)


def whiten(batch: PackedBatch, values_T: Tensor) -> Tensor:
    """Shift and scale to mean 0 and (sample) variance 1 over the masked-in tokens of the batch, (T,); 0 elsewhere."""
    chosen = values_T.double()[batch.mask]
    if chosen.numel() < 2:
        return torch.zeros_like(values_T)
    return masked(batch, (values_T.double() - chosen.mean()) * (chosen.var() + 1e-8).rsqrt()).to(values_T.dtype)
