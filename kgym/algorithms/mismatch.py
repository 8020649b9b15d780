"""The mismatch between engine and trainer: importance weights against it, and figures of it.

The engine that sampled a completion and the trainer that differentiates it give the same token slightly different
probabilities (other kernels, other precision, older weights in a partial rollout). The importance weight
exp(old - engine) corrects the gradient; it has no gradient itself. Bounds keep its variance finite: a weight beyond a
bound is cut to it (`truncate`) or set to 0 (`mask`).

A weight is taken at one of three levels, with g_t = old_t - engine_t:

    token       exp(g_t), for each token by itself
    geometric   exp(mean of g_t over the completion), for all of its tokens: it does not grow with the length
    sequence    exp(sum of g_t over the completion), for all of its tokens: unbiased for whole completions, but
                0.012 nats a token are a factor of 3.3 after 100 tokens

Settings of the papers:

    TIS         token, truncate, cap 2, no floor: the default. Yao et al. 2025, "Your efficient RL framework secretly
                brings you off-policy RL training"; truncation: Ionides 2008
    IcePop      token, mask, cap 5, floor 0.5. Ling team 2025, "Every Step Evolves", arXiv:2510.18855
    GSPO's      geometric, as the ratio of Zheng et al. 2025, arXiv:2507.18071, equation 7; with `mask`, cap 1.01 and
                floor 0.99 it leaves out the completions on which engine and trainer disagree most

Dimension key:  T tokens of the pack   E episodes
"""

import math
from typing import Literal

import torch
from torch import Tensor

from kgym.algorithms.aggregation import mean_over_tokens
from kgym.algorithms.episodes import masked, mean_per_episode, sum_per_episode
from kgym.algorithms.old_tokens import CAP, older
from kgym.algorithms.ratios import MAX_LOG_RATIO
from kgym.types import PackedBatch

Rule = Literal["truncate", "mask"]
Correction = Literal["off", "truncate", "mask"]
Level = Literal["token", "geometric", "sequence"]


def mismatch_weights(
    batch: PackedBatch,
    correction: Correction,
    level: Level,
    cap: float,
    *,
    floor: float = 0.0,
    below: Rule | None = None,
) -> Tensor:
    """Return the weight of each token, (T,), without gradient; 1 everywhere if the batch has no `engine_logprobs`.

    Weights above `cap` become the cap (`truncate`) or 0 (`mask`), as `correction` says. Weights below `floor` become
    the floor or 0, as `below` says; None is as above the cap.
    """
    if correction == "off" or batch.engine_logprobs is None:
        return torch.ones_like(batch.old_logprobs)
    gap_T = masked(batch, batch.old_logprobs - batch.engine_logprobs)
    if level != "token":
        per_episode = mean_per_episode if level == "geometric" else sum_per_episode
        gap_T = per_episode(batch, gap_T)[batch.episode_ids]
    weights_T = gap_T.clamp(max=MAX_LOG_RATIO).exp().detach()
    bounded_T = weights_T.clamp(max=cap) if correction == "truncate" else torch.where(weights_T > cap, 0.0, weights_T)
    if not floor:
        return bounded_T
    return torch.where(weights_T < floor, floor if (below or correction) == "truncate" else 0.0, bounded_T)


def mismatch_metrics(batch: PackedBatch, weights_T: Tensor, cap: float, floor: float = 0.0) -> dict[str, float]:
    """Return the mean weight, the share of tokens at a bound or masked, and the share masked.

    They sum over micro-batches; {} without `engine_logprobs`.
    """
    if batch.engine_logprobs is None:
        return {}
    masked_T = weights_T == 0
    beyond_T = (weights_T >= cap) | (weights_T <= floor) | masked_T
    return {
        "mismatch/weight_mean": float(mean_over_tokens(batch, weights_T)),
        "mismatch/capped_frac": float(mean_over_tokens(batch, beyond_T.to(weights_T.dtype))),
        "mismatch/masked_frac": float(mean_over_tokens(batch, masked_T.to(weights_T.dtype))),
    }


@torch.no_grad()
def gap_metrics(batch: PackedBatch, version: int) -> dict[str, float]:
    """Describe how far the engine that sampled is from the policy of `version` before its update.

    Figures are over the trained tokens of a whole batch.
    `policy/engine_gap_nats` is over tokens of that version alone, and so the gap of the engine; the gap of older
    tokens is also that of the updates since. With older tokens in the batch the figures of all tokens are also given
    by age, in updates, with the share of the token weights that `old_tokens.CAP` cuts. {} without `engine_logprobs`.
    """
    if batch.engine_logprobs is None:
        return {}
    log_ratio_T = batch.old_logprobs - batch.engine_logprobs
    old_T = older(batch, version)
    fresh = log_ratio_T[batch.mask & ~old_T].abs()
    metrics = {"policy/engine_gap_nats": fresh.mean().item()} if fresh.numel() else {}
    metrics |= _figures(log_ratio_T[batch.mask], "mismatch")
    if batch.versions is not None and bool(old_T.any()):
        metrics["old_tokens/gap_nats"] = log_ratio_T[old_T].abs().mean().item()
        age_T = version - batch.versions
        for age in torch.unique(age_T[batch.mask]).tolist():
            log_ratios = log_ratio_T[batch.mask & (age_T == age)]
            metrics |= _figures(log_ratios, f"mismatch/age_{age}")
            metrics[f"mismatch/age_{age}/capped_frac"] = (log_ratios >= math.log(CAP)).double().mean().item()
    return metrics


def _figures(log_ratios: Tensor, group: str) -> dict[str, float]:
    """Return the figures of log-ratios old - engine of tokens that the engine sampled.

    `kl_nats` is KL(engine || trainer) by the estimator k3. `ess_frac` is the effective sample size of the token
    weights without bounds, (sum w)^2 / (n sum w^2); Kong 1992. `gap_p999_nats` is the smallest gap that 99.9 % of the
    tokens do not exceed.
    """
    log_ratios = log_ratios.double()
    gaps, ratios = log_ratios.abs(), log_ratios.clamp(max=MAX_LOG_RATIO).exp()
    n = gaps.numel()
    figures = torch.stack(
        [
            (ratios - log_ratios - 1).mean(),
            gaps.mean(),
            gaps.max(),
            gaps.kthvalue(math.ceil(0.999 * n)).values,
            ratios.sum().square() / (n * ratios.square().sum()),
        ]
    )
    names = ("kl_nats", "gap_nats", "gap_max_nats", "gap_p999_nats", "ess_frac")
    return {f"{group}/{name}": value for name, value in zip(names, figures.tolist(), strict=True)}
