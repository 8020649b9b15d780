"""Where the uncertainty of a score comes from: problems differ, and the completions of one problem differ.

    score of a completion = mean + problem + completion        var(avg@k) = (problem_var + sampling_var / k) / problems

The first part shrinks with more problems only, the second also with more completions of each. Both parts are in the
score of a model on problems like these; only the second is in its score on these very problems.
Source: one-way random effects (Searle, Casella & McCulloch 1992, section 3.6); for evaluations Miller 2024,
arXiv:2411.00640, section 3.
"""

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Variance:
    """The two parts; NaN for too few problems or completions."""

    problem_var: float
    """Variance over problems of their true scores."""
    sampling_var: float
    """Mean over problems of the variance of a completion's score; needs problems with two scored completions."""
    n_problems: int
    samples: float
    """Scored completions a problem, harmonic mean."""

    @property
    def stderr_problems(self) -> float:
        """Standard error that would remain with infinitely many completions of each problem."""
        return math.sqrt(self.problem_var / self.n_problems) if self.n_problems else math.nan

    @property
    def stderr_sampling(self) -> float:
        """Standard error of a run among runs over the same problems; two such runs differ by sqrt(2) as much."""
        return math.sqrt(self.sampling_var / self.samples / self.n_problems) if self.n_problems else math.nan

    def to_json(self) -> dict[str, float]:
        """Return the parts and their standard errors."""
        return asdict(self) | {"stderr_problems": self.stderr_problems, "stderr_sampling": self.stderr_sampling}


@dataclass(frozen=True)
class Plan:
    """What is needed for a 95 % interval of +- `precision`; None if no number is enough."""

    precision: float
    samples_same_problems: int
    """Completions a problem, for the score on these very problems."""
    samples: int | None
    """Completions a problem, for the score on all problems like these, with no more problems than now."""
    problems: int | None
    """Problems, for the same, with as many completions a problem as now."""


def split_variance(means: ArrayLike, variances: ArrayLike, counts: ArrayLike) -> Variance:
    """Split the variance. Arguments have shape (P,): mean, unbiased variance (NaN for one completion) and number of a
    problem's scores.

    This is the unbiased moment estimate; a negative problem part becomes 0.
    """
    means_P, variances_P, counts_P = (np.asarray(values, dtype=np.float64) for values in (means, variances, counts))
    n = len(means_P)
    if n == 0:
        return Variance(math.nan, math.nan, 0, math.nan)
    repeated = counts_P >= 2
    harmonic = float(1 / (1 / counts_P).mean())
    if not repeated.any():
        return Variance(math.nan, math.nan, n, harmonic)
    degrees_P = counts_P[repeated] - 1
    sampling = float((variances_P[repeated] * degrees_P).sum() / degrees_P.sum())
    problem = max(0.0, float(means_P.var(ddof=1)) - sampling / harmonic) if n > 1 else math.nan
    return Variance(problem, sampling, n, harmonic)


def plan_precision(variance: Variance, precision: float, level: float = 0.95) -> Plan:
    """Return how many completions or problems give an interval of +- `precision` (a share: 0.01 is one point).

    Raises ValueError if the parts are unknown, or the precision is not positive.
    """
    if math.isnan(variance.problem_var) or math.isnan(variance.sampling_var):
        raise ValueError("the parts are unknown; they need two problems, and two scored completions of one of them")
    if not precision > 0:
        raise ValueError(f"precision={precision}: must be more than 0")
    error = precision / NormalDist().inv_cdf(0.5 + level / 2)
    allowed = variance.n_problems * error**2  # of the variance of one problem's mean score
    spare = allowed - variance.problem_var
    return Plan(
        precision=precision,
        samples_same_problems=_up(variance.sampling_var / allowed),
        samples=_up(variance.sampling_var / spare) if spare > 0 else None,
        problems=max(2, _up((variance.problem_var + variance.sampling_var / variance.samples) / error**2)),
    )


def _up(number: float) -> int:
    """Return the next whole number, at least 1; an excess from rounding does not count."""
    return max(1, math.ceil(number * (1 - 1e-12)))
