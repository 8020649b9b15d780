"""How often equal models are told apart, and how often intervals contain the true value: simulated boards.

    python benchmarks/comparisons.py                  (minutes on one core)
    python benchmarks/comparisons.py --boards 500     (coarser)

A board draws its problems again: each has a chance to be solved, from a Beta distribution, and k completions. The
script prints shares of boards in per cent, as Markdown tables:

    equal models        told apart by the rule of kgym, by the exact test, and by the interval alone where the exact
                        test would not
    differences         intervals that contain the true difference, and boards with a caution
    accuracies          intervals that contain the true accuracy, and boards with a caution
    different numbers   one model against itself with fewer and with more completions: over all of them, over those
                        that both have, and unpaired
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgym.score.intervals import near_end, score_interval
from kgym.score.paired import mcnemar, paired_difference, sign_flip, unpaired_p

Floats = NDArray[np.float64]
FLIPS = 2_000
"""Sign patterns of the exact test; the product takes 100,000."""
HARD = {"U(0, 1)": (1, 1), "Beta(.15, .6)": (0.15, 0.6), "Beta(.05, 1)": (0.05, 1), "Beta(20, 1)": (20, 1)}
"""How chances are spread over problems: evenly, hard and bimodal, nearly none solved, nearly all solved."""


def named(scores: Floats) -> dict[str, float]:
    """Scores by problem, as results have them."""
    return {str(i): score for i, score in enumerate(scores.tolist())}


def per_cent(found: list[bool]) -> str:
    """A share for a table."""
    return f"{100 * np.mean(found):.1f}"


@dataclass(frozen=True)
class Equal:
    """Boards of two equal models."""

    told_apart: list[bool]
    exact: list[bool]
    contradicted: list[bool]
    """The interval excludes 0 and the exact test says no: the two rules contradict each other on one board."""


def equal_models(
    rng: np.random.Generator, difficulty: tuple[float, float], *, k: int, n: int, boards: int, exact: bool = True
) -> Equal:
    """Compare two models with the same chance on every problem."""
    found = Equal([], [], [])
    for _ in range(boards):
        chances = rng.beta(*difficulty, size=n)
        one, other = (rng.binomial(k, chances) / k for _ in range(2))
        test = paired_difference(named(one), named(other))
        found.told_apart.append(test.distinguishable)
        if exact:
            moved = other - one
            p = mcnemar(int((moved > 0).sum()), int((moved < 0).sum())) if k == 1 else sign_flip(moved, draws=FLIPS)
            found.exact.append(p <= 0.05)
            found.contradicted.append(not test.interval[0] <= 0 <= test.interval[1] and p > 0.05)
    return found


Change = Callable[[np.random.Generator, int], tuple[Floats, Floats]]


def lost(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """A benchmark that is nearly solved, of which 5 % of the problems are lost."""
    chances = rng.beta(19, 1, size=n)
    return chances, np.where(rng.random(n) < 0.05, 0.0, chances)


def gained(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """A hard benchmark, of which 12 % of the problems become solved."""
    chances = rng.beta(1, 9, size=n)
    return chances, np.where(rng.random(n) < 0.12, 0.9, chances)


def trained(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """About 38 % to about 68 %, as in the quickstart."""
    skill = rng.normal(0, 1.5, size=n)
    return 1 / (1 + np.exp(0.7 - skill)), 1 / (1 + np.exp(-1.1 - skill))


CHANGES: dict[str, Change] = {
    "5 % of the problems of a 95 % benchmark lost": lost,
    "12 % of a 10 % benchmark solved": gained,
    "38 % to 68 %": trained,
}


def difference_coverage(
    rng: np.random.Generator, change: Change, *, k: int, n: int, boards: int
) -> tuple[list[bool], list[bool]]:
    """Whether each board's interval contains the true difference, and whether there is a caution."""
    before, after = change(rng, 200_000)
    true = float((after - before).mean())
    held, cautious = [], []
    for _ in range(boards):
        test = paired_difference(*(named(rng.binomial(k, chances) / k) for chances in change(rng, n)))
        held.append(test.interval[0] <= true <= test.interval[1])
        cautious.append(bool(test.caution))
    return held, cautious


