"""Evaluations of the same problems, compared problem by problem."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

from kgym.errors import ConfigError
from kgym.score.comparability import differences
from kgym.score.ranks import ALPHA, holm
from kgym.score.results import EvalResult
from kgym.score.stats import PairedTest, paired_difference
from kgym.score.store import read_results


def compare_runs(before: Path, after: Path, *, seed: int = 0) -> dict[str, Any]:
    """Return both accuracies, their paired difference, its interval and p-value.

    Raises ConfigError if one is not a finished evaluation, or they asked different things, with what differs in words.
    """
    stored = [read_results(path) for path in (before, after)]
    first, second = (EvalResult.from_json(results) for results in stored)
    test = _paired(before, first, after, second, seed=seed)
    return {
        "before": _side(before, stored[0]),
        "after": _side(after, stored[1]),
        **asdict(test),
        "distinguishable": test.distinguishable,
        "comparability": first.comparability,
    }


def compare_many(runs: Sequence[Path], *, seed: int = 0) -> dict[str, Any]:
    """Compare every pair of three or more evaluations; `p_holm` is corrected for the number of pairs, and `distinguishable` goes by it.

    Raises ConfigError as `compare_runs` does.
    """
    stored = [read_results(path) for path in runs]
    results = [EvalResult.from_json(each) for each in stored]
    pairs = list(combinations(range(len(runs)), 2))
    tests = [_paired(runs[one], results[one], runs[other], results[other], seed=seed) for one, other in pairs]
    adjusted = holm([test.p_value for test in tests])
    return {
        "runs": [_side(path, each) for path, each in zip(runs, stored, strict=True)],
        "pairs": [
            {"before": str(runs[one]), "after": str(runs[other]), **asdict(test), "p_holm": p, "distinguishable": p <= ALPHA}
            for (one, other), test, p in zip(pairs, tests, adjusted, strict=True)
        ],
        "comparability": results[0].comparability,
    }


def describe_comparison(comparison: Mapping[str, Any]) -> str:
    """Say the outcome in one sentence, in points."""
    low, high = (100 * bound for bound in comparison["interval"])
    finding = "" if comparison["distinguishable"] else "not distinguishable: "
    return (
        f"{finding}{100 * comparison['difference']:+.1f} points (95% interval {low:+.1f} to {high:+.1f}), "
        f"{comparison['n']} problems, paired {comparison['name']} test {say_p(comparison['p_value'])}"
    )


def say_p(p: float) -> str:
    """Return a p-value for people.

    >>> say_p(0.0312), say_p(0.0)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _paired(before: Path, first: EvalResult, after: Path, second: EvalResult, *, seed: int) -> PairedTest:
    if first.comparability != second.comparability:
        reasons = differences(first.facts, second.facts)
        raise ConfigError(f"{before} and {after} cannot be compared: {'; '.join(reasons)}; score both models with the same settings")
    try:
        return paired_difference(first.scores, second.scores, seed=seed)
    except ValueError as error:
        raise ConfigError(f"{before} and {after} cannot be compared: {error}") from error


def _side(path: Path, results: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": str(path), "model": results["model"], "accuracy": results["accuracy"], "stderr": results["stderr"]}
