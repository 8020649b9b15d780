"""From a packed batch to the log-probability of each of its tokens.

Dimension key:  T tokens of the pack   E episodes   L tokens of the longest episode
"""

import torch
from torch import Tensor, nn

from kgym.train.modeling import token_logprobs
from kgym.types import PackedBatch


def columns(batch: PackedBatch) -> Tensor:
    """Return the place of each token within its episode, (T,) int64."""
    lengths_E = torch.bincount(batch.episode_ids, minlength=batch.n_episodes)
    starts_E = lengths_E.cumsum(0) - lengths_E
    return torch.arange(batch.n_tokens, device=batch.input_ids.device) - starts_E[batch.episode_ids]


def policy_logprobs(
    model: nn.Module, batch: PackedBatch, *, temperature: float, with_entropy: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return log p(token | tokens before it) in its episode, (T,) float32, at the sampling temperature, and the entropies if asked for.

    The pack is laid out as right-padded rows for the forward pass: a causal model does not see what stands behind a token.
    """
    columns_T = columns(batch)
    shape = (batch.n_episodes, int(columns_T.max()) + 1)
    input_ids_EL = batch.input_ids.new_zeros(shape)
    input_ids_EL[batch.episode_ids, columns_T] = batch.input_ids
    attention_EL = torch.zeros_like(input_ids_EL)
    attention_EL[batch.episode_ids, columns_T] = 1
    logprobs_EL, entropy_EL = token_logprobs(model, input_ids_EL, attention_EL, temperature=temperature, with_entropy=with_entropy)
    logprobs_T = logprobs_EL[batch.episode_ids, columns_T]
    return logprobs_T, None if entropy_EL is None else entropy_EL[batch.episode_ids, columns_T]
