"""Weights against the mismatch between engine and trainer.

The engine that sampled an answer and the trainer that differentiates it give the same token slightly different probabilities (other
kernels, other precision, older weights in a partial rollout). The importance weight exp(old - engine), truncated so that its variance
stays bounded, corrects the gradient; it carries no gradient itself.

Source: truncated importance sampling, Ionides 2008; for language models Yao et al. 2025, "Your efficient RL framework secretly brings
you off-policy RL training".

Dimension key:  T tokens of the pack   E episodes
"""

from typing import Literal

import torch
from torch import Tensor

from kgym.algorithms.aggregation import mean_over_tokens
from kgym.algorithms.episodes import masked, sum_per_episode
from kgym.algorithms.ratios import MAX_LOG_RATIO
from kgym.types import PackedBatch

Correction = Literal["off", "truncate", "mask"]
Level = Literal["token", "sequence"]


def mismatch_weights(batch: PackedBatch, correction: Correction, level: Level, cap: float) -> Tensor:
    """Return the weight of each token, (T,), without gradient; 1 everywhere if the batch has no `engine_logprobs`.

    `token` weighs each token by exp(old - engine), `sequence` every token of an answer by the exp of their sum. Beyond `cap`,
    `truncate` gives the cap and `mask` gives 0.
    """
    if correction == "off" or batch.engine_logprobs is None:
        return torch.ones_like(batch.old_logprobs)
    gap_T = masked(batch, batch.old_logprobs - batch.engine_logprobs)
    if level == "sequence":
        gap_T = sum_per_episode(batch, gap_T)[batch.episode_ids]
    weights_T = gap_T.clamp(max=MAX_LOG_RATIO).exp().detach()
    return weights_T.clamp(max=cap) if correction == "truncate" else torch.where(weights_T > cap, 0.0, weights_T)


def mismatch_metrics(batch: PackedBatch, weights_T: Tensor, cap: float) -> dict[str, float]:
    """Return the mean weight and the share of tokens at the cap, or {} without `engine_logprobs`; both sum over micro-batches."""
    if batch.engine_logprobs is None:
        return {}
    beyond_T = ((weights_T >= cap) | (weights_T == 0)).to(weights_T.dtype)
    return {
        "mismatch/weight_mean": float(mean_over_tokens(batch, weights_T)),
        "mismatch/capped_frac": float(mean_over_tokens(batch, beyond_T)),
    }
