"""How certain a score is, in pure numpy.

The unit of everything is the problem: k completions of one problem are not k independent observations, so they are
averaged first and the spread is taken over problems (a standard error clustered by problem; Miller 2024,
arXiv:2411.00640, section 2.2).
"""

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike


def mean_stderr(values: ArrayLike) -> tuple[float, float]:
    """Return the mean of one value per problem and its standard error; NaN for too few problems.

    With the k scores of each problem averaged first, this is avg@k with a standard error clustered by problem.

    >>> mean_stderr([0.0, 0.5, 1.0])
    (0.5, 0.2886751345948129)
    """
    values_P = np.asarray(values, dtype=np.float64)
    if len(values_P) == 0:
        return math.nan, math.nan
    mean = float(values_P.mean())
    return mean, float(values_P.std(ddof=1) / math.sqrt(len(values_P))) if len(values_P) > 1 else math.nan


@lru_cache(maxsize=100_000)
def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the chance that k of n samples, c of them correct, contain a correct one; unbiased.

    Raises ValueError if k > n: an estimate from fewer samples than k would flatter.
    Source: Chen et al. 2021, arXiv:2107.03374, section 2.1.

    >>> pass_at_k(n=4, c=1, k=2)
    0.5
    """
    if not 1 <= k <= n or not 0 <= c <= n:
        raise ValueError(f"pass_at_k(n={n}, c={c}, k={k}) needs 0 <= c <= n and 1 <= k <= n")
    missed = math.comb(n - c, k)
    return (math.comb(n, k) - missed) / math.comb(n, k)  # whole numbers up to the division: nothing cancels


@lru_cache(maxsize=1_000)
def t_quantile(p: float, df: int) -> float:
    """Return the quantile of Student's t with `df` degrees of freedom, for p in [0.5, 1), within 1e-9.

    Method: the finite sums of Abramowitz & Stegun 26.7.3 and 26.7.4, inverted by bisection; above 200 degrees of
    freedom the expansion 26.7.5 around the normal quantile, whose next term is below 1e-10 there.
    """
    if not 0.5 <= p < 1 or df < 1:
        raise ValueError(f"t_quantile(p={p}, df={df}) needs 0.5 <= p < 1 and df >= 1")
    if df > 200:
        z = NormalDist().inv_cdf(p)
        terms = (
            (z**3 + z) / 4,
            (5 * z**5 + 16 * z**3 + 3 * z) / 96,
            (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
            (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
        )
        return z + sum(term / df ** (i + 1) for i, term in enumerate(terms))
    low, high = 0.0, 1.0
    while _central_mass(high, df) < 2 * p - 1:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _central_mass(middle, df) < 2 * p - 1 else (low, middle)
    return (low + high) / 2


def t_two_sided(t: float, df: int) -> float:
    """Return the two-sided p of a value of Student's t with `df` degrees of freedom, within 1e-9; from a million
    degrees on, the p of the normal distribution.
    """
    if df >= 1_000_000:
        return 2 * NormalDist().cdf(-abs(t))
    return min(1.0, max(0.0, 1.0 - _central_mass(abs(t), df)))


def _central_mass(t: float, df: int) -> float:
    """Return P(|T| < t) for Student's t."""
    theta = math.atan(t / math.sqrt(df))
    cos2 = math.cos(theta) ** 2
    term, total = (math.cos(theta), 0.0) if df % 2 else (1.0, 0.0)
    for i in range(2 + df % 2, df + 1, 2):  # powers of the cosine below df, with ratios 2/3, 4/5, ... or 1/2, 3/4, ...
        total += term
        term *= cos2 * (i - 1) / i
    if df % 2:
        return 2 / math.pi * (theta + math.sin(theta) * total)
    return math.sin(theta) * total
