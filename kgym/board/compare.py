"""Two evaluations of the same problems, compared problem by problem."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kgym.errors import ConfigError
from kgym.score.comparability import differences
from kgym.score.results import EvalResult
from kgym.score.stats import paired_difference
from kgym.score.store import read_results


def compare_runs(before: Path, after: Path, *, seed: int = 0) -> dict[str, Any]:
    """Return both accuracies, their paired difference, its interval and p-value.

    Raises ConfigError if one is not a finished evaluation, or they asked different things, with what differs in words.
    """
    stored = [read_results(path) for path in (before, after)]
    first, second = (EvalResult.from_json(results) for results in stored)
    if first.comparability != second.comparability:
        reasons = differences(first.facts, second.facts)
        raise ConfigError(f"{before} and {after} cannot be compared: {'; '.join(reasons)}; score both models with the same settings")
    try:
        test = paired_difference(first.scores, second.scores, seed=seed)
    except ValueError as error:
        raise ConfigError(f"{before} and {after} cannot be compared: {error}") from error
    return {
        "before": _side(before, stored[0]),
        "after": _side(after, stored[1]),
        **asdict(test),
        "distinguishable": test.distinguishable,
        "comparability": first.comparability,
    }


def describe_comparison(comparison: Mapping[str, Any]) -> str:
    """Say the outcome in one sentence, in points."""
    low, high = (100 * bound for bound in comparison["interval"])
    p = comparison["p_value"]
    finding = "" if comparison["distinguishable"] else "not distinguishable: "
    return (
        f"{finding}{100 * comparison['difference']:+.1f} points (95% interval {low:+.1f} to {high:+.1f}), "
        f"{comparison['n']} problems, paired {comparison['name']} test {'p < 0.001' if p < 0.001 else f'p = {p:.3f}'}"
    )


def _side(path: Path, results: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": str(path), "model": results["model"], "accuracy": results["accuracy"], "stderr": results["stderr"]}
