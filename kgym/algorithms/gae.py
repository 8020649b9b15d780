"""Generalised advantage estimation over the trained tokens of each completion.

    delta_t = r_t + gamma V_{t+1} - V_t,    A_t = delta_t + gamma lambda A_{t+1},    V = A = 0 after the last token

Source: Schulman et al. 2016, arXiv:1506.02438, equation 16.

Dimension key:  T tokens of the pack   E episodes   L trained tokens of the longest completion
"""

import torch
from torch import Tensor

from kgym.algorithms.episodes import lengths, masked
from kgym.types import PackedBatch


def _places(batch: PackedBatch) -> Tensor:
    """Number the masked-in tokens of each episode from 0, (T,) int64; what is elsewhere means nothing."""
    lengths_E = lengths(batch)
    before_E = lengths_E.cumsum(0) - lengths_E
    return batch.mask.long().cumsum(0) - 1 - before_E[batch.episode_ids]


def at_last_token(batch: PackedBatch, values_E: Tensor) -> Tensor:
    """Give the last masked-in token of each episode the value of the episode, (T,); 0 elsewhere."""
    last_T = _places(batch) == lengths(batch)[batch.episode_ids] - 1
    return torch.where(batch.mask & last_T, values_E[batch.episode_ids], torch.zeros_like(values_E[:1]))


def gae(batch: PackedBatch, rewards_T: Tensor, gamma: float, lam: float) -> Tensor:
    """Return the advantage of each token, (T,), 0 where the mask is 0.

    The values are `batch.old_values`, or 0 if there are none: with lam = 1 the result is then the discounted reward to
    go.
    """
    values_T = torch.zeros_like(rewards_T) if batch.old_values is None else masked(batch, batch.old_values)
    rows, columns = batch.episode_ids[batch.mask], _places(batch)[batch.mask]
    n_columns = int(columns.max()) + 1 if columns.numel() else 0
    rewards_EL = rewards_T.new_zeros(batch.n_episodes, n_columns).index_put((rows, columns), rewards_T[batch.mask])
    values_EL = torch.zeros_like(rewards_EL).index_put((rows, columns), values_T[batch.mask])
    advantages_EL = torch.zeros_like(rewards_EL)
    next_value_E = next_advantage_E = rewards_T.new_zeros(batch.n_episodes)
    for column in reversed(range(n_columns)):
        delta_E = rewards_EL[:, column] + gamma * next_value_E - values_EL[:, column]
        next_advantage_E = delta_E + gamma * lam * next_advantage_E
        next_value_E = values_EL[:, column]
        advantages_EL[:, column] = next_advantage_E
    return torch.zeros_like(rewards_T).index_put((batch.mask.nonzero().squeeze(1),), advantages_EL[rows, columns])
