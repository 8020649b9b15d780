"""Losses on preferences: which of two answers is better, for policies (DPO) and for reward models (pairwise ranking).

Dimension key:  P pairs   R rankings   K answers of a ranking
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from kgym.types import LossOutput


def dpo_loss(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, *, beta: float = 0.1) -> LossOutput:
    """Return the mean over pairs of -log sigmoid(beta [(chosen - ref_chosen) - (rejected - ref_rejected)]).

    The arguments are log-probabilities of whole answers, sums over their tokens, (P,) each.

    Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7.
    """
    margin_P = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
    return _preference(margin_P)


def ranking_loss(scores: Tensor) -> LossOutput:
    """Return the mean over all K-choose-2 pairs of -log sigmoid(score of the better - score of the worse).

    `scores` is (R, K), the reward model's scores of the answers to R prompts, best answer first. All pairs of a prompt belong in one batch
    element, or the model overfits to the answers that stand in many pairs.

    Source: Ouyang et al. 2022 (InstructGPT), arXiv:2203.02155, equation 1.
    """
    better, worse = torch.triu_indices(scores.shape[1], scores.shape[1], offset=1, device=scores.device)
    return _preference((scores[:, better] - scores[:, worse]).reshape(-1))


def _preference(margin_P: Tensor) -> LossOutput:
    metrics = {
        "preference/accuracy_frac": float((margin_P.detach() > 0).float().mean()),
        "preference/margin_mean": float(margin_P.detach().mean()),
    }
    return LossOutput(-logsigmoid(margin_P).mean(), metrics)