def accuracy_coverage(
    rng: np.random.Generator, difficulty: tuple[float, float], *, k: int, n: int, boards: int
) -> tuple[list[bool], list[bool]]:
    """Whether each board's interval contains the true accuracy, and whether there is a caution."""
    true = difficulty[0] / sum(difficulty)
    held, cautious = [], []
    for _ in range(boards):
        scores = rng.binomial(k, rng.beta(*difficulty, size=n)) / k
        low, high = score_interval(scores, n_answers=n * k)
        held.append(low <= true <= high)
        cautious.append(near_end(float(scores.mean()), n_problems=n, samples=k))
    return held, cautious


@dataclass(frozen=True)
class Unlike:
    """Boards of one model against itself with different numbers of completions."""

    uncut: list[bool]
    cut: list[bool]
    unpaired: list[bool]
    by_errors: list[bool]
    """Unpaired by both standard errors."""


def unlike_answers(
    rng: np.random.Generator, difficulty: tuple[float, float], *, few: int, many: int, n: int, boards: int
) -> Unlike:
    """Compare a model with itself, `few` completions of each problem against `many`."""
    found = Unlike([], [], [], [])
    for _ in range(boards):
        chances = rng.beta(*difficulty, size=n)
        one = rng.binomial(few, chances) / few
        first = rng.binomial(few, chances) / few
        other = (first * few + rng.binomial(many - few, chances)) / many
        found.uncut.append(paired_difference(named(one), named(other)).distinguishable)
        found.cut.append(paired_difference(named(one), named(first)).distinguishable)
        sides = [(float(s.mean()), *score_interval(s, n_answers=n * k)) for s, k in ((one, few), (other, many))]
        found.unpaired.append(unpaired_p(*sides) <= 0.05)
        error = math.hypot(*(s.std(ddof=1) / math.sqrt(n) for s in (one, other)))
        found.by_errors.append(abs(other.mean() - one.mean()) > 1.96 * error)
    return found


def report(boards: int, seed: int) -> Iterator[str]:
    """Yield the tables line by line."""
    rng = np.random.default_rng(seed)
    yield "| equal models | k | problems | told apart | exact test | interval yes, exact test no |"
    yield "|---|---|---|---|---|---|"
    for n, ks in ((30, (1, 4, 16)), (500, (1,))):
        for k in ks:
            for name, difficulty in HARD.items():
                equal = equal_models(rng, difficulty, k=k, n=n, boards=boards)
                shares = " | ".join(map(per_cent, (equal.told_apart, equal.exact, equal.contradicted)))
                yield f"| {name} | {k} | {n} | {shares} |"
    yield "\n| difference | problems | k = 1 | k = 4 | k = 16 | k = 64 |\n|---|---|---|---|---|---|"
    for name, change in CHANGES.items():
        for n in (30, 500):
            cells = [difference_coverage(rng, change, k=k, n=n, boards=boards) for k in (1, 4, 16, 64)]
            shares = " | ".join(f"{per_cent(held)} ({per_cent(cautious)})" for held, cautious in cells)
            yield f"| {name} | {n} | {shares} |"
    yield "\n| accuracy | problems | k = 1 | k = 4 | k = 16 | k = 64 |\n|---|---|---|---|---|---|"
    for n, spreads in ((30, ((0.05, 1), (0.1, 5), (5, 0.1), (20, 1), (1, 1))), (500, ((0.05, 1), (5, 0.1)))):
        for difficulty in spreads:
            cells = [accuracy_coverage(rng, difficulty, k=k, n=n, boards=boards) for k in (1, 4, 16, 64)]
            name = f"Beta({difficulty[0]:g}, {difficulty[1]:g}), mean {difficulty[0] / sum(difficulty):.2f}"
            shares = " | ".join(f"{per_cent(held)} ({per_cent(cautious)})" for held, cautious in cells)
            yield f"| {name} | {n} | {shares} |"
    yield "\n| different numbers, 30 problems | k | all | shared completions | unpaired | unpaired, by errors |"
    yield "|---|---|---|---|---|---|"
    for difficulty, few, many in (((1, 19), 1, 64), ((20, 1), 1, 16), ((1, 19), 4, 64), ((1, 1), 1, 16)):
        found = unlike_answers(rng, difficulty, few=few, many=many, n=30, boards=boards)
        shares = " | ".join(map(per_cent, (found.uncut, found.cut, found.unpaired, found.by_errors)))
        yield f"| Beta({difficulty[0]}, {difficulty[1]}) | {few}, {many} | {shares} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="How often equal models are told apart, and intervals hold: simulated boards."
    )
    parser.add_argument(
        "--boards", type=int, default=2_000, help="boards of a cell (default: 2000, an error of 0.5 points)"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for line in report(arguments.boards, arguments.seed):
        print(line, flush=True)
