"""The pessimistic bound of PPO, and how often it binds.

All arguments broadcast: tokens (T,) or completions (E,).
"""

import torch
from torch import Tensor


def clipped_gain(ratios: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """Return min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A), to be maximised, and where the clip took the
    gradient away (bool).

    Source: Schulman et al. 2017, arXiv:1707.06347, equation 7; two clips as in DAPO, arXiv:2503.14476, equation 10.

    >>> clipped_gain(torch.tensor([1.5, 0.5, 0.5]), torch.tensor([1.0, -1.0, 1.0]), 0.2, 0.2)
    (tensor([ 1.2000, -0.8000,  0.5000]), tensor([ True,  True, False]))
    """
    free = ratios * advantages
    held = ratios.clamp(1 - clip_low, 1 + clip_high) * advantages
    return torch.minimum(free, held), held < free
