"""Intervals of a score: one value per problem goes in, since the completions of one problem are not independent
observations.

`score_interval` is the one that tables show: with 30 problems it keeps its level, also near 0 and 1, where the interval
"mean and twice its error" does not (`tests/test_intervals.py` measures both). `bootstrap_interval` assumes no formula
and is too short for few problems.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from kgym.score.stats import mean_stderr, t_quantile
from kgym.seeding import derive_seed

LEVEL = 0.95
FEW, MANY = 3, 8
"""A score fewer than `FEW` problems from 0 or 1 has too few problems to estimate a spread from, if each problem has
`MANY` completions or more.
"""
DRAWS = 10_000
"""Resamples of a bootstrap."""


def score_interval(values: ArrayLike, *, n_answers: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the confidence interval of the mean score over all problems like these, in [0, 1]; (NaN, NaN) without
    problems.

    `values` contains the mean score of each problem; `n_answers` is the number of completions of all problems. If every
    problem scores 0 or 1, as with one completion each, this is Wilson's interval of a share. Otherwise it uses the
    effective number of completions, n_eff = mean (1 - mean) / stderr^2, at most `n_answers`, and the quantile of
    Student's t instead of the normal one, since the error is estimated. A single problem says nothing: (0, 1).
    Source: Wilson 1927; for clustered data Korn & Graubard 1998 (effective number) and Dean & Pagano 2015, section 2.3.

    >>> [round(bound, 3) for bound in score_interval([1.0] * 30, n_answers=30)]
    [0.886, 1.0]
    """
    values_P = np.asarray(values, dtype=np.float64)
    n = len(values_P)
    if n < 2:
        return (math.nan, math.nan) if n == 0 else (0.0, 1.0)
    mean, stderr = mean_stderr(values_P)
    if np.isin(values_P, (0.0, 1.0)).all():
        return wilson(mean, n, NormalDist().inv_cdf(0.5 + level / 2))
    return interval_of(mean, stderr, n=n, n_answers=n_answers, level=level)


def interval_of(mean: float, stderr: float, *, n: int, n_answers: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of `score_interval` if only the mean over n problems and its standard error are known."""
    if n < 2:
        return 0.0, 1.0
    n_eff = (
        float(n) if mean in (0.0, 1.0) else min(mean * (1 - mean) / stderr**2 if stderr > 0 else math.inf, n_answers)
    )
    return wilson(mean, n_eff, t_quantile(0.5 + level / 2, n - 1))


def near_end(mean: float, *, n_problems: int, samples: int) -> bool:
    """Whether the interval of an accuracy contains the true one less often than it says: problems with many
    completions, of which few are solved or few are failed.

    With 30 problems at 2 % to 5 % or 95 % to 98 % and 8 completions or more, 87 to 90 of 100 intervals contain it
    (`benchmarks/comparisons.py`).
    """
    return samples >= MANY and n_problems * min(mean, 1 - mean) < FEW


def near_end_caution(n_problems: int) -> str:
    """Return the caution about an accuracy that is `near_end`."""
    return (
        f"an accuracy fewer than {FEW} of {n_problems} problems from 0% or 100%; "
        "such an interval can contain the true accuracy less often than 95 times in 100"
    )


def wilson(mean: float, n: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval of a share over n independent observations."""
    weight = quantile**2 / n
    centre = (mean + weight / 2) / (1 + weight)
    reach = quantile / (1 + weight) * math.sqrt(mean * (1 - mean) / n + weight / (4 * n))
    low, high = min(centre - reach, mean), max(centre + reach, mean)  # rounding could leave the mean out
    return max(0.0, low), min(1.0, high)


def bootstrap_interval(
    values: ArrayLike, *, level: float = LEVEL, seed: int = 0, draws: int = DRAWS
) -> tuple[float, float]:
    """Return the percentile interval of the mean when problems are resampled; (NaN, NaN) without problems.

    The number of draws of each distinct value is multinomial, so the cost depends on the number of distinct values and
    not on the number of problems. Source: Efron & Tibshirani 1993, section 13.3.
    """
    values_P = np.asarray(values, dtype=np.float64)
    if len(values_P) == 0:
        return math.nan, math.nan
    distinct, counts = np.unique(values_P, return_counts=True)
    rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
    means = rng.multinomial(len(values_P), counts / len(values_P), size=draws) @ distinct / len(values_P)
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
