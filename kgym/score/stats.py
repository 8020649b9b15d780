"""How sure a score is, and whether two scores differ. Pure numpy; nothing here knows what a model is.

The unit of everything is the problem: k answers to one problem are not k independent observations, so they are averaged first and the
spread is taken over problems (a standard error clustered by problem; Miller 2024, arXiv:2411.00640, section 2.2).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgym.seeding import derive_seed

EXACT_UP_TO = 20
"""Differences that are not zero; with more, the 2**n sign patterns are sampled and not counted."""


@dataclass(frozen=True)
class PairedTest:
    """Two scores on the same problems."""

    difference: float
    """Mean over problems of (after - before)."""
    interval: tuple[float, float]
    """95 % confidence interval of the difference, over problems: `paired_interval` if every score is 0 or 1, else Student's t."""
    p_value: float
    """Two-sided, of the hypothesis that each problem's difference could as well have had the other sign."""
    name: str
    """`McNemar` if every score is 0 or 1, else `sign-flip`."""
    n: int
    """Problems that both have a score for."""

    @property
    def distinguishable(self) -> bool:
        """Whether p is at most 0.05."""
        return self.p_value <= 0.05


def mean_stderr(values: ArrayLike) -> tuple[float, float]:
    """Return the mean of one value per problem and its standard error; NaN where there are too few problems to say.

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
    """Chance that k of n samples, c of them correct, contain a correct one; unbiased.

    Raises ValueError if k > n: an estimate from fewer samples than k would flatter.
    Source: Chen et al. 2021, arXiv:2107.03374, section 2.1.

    >>> pass_at_k(n=4, c=1, k=2)
    0.5
    """
    if not 1 <= k <= n or not 0 <= c <= n:
        raise ValueError(f"pass_at_k(n={n}, c={c}, k={k}) wants 0 <= c <= n and 1 <= k <= n")
    return (math.comb(n, k) - math.comb(n - c, k)) / math.comb(n, k)  # whole numbers up to the division: nothing cancels


def paired_difference(before: Mapping[str, float], after: Mapping[str, float], *, seed: int = 0) -> PairedTest:
    """Compare two scores problem by problem; keys are problem ids, values scores in [0, 1].

    Problems that only one of the two has a score for are left out. Raises ValueError if they have none in common.
    """
    common = sorted(before.keys() & after.keys())
    if not common:
        raise ValueError("the two results have no scored problem in common")
    pairs_P2 = np.array([(before[key], after[key]) for key in common], dtype=np.float64)
    differences_P = pairs_P2[:, 1] - pairs_P2[:, 0]
    if np.isin(pairs_P2, (0.0, 1.0)).all():
        gained, lost = int((differences_P > 0).sum()), int((differences_P < 0).sum())
        name, p_value, interval = "McNemar", mcnemar(gained, lost), paired_interval(gained, lost, len(common))
    else:
        name, p_value, interval = "sign-flip", sign_flip(differences_P, seed=seed), t_interval(differences_P)
    return PairedTest(float(differences_P.mean()), interval, p_value, name, len(common))


def mcnemar(n_gained: int, n_lost: int) -> float:
    """Two-sided p of the exact McNemar test: a fair coin for each problem that only one of the two solved.

    >>> mcnemar(5, 0)
    0.0625
    """
    n = n_gained + n_lost
    tail = sum(math.comb(n, i) for i in range(min(n_gained, n_lost) + 1))
    return min(1.0, 2 * tail / 2**n)


def paired_interval(n_gained: int, n_lost: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of (gained - lost) / n: the normal one, with one problem more on either side.

    Unlike Student's t, it does not leave out 0 where a handful of problems differ and McNemar's test sees nothing in it.
    Source: Bonett & Price 2012, Journal of Educational and Behavioral Statistics 37, equation 4.

    >>> [round(bound, 3) for bound in paired_interval(5, 0, 60)]
    [-0.001, 0.162]
    """
    gained, lost = (n_gained + 1) / (n + 2), (n_lost + 1) / (n + 2)
    reach = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt((gained + lost - (gained - lost) ** 2) / (n + 2))
    return max(-1.0, gained - lost - reach), min(1.0, gained - lost + reach)


def sign_flip(differences: ArrayLike, *, seed: int = 0, draws: int = 100_000) -> float:
    """Two-sided p of the paired permutation test: how often random signs give a sum at least as far from 0 as the one seen.

    Exact for up to 20 differences other than 0; beyond, `draws` seeded random patterns, with the observed one counted in, so that the test
    keeps its level (Phipson & Smyth 2010, equation 2).

    >>> sign_flip([0.5, 0.25, 0.25, 0.0])
    0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0.0]
    if len(values) == 0:
        return 1.0
    threshold = abs(values.sum()) - 1e-9 * np.abs(values).sum()  # sums that are equal but for rounding count as equal
    if len(values) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate((sums + value, sums - value))
        return float((np.abs(sums) >= threshold).mean())
    rng = np.random.default_rng(derive_seed(seed, "sign-flip"))
    extreme = 0
    for start in range(0, draws, 10_000):  # in blocks, so that a million problems do not ask for a terabyte
        size = min(10_000, draws - start)
        extreme += int((np.abs(_random_sums(values, size, rng)) >= threshold).sum())
    return (extreme + 1) / (draws + 1)


def _random_sums(values: NDArray[np.float64], size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Sums of `values` under `size` random sign patterns."""
    sums = np.full(size, -values.sum())
    for start in range(0, len(values), 1_000):
        block = values[start : start + 1_000]
        signs = rng.integers(0, 2, size=(size, len(block)), dtype=np.int8)
        sums += 2.0 * (signs.astype(np.float64) @ block)  # of floats: integers do not go through the fast matrix product
    return sums


def t_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a mean of differences of scores, by Student's t.

    From a single problem nothing can be said but that a difference of scores lies in [-1, 1].
    """
    mean, stderr = mean_stderr(values)
    n = np.size(values)
    if n < 2:
        return -1.0, 1.0
    reach = t_quantile(0.5 + level / 2, n - 1) * stderr
    return mean - reach, mean + reach


@lru_cache(maxsize=1_000)
def t_quantile(p: float, df: int) -> float:
    """Quantile of Student's t with `df` degrees of freedom, for p in [0.5, 1), within 1e-9.

    The finite sums of Abramowitz & Stegun 26.7.3 and 26.7.4, inverted by bisection; above 200 degrees, the expansion 26.7.5 around the
    normal quantile, whose next term is below 1e-10 there.
    """
    if not 0.5 <= p < 1 or df < 1:
        raise ValueError(f"t_quantile(p={p}, df={df}) wants 0.5 <= p < 1 and df >= 1")
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
    """Two-sided p of a value of Student's t with `df` degrees of freedom, within 1e-9; from a million degrees on that of the normal."""
    if df >= 1_000_000:
        return 2 * NormalDist().cdf(-abs(t))
    return min(1.0, max(0.0, 1.0 - _central_mass(abs(t), df)))


def _central_mass(t: float, df: int) -> float:
    """P(|T| < t) for Student's t."""
    theta = math.atan(t / math.sqrt(df))
    cos2 = math.cos(theta) ** 2
    term, total = (math.cos(theta), 0.0) if df % 2 else (1.0, 0.0)
    for i in range(2 + df % 2, df + 1, 2):  # powers of the cosine below df, with their ratios 2/3, 4/5, ... or 1/2, 3/4, ...
        total += term
        term *= cos2 * (i - 1) / i
    if df % 2:
        return 2 / math.pi * (theta + math.sin(theta) * total)
    return math.sin(theta) * total
