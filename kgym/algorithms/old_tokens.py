"""Tokens that older weights sampled: which they are, and the weights with which they are trained on.

An episode that lives through updates has tokens of several versions of the weights. `old_logprobs` are those of the
policy before the update for all of them, so the ratios of an algorithm, now to old, do not show that another policy
sampled. The importance weight

    w = min(exp(old - engine), C) for an old token,   1 for a token of the policy that is updated

corrects for that. The trainer scales the gradient of a token's log-probability by it, so the algorithms need no change,
and the value of a loss and its metrics are unweighted. The batch that an algorithm is given has no gap between engine
and trainer at old tokens: its own mismatch weights, which compare engine and trainer under the same weights, would
otherwise count these tokens twice.

Source: decoupling of the sampling from the proximal policy, Hilton et al. 2022, arXiv:2110.00641; for language models
AReaL, arXiv:2505.24298. Truncation: Ionides 2008.

Dimension key:  T tokens of the pack
"""

from dataclasses import replace

import torch
from torch import Tensor

from kgym.algorithms.ratios import MAX_LOG_RATIO
from kgym.types import PackedBatch

CAP = 2.0
"""Largest weight; the C of truncated importance sampling."""


def older(batch: PackedBatch, version: int) -> Tensor:
    """Return which trained tokens were sampled by weights older than `version`, (T,) bool; none in a batch without
    versions.
    """
    return torch.zeros_like(batch.mask) if batch.versions is None else batch.mask & (batch.versions < version)


def corrected(batch: PackedBatch, version: int, cap: float = CAP) -> PackedBatch:
    """Return the batch with the weights of its tokens, for an update of the policy of `version`; the batch itself if no
    token is old.

    `old_logprobs` has to be filled in. Raises ValueError for old tokens without `engine_logprobs`.
    """
    old_T = older(batch, version)
    if not bool(old_T.any()):
        return batch
    if batch.engine_logprobs is None:
        raise ValueError(
            "PackedBatch.engine_logprobs is missing: tokens of older weights are corrected from what the engine "
            "reported"
        )
    weights_T = (batch.old_logprobs - batch.engine_logprobs).clamp(max=MAX_LOG_RATIO).exp().clamp(max=cap)
    return replace(
        batch,
        correction=torch.where(old_T, weights_T, torch.ones_like(weights_T)).detach(),
        engine_logprobs=torch.where(old_T, batch.old_logprobs, batch.engine_logprobs),
    )


def scale_gradient(batch: PackedBatch, logprobs: Tensor) -> Tensor:
    """Return `logprobs`, (T,), whose gradient is scaled by the weights of the batch; the values are the same to the
    last bit.
    """
    weights_T = batch.correction
    if weights_T is None:
        return logprobs
    scaled_T = logprobs.view_as(logprobs)  # the hook is on its own tensor: the caller's keeps its gradient
    scaled_T.register_hook(lambda grad_T: grad_T * weights_T)
    return scaled_T


def correction_metrics(batch: PackedBatch, version: int, cap: float = CAP) -> dict[str, float]:
    """Describe the weights of the old tokens of a corrected batch; {} if it has none.

    `ess_frac` is the effective sample size (sum w)^2 / sum w^2 as a share of the old tokens; Kong 1992.
    """
    if batch.correction is None:
        return {}
    weights = batch.correction[older(batch, version)].double()
    return {
        "old_tokens/weight_mean": weights.mean().item(),
        "old_tokens/capped_frac": (weights >= cap).double().mean().item(),
        "old_tokens/ess_frac": (weights.sum().square() / (weights.numel() * weights.square().sum())).item(),
    }
