"""The choice of a token: one uniform number for each token, and its place in the cumulative distribution.

The number after position p of a completion depends only on (seed, p), so a completion is the same in any batch and for
any segments, up to the rounding of the logits.

Dimension key:  B rows of the batch   V vocabulary   K blocks of it   W tokens of a block
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 512
"""Tokens of a block."""
MANY = 4096
"""Fewest tokens of a vocabulary that is searched block by block."""


def uniforms(seed: int, start: int, n: int) -> np.ndarray:
    """Return the numbers of positions start .. start + n - 1, float64 in [0, 1).

    Philox is counter-based: the seed is its key and needs no mixing (Salmon et al. 2011, "Parallel random numbers: as
    easy as 1, 2, 3").
    """
    return np.random.Generator(np.random.Philox(key=seed)).random(start + n)[start:]


def choose(
    logits_BV: Tensor,
    uniform_B: Tensor,
    temperature_B: Tensor,
    top_k_B: Tensor | None = None,
    top_p_B: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the chosen tokens and their log-probabilities, int64 and float32, each (B,).

    Rows of temperature 0 take the likeliest token. The log-probability is that of log-softmax(logits / temperature)
    over the whole vocabulary, before `top_k_B` and `top_p_B` cut it (None: no row is cut); at temperature 0, of the
    untempered distribution. It is NaN, and the token has no meaning, where a logit of the row is NaN or plus infinity.
    """
    greedy_B = temperature_B == 0
    scaled_BV = logits_BV.float() / temperature_B.masked_fill(greedy_B, 1.0)[:, None]
    logprobs_BV = scaled_BV.log_softmax(1)
    weights_BV = logprobs_BV.exp()
    if top_k_B is not None or top_p_B is not None:
        weights_BV = truncate(weights_BV, top_k_B, top_p_B)
    sampled_B = (
        _drawn(weights_BV, uniform_B) if weights_BV.shape[1] < MANY else _drawn_in_two_steps(weights_BV, uniform_B)
    )
    chosen_B = torch.where(greedy_B, scaled_BV.argmax(1), sampled_B)
    chosen_B = chosen_B.clamp(max=logits_BV.shape[1] - 1)  # the search ends after the last token if a logit is NaN
    return chosen_B, logprobs_BV.gather(1, chosen_B[:, None]).squeeze(1)


def _drawn(weights_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """Return the place of each number in the cumulative weights."""
    cdf_BV = weights_BV.cumsum(1, dtype=torch.float64)
    return _place(cdf_BV, uniform_B[:, None].to(cdf_BV.dtype) * cdf_BV[:, -1:])


def _drawn_in_two_steps(weights_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """Return the same up to the rounding of sums: the block of the place first, then the place in it.

    Summing all weights one by one, in float64, takes longer than the rest of the choice.
    """
    V = weights_BV.shape[1]
    whole = V - V % BLOCK
    sums_BK = weights_BV[:, :whole].unflatten(1, (-1, BLOCK)).sum(2)
    if whole < V:
        sums_BK = torch.cat([sums_BK, weights_BV[:, whole:].sum(1, keepdim=True)], dim=1)
    cdf_BK = sums_BK.cumsum(1, dtype=torch.float64)
    target_B1 = uniform_B[:, None].to(cdf_BK.dtype) * cdf_BK[:, -1:]
    block_B1 = _place(cdf_BK, target_B1)[:, None].clamp(
        max=cdf_BK.shape[1] - 1
    )  # beyond the last one if a weight is NaN
    columns_BW = block_B1 * BLOCK + torch.arange(BLOCK, device=weights_BV.device)
    inside_BW = weights_BV.gather(1, columns_BW.clamp(max=V - 1)).masked_fill(columns_BW >= V, 0.0)
    before_B1 = pad(cdf_BK, (1, 0)).gather(1, block_B1)
    return block_B1.squeeze(1) * BLOCK + _place(inside_BW.cumsum(1, dtype=torch.float64), target_B1 - before_B1)


def _place(cdf_BV: Tensor, target_B1: Tensor) -> Tensor:
    """Return the first place above the target; rounding never moves it beyond the last one with a weight."""
    last_B1 = cdf_BV[:, -1:]
    below_B1 = torch.nextafter(last_B1, torch.zeros_like(last_B1))
    return torch.searchsorted(cdf_BV, torch.minimum(target_B1, below_B1), right=True).squeeze(1)


def truncate(probs_BV: Tensor, top_k_B: Tensor | None, top_p_B: Tensor | None) -> Tensor:
    """Set all probabilities to 0 except those of the k likeliest tokens (0: all), then all except those of the fewest
    tokens that have a share p of the rest. Not normalised.
    """
    sorted_BV, order_BV = probs_BV.sort(dim=1, descending=True, stable=True)
    if top_k_B is not None:
        rank_V = torch.arange(probs_BV.shape[1], device=probs_BV.device)
        k_B = top_k_B.masked_fill(top_k_B == 0, probs_BV.shape[1])
        sorted_BV = sorted_BV.masked_fill(rank_V >= k_B[:, None], 0.0)
    if top_p_B is not None:
        before_BV = sorted_BV.cumsum(1, dtype=torch.float64) - sorted_BV
        cut_BV = before_BV >= top_p_B[:, None] * sorted_BV.sum(1, keepdim=True, dtype=torch.float64)
        cut_BV[:, 0] = False
        cut_BV &= (top_p_B < 1.0)[:, None]  # with 1, rounding would cut the unlikeliest tokens
        sorted_BV = sorted_BV.masked_fill(cut_BV, 0.0)
    return torch.zeros_like(probs_BV).scatter(1, order_BV, sorted_BV)
