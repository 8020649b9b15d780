"""From tokens to completions and back: masked sums and means over each episode of a pack.

Everything here is masked before it is reduced, so that what is at a prompt or an unscored token, even NaN, reaches
neither a loss nor a gradient.

Dimension key:  T tokens of the pack   E episodes
"""

import torch
from torch import Tensor

from kgym.types import PackedBatch


def masked(batch: PackedBatch, values_T: Tensor) -> Tensor:
    """Return `values_T` with 0 where the mask is 0, (T,)."""
    return torch.where(batch.mask, values_T, torch.zeros_like(values_T))


def lengths(batch: PackedBatch) -> Tensor:
    """Return how many masked-in tokens each episode has, (E,) int64."""
    zeros_E = torch.zeros(batch.n_episodes, dtype=torch.int64, device=batch.mask.device)
    return zeros_E.index_add(0, batch.episode_ids, batch.mask.to(torch.int64))


def scored(batch: PackedBatch) -> Tensor:
    """Return which episodes have a masked-in token, (E,) bool; the others have no part in a loss."""
    return lengths(batch) > 0


def counted(batch: PackedBatch) -> Tensor:
    """Return which episodes the others are compared with, (E,) bool: the scored ones, and truncated ones that are
    masked.
    """
    return scored(batch) if batch.counted is None else batch.counted


def sum_per_episode(batch: PackedBatch, values_T: Tensor) -> Tensor:
    """Return the sum over the masked-in tokens of each episode, (E,)."""
    zeros_E = torch.zeros(batch.n_episodes, dtype=values_T.dtype, device=values_T.device)
    return zeros_E.index_add(0, batch.episode_ids, masked(batch, values_T))


def mean_per_episode(batch: PackedBatch, values_T: Tensor) -> Tensor:
    """Return the mean over the masked-in tokens of each episode, (E,); 0 for an episode without any."""
    return sum_per_episode(batch, values_T) / lengths(batch).clamp(min=1)


def to_tokens(batch: PackedBatch, values_E: Tensor) -> Tensor:
    """Give each masked-in token the value of its episode, (T,); 0 elsewhere."""
    return masked(batch, values_E[batch.episode_ids])
