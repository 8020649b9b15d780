"""From a packed batch to the log-probability, or the value, of each of its tokens.

A pack is laid out as right-padded rows for the forward pass: a causal model does not see what stands behind a token.

Dimension key:  T tokens of the pack   E episodes   L tokens of the longest episode
"""

import torch
from torch import Tensor, nn

from kgym.algorithms.episodes import masked
from kgym.train.logprobs import token_logprobs
from kgym.train.rl.critic import ValueModel
from kgym.types import PackedBatch


def columns(batch: PackedBatch) -> Tensor:
    """Return the place of each token within its episode, (T,) int64."""
    lengths_E = torch.bincount(batch.episode_ids, minlength=batch.n_episodes)
    starts_E = lengths_E.cumsum(0) - lengths_E
    return torch.arange(batch.n_tokens, device=batch.input_ids.device) - starts_E[batch.episode_ids]


def policy_logprobs(
    model: nn.Module, batch: PackedBatch, *, temperature: float, with_entropy: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return log p(token | tokens before it) in its episode, (T,) float32, at the sampling temperature, and the entropies if asked for."""
    columns_T = columns(batch)
    input_ids_EL = _rows(batch.input_ids, batch, columns_T)
    attention_EL = _rows(torch.ones_like(batch.input_ids), batch, columns_T)
    logprobs_EL, entropy_EL = token_logprobs(model, input_ids_EL, attention_EL, temperature=temperature, with_entropy=with_entropy)
    logprobs_T = logprobs_EL[batch.episode_ids, columns_T]
    return logprobs_T, None if entropy_EL is None else entropy_EL[batch.episode_ids, columns_T]


def token_values(model: ValueModel, batch: PackedBatch) -> Tensor:
    """Return the value of the state in which each token was chosen, behind the token before it, (T,) float32; 0 where the mask is 0."""
    columns_T = columns(batch)
    values_EL = model(_rows(batch.input_ids, batch, columns_T))
    return masked(batch, values_EL[batch.episode_ids, (columns_T - 1).clamp(min=0)])  # a first token is never trained on


def _rows(values_T: Tensor, batch: PackedBatch, columns_T: Tensor) -> Tensor:
    """Lay the tokens out as rows, (E, L), 0 where there is none."""
    rows_EL = values_T.new_zeros((batch.n_episodes, int(columns_T.max()) + 1))
    rows_EL[batch.episode_ids, columns_T] = values_T
    return rows_EL
