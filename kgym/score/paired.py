"""Whether two scores on the same problems differ: one rule for the comparison, the ranks, the page and the end of a
training.

The interval of the difference and the p-value come from one statistic, so the interval leaves out 0 exactly when p is
below 0.05:

    every score 0 or 1    Bonett & Price's difference over its error, against the normal distribution
    otherwise             Student's t of the differences
    all differences equal the sign test: they have no spread to estimate an error from

`benchmarks/comparisons.py` measures how often the intervals contain the true difference, and how often equal models
are told apart.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgym.score.intervals import FEW
from kgym.score.stats import mean_stderr, t_quantile, t_two_sided
from kgym.seeding import derive_seed

ALPHA = 0.05
EXACT_UP_TO = 20
"""Number of nonzero differences up to which all 2**n sign patterns are counted; with more they are sampled."""
CARRIERS = 2
"""If this many problems or fewer make up half of the squared differences, they are too few for Student's t."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairedTest:
    """Two scores on the same problems."""

    difference: float
    """Mean over problems of (after - before)."""
    interval: tuple[float, float]
    """95 % confidence interval of the difference, over problems; it leaves out 0 where p is below 0.05."""
    p_value: float
    """Two-sided, from the same statistic as the interval."""
    name: str
    """`Bonett-Price`, `t` or `sign`; see the module."""
    n: int
    """Problems that both have a score for."""
    carriers: int
    """The fewest problems that make up half of the squared differences."""
    near_end: bool
    """Whether the mean of both scores is fewer than `FEW` problems from 0 or from 1."""

    @property
    def distinguishable(self) -> bool:
        """Whether p is at most 0.05."""
        return self.p_value <= ALPHA

    @property
    def caution(self) -> str:
        """Why the interval contains the true difference less often than it says, as it rests on few problems; "" if
        it does not.
        """
        if self.name != "t" or not (self.near_end or 0 < self.carriers <= CARRIERS):
            return ""
        why = f"half of the squared differences come from {self.carriers} of {self.n} problems"
        if self.near_end:
            why = f"the scores are fewer than {FEW} of {self.n} problems from 0% or 100%"
        return f"{why}; such an interval can contain the true difference less often than 95 times in 100"


def paired_difference(before: Mapping[str, float], after: Mapping[str, float]) -> PairedTest:
    """Compare two scores problem by problem; keys are problem ids, values scores in [0, 1], each the mean over the
    same number of completions.

    Problems that only one of the two has a score for are left out. Raises ValueError if they have none in common.
    """
    pairs_P2 = _common(before, after)
    differences_P = _differences(pairs_P2)
    n = len(differences_P)
    if _single(pairs_P2):
        name, interval, p_value = "Bonett-Price", *_bonett_price(*_counts(differences_P), n)
    elif np.ptp(differences_P) == 0:
        name, interval, p_value = "sign", *_sign(float(differences_P[0]), n)
    else:
        name, interval, p_value = "t", t_interval(differences_P), _t_test(differences_P)
    mean = float(pairs_P2.mean())
    return PairedTest(
        float(differences_P.mean()),
        interval,
        p_value,
        name,
        n,
        _carriers(differences_P),
        near_end=n * min(mean, 1 - mean) < FEW,
    )


def exact_p(before: Mapping[str, float], after: Mapping[str, float], *, seed: int = 0) -> float:
    """Return the two-sided p of the hypothesis that each problem's difference could as well have had the other sign.

    It is McNemar's exact test if every score is 0 or 1, else the sign-flip test. Both are stricter than
    `paired_difference`: if few problems differ, they tell equal models apart far less often than 5 times in 100, and
    different models less often too.
    """
    pairs_P2 = _common(before, after)
    differences_P = _differences(pairs_P2)
    return mcnemar(*_counts(differences_P)) if _single(pairs_P2) else sign_flip(differences_P, seed=seed)


def unpaired_p(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Return the two-sided p of the difference of two independent scores, each given with the ends of its 95 %
    interval; 1 if one is unknown.

    The error of the difference is computed from the ends that face each other. Unlike a standard error, which is 0
    there, they allow that a model which solved nothing may solve something.
    Source: Newcombe 1998, Statistics in Medicine 17, method 10, at other levels than 95 % in proportion.
    """
    if any(map(math.isnan, (*one, *other))):
        return 1.0
    worse, better = sorted((one, other))
    reach = math.hypot(worse[2] - worse[0], better[0] - better[1])
    difference = better[0] - worse[0]
    if reach == 0:
        return float(difference == 0)
    return 2 * NormalDist().cdf(-difference / reach * NormalDist().inv_cdf(1 - ALPHA / 2))


def mcnemar(n_gained: int, n_lost: int) -> float:
    """Return the two-sided p of the exact McNemar test: a fair coin for each problem that only one of the two solved.

    >>> mcnemar(5, 0)
    0.0625
    """
    n = n_gained + n_lost
    tail = sum(math.comb(n, i) for i in range(min(n_gained, n_lost) + 1))
    return min(1.0, 2 * tail / 2**n)


def sign_flip(differences: ArrayLike, *, seed: int = 0, draws: int = 100_000) -> float:
    """Return the two-sided p of the paired permutation test: how often random signs give a sum at least as far from 0
    as the observed one.

    Exact for up to 20 differences other than 0; beyond, `draws` seeded random patterns, with the observed one counted
    in, so that the test keeps its level (Phipson & Smyth 2010, equation 2).

    >>> sign_flip([0.5, 0.25, 0.25, 0.0])
    0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0.0]
    if len(values) == 0:
        return 1.0
    threshold = abs(values.sum()) - 1e-9 * np.abs(values).sum()  # sums that differ only by rounding count as equal
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


