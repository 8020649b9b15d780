"""Where the uncertainty of a score comes from: problems differ, and the answers to one problem differ.

    score of an answer = mean + problem + answer        var(avg@k) = (problem_var + sampling_var / k) / problems

The first part shrinks with more problems only, the second with more answers too. Who asks how good a model is at
problems like these has both; who asks what it would score on these very problems has the second alone.
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
    """The two parts. NaN where there are too few problems or answers to say."""

    problem_var: float
    """Variance over problems of their true scores."""
    sampling_var: float
    """Mean over problems of the variance of an answer's score; needs problems with two scored answers."""
    n_problems: int
    samples: float
    """Scored answers a problem, harmonic mean."""

    @property
    def stderr_problems(self) -> float:
        """What would be left with endless answers to each problem."""
        return math.sqrt(self.problem_var / self.n_problems) if self.n_problems else math.nan

    @property
    def stderr_sampling(self) -> float:
        """Standard error of a run among runs over the same problems; two such runs differ by sqrt(2) as much."""
        return math.sqrt(self.sampling_var / self.samples / self.n_problems) if self.n_problems else math.nan

    def to_json(self) -> dict[str, float]:
        """The parts, and the standard errors that they give."""
        return asdict(self) | {"stderr_problems": self.stderr_problems, "stderr_sampling": self.stderr_sampling}


@dataclass(frozen=True)
class Plan:
    """What it takes for a 95 % interval of +- `precision`; None: no number is enough."""

    precision: float
    samples_same_problems: int | None
    """Answers a problem, for the score on these very problems."""
    samples: int | None
    """Answers a problem, for the score on all problems like these, with no more problems than now."""
    problems: int | None
    """Problems, for the same, with as many answers a problem as now."""


def split_variance(means: ArrayLike, variances: ArrayLike, counts: ArrayLike) -> Variance:
    """Split the variance. Arguments have shape (P,): mean, unbiased variance (NaN for one answer) and number of a
    problem's scores.

    The unbiased moment estimate; a problem part that comes out negative is 0.
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
    """Say how many answers or problems give an interval of +- `precision` (a share: 0.01 is one point).

    Raises ValueError if the parts are unknown, or the precision is not positive.
    """
    if math.isnan(variance.problem_var) or math.isnan(variance.sampling_var):
        raise ValueError("the parts are unknown; it takes two problems, and two scored answers to one of them")
    if not precision > 0:
        raise ValueError(f"precision={precision}: it has to be more than 0")
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
    """The next whole number, at least 1; what is above by rounding only does not count."""
    return max(1, math.ceil(number * (1 - 1e-12)))
