"""Estimates of KL(policy || other) from tokens that the policy sampled, in nats.

Source: Schulman 2020, "Approximating KL divergence". With d = other - logprobs:

    k1 = -d               unbiased, noisy; as a loss its gradient has mean zero, so it is used in the reward
    k2 = d^2 / 2          biased but low in variance; as a loss it has the right gradient
    k3 = exp(d) - d - 1   unbiased and never negative; DeepSeekMath (arXiv:2402.03300, equation 4) puts it in the loss
"""

from typing import Literal

import torch
from torch import Tensor

from kgym.algorithms.episodes import masked
from kgym.algorithms.ratios import MAX_LOG_RATIO
from kgym.errors import ConfigError
from kgym.types import PackedBatch

Estimator = Literal["k1", "k2", "k3"]


def kl_estimate(logprobs: Tensor, other_logprobs: Tensor, estimator: Estimator) -> Tensor:
    """Return the estimate for each token; the shapes are those of the arguments.

    >>> import torch
    >>> [round(float(kl_estimate(torch.tensor(-1.0), torch.tensor(-1.5), k)), 4) for k in ("k1", "k2", "k3")]
    [0.5, 0.125, 0.1065]
    """
    d = other_logprobs - logprobs
    if estimator == "k1":
        return -d
    if estimator == "k2":
        return d.square() / 2
    d = d.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return d.exp() - d - 1


def kl_to_reference(batch: PackedBatch, logprobs: Tensor, estimator: Estimator) -> Tensor:
    """Return the estimate of KL(policy || reference) for each token, (T,); 0 where the mask is 0.

    Raises ConfigError if the batch has no `ref_logprobs`.
    """
    if batch.ref_logprobs is None:
        raise ConfigError(
            "a KL term needs the reference's log-probabilities: fill in PackedBatch.ref_logprobs, or set kl_coef=0"
        )
    return kl_estimate(masked(batch, logprobs), masked(batch, batch.ref_logprobs), estimator)


def kl_in_reward(batch: PackedBatch, kl_coef: float) -> Tensor:
    """Return -kl_coef * k1(old policy || reference), the part of the reward that each token gets at once, (T,); 0 if
    kl_coef is.

    Source: Ouyang et al. 2022 (InstructGPT), arXiv:2203.02155, equation 2.
    """
    if not kl_coef:
        return torch.zeros_like(batch.mask, dtype=torch.float32)
    return -kl_coef * kl_to_reference(batch, batch.old_logprobs, "k1")
