"""Many models on the same problems: which differ, and which ranks each may have.

Every pair is tested, the p-values are corrected for their number, and a model's rank lies between 1 + those that are surely better and all
minus those that are surely worse. All intervals of a table hold at once in 95 of 100 tables.
Source: Holm 1979; Mohamad, Goeman & van Zwet 2022, section 2 (rank intervals from simultaneous pairwise tests).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np

from kgym.score.stats import mcnemar, mean_stderr, t_two_sided

ALPHA = 0.05


@dataclass(frozen=True)
class Standing:
    """What is known of one model's score: for each problem, or only its mean and standard error."""

    accuracy: float
    stderr: float
    scores: Mapping[str, float] | None = None


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given: below alpha, they keep the chance of any false finding below alpha.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def rank_intervals(standings: Sequence[Standing], alpha: float = ALPHA) -> list[tuple[int, int]]:
    """Return the lowest and the highest rank that each model may have; 1 is the best. Models without a score may have any."""
    n = len(standings)
    pairs = list(combinations(range(n), 2))
    sure = [p <= alpha for p in holm([_p_value(standings[one], standings[other]) for one, other in pairs])]
    better, worse = [0] * n, [0] * n
    for (one, other), differ in zip(pairs, sure, strict=True):
        if differ:
            above, below = (one, other) if standings[one].accuracy > standings[other].accuracy else (other, one)
            better[below] += 1
            worse[above] += 1
    return [(1 + better[i], n - worse[i]) for i in range(n)]


def _p_value(one: Standing, other: Standing) -> float:
    """Two-sided p of a difference: paired by problem where both are known, else as of independent samples, which finds less."""
    if one.scores is not None and other.scores is not None and (common := sorted(one.scores.keys() & other.scores.keys())):
        pairs_P2 = np.array([(one.scores[key], other.scores[key]) for key in common], dtype=np.float64)
        differences_P = pairs_P2[:, 0] - pairs_P2[:, 1]
        if np.isin(pairs_P2, (0.0, 1.0)).all():
            return mcnemar(int((differences_P > 0).sum()), int((differences_P < 0).sum()))
        mean, stderr = mean_stderr(differences_P)
        if stderr > 0:
            return t_two_sided(mean / stderr, len(common) - 1)
        return 1.0 if mean == 0 or len(common) < 2 else 2.0 ** (1 - len(common))  # all alike: the sign-flip test of so many
    stderr = math.hypot(one.stderr, other.stderr)
    difference = abs(one.accuracy - other.accuracy)
    if math.isnan(stderr) or math.isnan(difference) or stderr == 0:
        return 1.0
    return 2 * NormalDist().cdf(-difference / stderr)