def paired_interval(n_gained: int, n_lost: int, n: int, level: float = 1 - ALPHA) -> tuple[float, float]:
    """Return the confidence interval of (gained - lost) / n: the normal one, with one problem more on either side.

    Source: Bonett & Price 2012, Journal of Educational and Behavioral Statistics 37, equation 4.

    >>> [round(bound, 3) for bound in paired_interval(5, 0, 60)]
    [-0.001, 0.162]
    """
    middle, error = _shrunk(n_gained, n_lost, n)
    reach = NormalDist().inv_cdf(0.5 + level / 2) * error
    return max(-1.0, middle - reach), min(1.0, middle + reach)


def t_interval(values: ArrayLike, level: float = 1 - ALPHA) -> tuple[float, float]:
    """Return the confidence interval of a mean of differences of scores, by Student's t.

    A single problem says only that a difference of scores is in [-1, 1].
    """
    mean, stderr = mean_stderr(values)
    n = np.size(values)
    if n < 2:
        return -1.0, 1.0
    reach = t_quantile(0.5 + level / 2, n - 1) * stderr
    return mean - reach, mean + reach


def _common(before: Mapping[str, float], after: Mapping[str, float]) -> Floats:
    """Return the scores of the problems that both have, shape (P, 2)."""
    common = sorted(before.keys() & after.keys())
    if not common:
        raise ValueError("the two results have no scored problem in common")
    return np.array([(before[key], after[key]) for key in common], dtype=np.float64)


def _differences(pairs_P2: Floats) -> Floats:
    """Return after minus before; values that differ only by rounding (2/3 - 1/3 and 1 - 2/3) are made equal."""
    return (pairs_P2[:, 1] - pairs_P2[:, 0]).round(12)


def _single(pairs_P2: Floats) -> bool:
    """Whether every problem is either solved or not, as with one completion each."""
    return bool(np.isin(pairs_P2, (0.0, 1.0)).all())


def _counts(differences_P: Floats) -> tuple[int, int]:
    """Return the numbers of problems gained and lost."""
    return int((differences_P > 0).sum()), int((differences_P < 0).sum())


def _shrunk(n_gained: int, n_lost: int, n: int) -> tuple[float, float]:
    """Return Bonett & Price's difference and its error."""
    gained, lost = (n_gained + 1) / (n + 2), (n_lost + 1) / (n + 2)
    return gained - lost, math.sqrt((gained + lost - (gained - lost) ** 2) / (n + 2))


def _bonett_price(n_gained: int, n_lost: int, n: int) -> tuple[tuple[float, float], float]:
    middle, error = _shrunk(n_gained, n_lost, n)
    return paired_interval(n_gained, n_lost, n), 2 * NormalDist().cdf(-abs(middle) / error)


def _t_test(differences_P: Floats) -> float:
    mean, stderr = mean_stderr(differences_P)
    return t_two_sided(mean / stderr, len(differences_P) - 1)


def _sign(difference: float, n: int) -> tuple[tuple[float, float], float]:
    """Return the interval and the p of the sign test for n equal differences: five or fewer say nothing at the level
    of 95 %.
    """
    chance = 2.0 ** (1 - n)
    return (difference, difference) if chance <= ALPHA else (-1.0, 1.0), 1.0 if difference == 0 else chance


def _carriers(differences_P: Floats) -> int:
    squares = np.sort(differences_P**2)[::-1].cumsum()
    return int((squares < 0.5 * squares[-1]).sum()) + 1 if squares[-1] > 0 else 0


def _random_sums(values: Floats, size: int, rng: np.random.Generator) -> Floats:
    """Return the sums of `values` under `size` random sign patterns."""
    sums = np.full(size, -values.sum())
    for start in range(0, len(values), 1_000):
        block = values[start : start + 1_000]
        signs = rng.integers(0, 2, size=(size, len(block)), dtype=np.int8)
        sums += 2.0 * (signs.astype(np.float64) @ block)  # in floats: NumPy's integer matrix product is slow
    return sums
