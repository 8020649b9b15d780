"""Many models on the same problems: which differ, and which ranks each may have.

Every pair is tested and the p-values are corrected for their number. A model's lowest rank is 1 + the number of models
that are significantly better; its highest is the number of all models minus those that are significantly worse. All
intervals of a table hold at once in 95 of 100 tables.
Source: Holm 1979; Mohamad, Goeman & van Zwet 2022, section 2 (rank intervals from simultaneous pairwise tests).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from kgym.score.paired import ALPHA, paired_difference, unpaired_p

UNKNOWN = (float("nan"), float("nan"))
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Standing:
    """What is known of one model's score: for each problem, or only its mean and interval."""

    accuracy: float
    interval: tuple[float, float] = UNKNOWN
    """95 % interval of the accuracy."""
    samples: int = 1
    """Completions of each problem."""
    scores: Callable[[int], Scores | None] = lambda samples: None
    """Mean score of each problem over its first `samples` completions, None if they are not known."""


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given. Calling those below alpha significant keeps the chance of
    any false finding below alpha.

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
    """Return the lowest and the highest rank that each model may have; 1 is the best. A model without a score may
    have any rank.
    """
    n = len(standings)
    pairs = list(combinations(range(n), 2))
    found = [_difference(standings[one], standings[other]) for one, other in pairs]
    sure = [p <= alpha for p in holm([p for _, p in found])]
    better, worse = [0] * n, [0] * n
    for (one, other), (difference, _), differ in zip(pairs, found, sure, strict=True):
        if differ:
            above, below = (one, other) if difference > 0 else (other, one)
            better[below] += 1
            worse[above] += 1
    return [(1 + better[i], n - worse[i]) for i in range(n)]


def _difference(one: Standing, other: Standing) -> tuple[float, float]:
    """Return by how much `one` is better, and its two-sided p.

    The test is paired by problem, over the completions that both have, if they are known; otherwise it takes the scores
    as independent, which finds fewer differences.
    """
    # means of different numbers of completions differ in skewness, and then no paired test keeps its level
    shared = min(one.samples, other.samples)
    first, second = other.scores(shared), one.scores(shared)
    if first is not None and second is not None and first.keys() & second.keys():
        test = paired_difference(first, second)
        return test.difference, test.p_value
    return one.accuracy - other.accuracy, unpaired_p((one.accuracy, *one.interval), (other.accuracy, *other.interval))
