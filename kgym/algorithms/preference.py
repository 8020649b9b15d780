"""Losses on preferences: which of two completions is better, for policies (DPO) and for reward models (pairwise
ranking).

Both are the mean of -log sigmoid(margin) over pairs; they differ in what the margin is. Pairs may carry weights, so
that all pairs of a prompt count as one example, however many there are, and the losses of micro-batches add up to that
of the batch.

Dimension key:  P pairs   R rankings   K completions of a ranking
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from kgym.types import LossOutput


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> LossOutput:
    """Return the mean over pairs of -log sigmoid(beta [(chosen - ref_chosen) - (rejected - ref_rejected)]).

    The arguments are log-probabilities of whole completions, sums over their tokens, (P,) each. With `label_smoothing`
    e, a label is taken to be wrong with probability e: the loss is 1 - e of that plus e of the same with chosen and
    rejected exchanged. With `weights`, (P,), the loss is the weighted sum instead of the mean.

    Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7; label smoothing is that of Mitchell's note on
    conservative DPO, 2023.
    """
    margin_P = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
    return _preference(margin_P, label_smoothing, weights)


def pairwise_loss(better: Tensor, worse: Tensor, *, weights: Tensor | None = None) -> LossOutput:
    """Return the mean over pairs of -log sigmoid(better - worse); the arguments are a reward model's scores, (P,) each.

    With `weights`, (P,), it is the weighted sum. Source: Ouyang et al. 2022 (InstructGPT), arXiv:2203.02155, equation
    1.
    """
    return _preference(better - worse, 0.0, weights)


def ranking_loss(scores: Tensor) -> LossOutput:
    """Return the mean over all K-choose-2 pairs of -log sigmoid(score of the better - score of the worse).

    `scores` is (R, K), the reward model's scores of the completions to R prompts, best completion first. All pairs of a
    prompt belong in one batch element, or the model overfits to the completions that are in many pairs.

    Source: Ouyang et al. 2022 (InstructGPT), arXiv:2203.02155, equation 1.
    """
    better, worse = torch.triu_indices(scores.shape[1], scores.shape[1], offset=1, device=scores.device)
    return pairwise_loss(scores[:, better].reshape(-1), scores[:, worse].reshape(-1))


def _preference(margin_P: Tensor, label_smoothing: float, weights_P: Tensor | None) -> LossOutput:
    if weights_P is None:
        weights_P = torch.full_like(margin_P, 1.0 / margin_P.shape[0])
    loss_P = -(1.0 - label_smoothing) * logsigmoid(margin_P) - label_smoothing * logsigmoid(-margin_P)
    metrics = {
        "preference/accuracy_frac": float((weights_P * (margin_P.detach() > 0)).sum()),
        "preference/margin_mean": float((weights_P * margin_P.detach()).sum()),
    }
    return LossOutput((weights_P * loss_P).sum(), metrics)
