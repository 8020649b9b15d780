"""pass@k and G-Pass@k of many problems at once, unbiased, from one set of completions, with standard errors over
problems.

Both depend on a problem only through n, its scored completions, and c, the correct ones among them, so each pair (n, c)
is computed once.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLDS = (0.25, 0.5, 0.75, 1.0)
"""The values of tau for which G-Pass@k is reported, as in the paper."""
Floats = NDArray[np.float64]


def pass_at_ks(n_scored: ArrayLike, n_correct: ArrayLike, largest: int) -> tuple[Floats, Floats]:
    """Return the mean of pass@k for k = 1 .. `largest` over the problems with at least k scored completions, and its
    standard error over these problems.

    Both have shape (largest,); NaN without a problem, and for the error also with one problem.
    Source: Chen et al. 2021, arXiv:2107.03374, section 2.1. The chance to miss k times, C(n-c, k) / C(n, k), is
    computed as a running product.
    """
    pairs_U2, weights_U = _pairs(n_scored, n_correct)
    sums_K, squares_K, n_K = np.zeros(largest), np.zeros(largest), np.zeros(largest)
    for (n, c), weight in zip(pairs_U2.tolist(), weights_U.tolist(), strict=True):
        drawn = np.arange(min(n, largest))  # completions that are drawn already
        miss = np.cumprod(np.maximum(n - c - drawn, 0) / (n - drawn))
        sums_K[: len(drawn)] += weight * (1.0 - miss)
        squares_K[: len(drawn)] += weight * (1.0 - miss) ** 2
        n_K[: len(drawn)] += weight
    return _mean_stderr(sums_K, squares_K, n_K)


def g_pass_at_k(n_scored: ArrayLike, n_correct: ArrayLike, k: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return the mean of G-Pass@k_tau for the `THRESHOLDS`, and of mG-Pass@k as `mean`, over the problems with at least
    k scored completions.

    The second value has their standard errors over problems; both are {} without such a problem. G-Pass@k_tau is the
    chance that at least tau k of k drawn completions are correct; mG-Pass@k averages it over tau in (1/2, 1]. Source:
    Liu et al. 2024, arXiv:2412.13147, equations 3 to 5.

    >>> round(g_pass_at_k([4], [2], 2)[0]["1.0"], 9)  # both of two: 1 of 6 pairs
    0.166666667
    """
    pairs_U2, weights_U = _pairs(n_scored, n_correct)
    keep = pairs_U2[:, 0] >= k
    if not keep.any():
        return {}, {}
    pairs_U2, weights_U = pairs_U2[keep], weights_U[keep]
    log_factorial = np.concatenate(([0.0], np.log(np.arange(1, pairs_U2.max() + 1)).cumsum()))
    at_least_UK = np.array([_at_least(n, c, k, log_factorial) for n, c in pairs_U2.tolist()])
    chances = {str(tau): at_least_UK[:, _votes(tau, k)] for tau in THRESHOLDS}
    if k > 1:
        chances["mean"] = 2 / k * at_least_UK[:, _votes(0.5, k) + 1 :].sum(axis=1)
    values_UT = np.stack(list(chances.values()), axis=1)
    means, errors = _mean_stderr(
        weights_U @ values_UT, weights_U @ values_UT**2, np.full(len(chances), weights_U.sum())
    )
    return dict(zip(chances, means.tolist(), strict=True)), dict(zip(chances, errors.tolist(), strict=True))


def _mean_stderr(sums: Floats, squares: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return means and standard errors from the sums of values in [0, 1] and of their squares, over n problems."""
    means = np.divide(sums, n, out=np.full(len(n), math.nan), where=n > 0)
    spread = squares - n * np.nan_to_num(means) ** 2
    spread[spread < 1e-12 * n] = 0.0  # rounding of values that are all alike
    return means, np.sqrt(np.divide(spread, n * (n - 1), out=np.full(len(n), math.nan), where=n > 1))


def _pairs(n_scored: ArrayLike, n_correct: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    """Return the distinct (n, c), shape (U, 2), with the number of problems of each."""
    both_P2 = np.stack([np.asarray(n_scored, dtype=np.int64), np.asarray(n_correct, dtype=np.int64)], axis=1)
    pairs_U2, counts_U = np.unique(both_P2, axis=0, return_counts=True)
    return pairs_U2, counts_U.astype(np.float64)


def _votes(tau: float, k: int) -> int:
    """Return the smallest number that is at least the share tau of k, and at least 1."""
    return max(1, math.ceil(round(tau * k, 9)))


def _at_least(n: int, c: int, k: int, log_factorial: Floats) -> Floats:
    """Return P(at least j of k drawn completions are correct) for j = 0 .. k: tails of the hypergeometric law."""
    j = np.arange(max(0, k - (n - c)), min(c, k) + 1)

    def log_ways(total: int, chosen: NDArray[np.int64] | int) -> Any:
        return log_factorial[total] - log_factorial[chosen] - log_factorial[total - chosen]

    chance_K = np.zeros(k + 1)
    chance_K[j] = np.exp(log_ways(c, j) + log_ways(n - c, k - j) - log_ways(n, k))
    return np.minimum(1.0, chance_K[::-1].cumsum()[::-1])
