"""Evaluations of the same problems, compared problem by problem."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from kgym.errors import ConfigError
from kgym.score.comparability import differences
from kgym.score.paired import ALPHA, exact_p, paired_difference
from kgym.score.ranks import holm
from kgym.score.results import EvalResult
from kgym.score.store import StoredScores, read_results


def compare_runs(before: Path, after: Path, *, seed: int = 0) -> dict[str, Any]:
    """Return both accuracies, their paired difference, its interval and p-value, and the exact test's p as `p_exact`.

    If one has more completions of each problem than the other, only the completions that both have are compared. Raises
    ConfigError if one is not a finished evaluation, if they asked different things (the message says what differs), or
    if the completions that both have are not stored.
    """
    first, second = _evaluation(before), _evaluation(after)
    return {
        "before": first.side(),
        "after": second.side(),
        **_pair(first, second, seed),
        "comparability": first.result.comparability,
    }


def compare_many(runs: Sequence[Path], *, seed: int = 0) -> dict[str, Any]:
    """Compare every pair of three or more evaluations.

    `interval` and `p_value` are of the pair alone; `p_holm` is corrected for the number of pairs, and `distinguishable`
    goes by it. Raises ConfigError as `compare_runs` does.
    """
    evaluations = [_evaluation(path) for path in runs]
    pairs = [
        {"before": str(one.path), "after": str(other.path)} | _pair(one, other, seed)
        for one, other in combinations(evaluations, 2)
    ]
    adjusted = holm([pair["p_value"] for pair in pairs])
    return {
        "runs": [evaluation.side() for evaluation in evaluations],
        "pairs": [pair | {"p_holm": p, "distinguishable": p <= ALPHA} for pair, p in zip(pairs, adjusted, strict=True)],
        "comparability": evaluations[0].result.comparability,
    }


def describe_comparison(comparison: Mapping[str, Any]) -> str:
    """Return the outcome of `compare_runs` as one sentence, in points."""
    return describe_difference(
        **{name: comparison[name] for name in ("difference", "interval", "p_value", "name", "n")}
    )


def describe_difference(*, difference: float, interval: Sequence[float], p_value: float, name: str, n: int) -> str:
    """Return a paired difference as one sentence, in points."""
    low, high = (100 * bound for bound in interval)
    finding = "" if p_value <= ALPHA else "not distinguishable: "
    points = f"{100 * difference:+.1f} points (95% interval {low:+.1f} to {high:+.1f})"
    return f"{finding}{points}, {n} problems, paired {name} test {say_p(p_value)}"


def remarks_on(comparison: Mapping[str, Any]) -> list[str]:
    """Return what else a reader of a compared pair has to know: which completions it is over, and whether the interval
    is too short.
    """
    remarks = []
    if not comparison["all_answers"]:
        first = "completion" if comparison["samples"] == 1 else f"{comparison['samples']} completions"
        remarks.append(f"over the first {first} of each problem, which both have")
    if comparison["caution"]:
        remarks.append(f"caution: {comparison['caution']}")
    return remarks


def say_p(p: float) -> str:
    """Return a p-value for people.

    >>> say_p(0.0312), say_p(0.0)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


@dataclass(frozen=True)
class _Evaluation:
    path: Path
    stored: Mapping[str, Any]
    result: EvalResult
    scores: StoredScores

    def side(self) -> dict[str, Any]:
        """Return what a comparison shows about one of its sides."""
        return {"run": str(self.path)} | {
            name: self.stored[name] for name in ("model", "accuracy", "stderr", "samples")
        }


def _evaluation(path: Path) -> _Evaluation:
    stored = read_results(path)
    result = EvalResult.from_json(stored)
    return _Evaluation(path, stored, result, StoredScores(path, result))


def _pair(before: _Evaluation, after: _Evaluation, seed: int) -> dict[str, Any]:
    """Return the paired test of two evaluations as plain values. Raises ConfigError as `compare_runs` does."""
    refused = f"{before.path} and {after.path} cannot be compared"
    if before.result.comparability != after.result.comparability:
        reasons = differences(before.result.facts, after.result.facts)
        raise ConfigError(f"{refused}: {'; '.join(reasons)}; score both models with the same settings")
    samples = min(before.result.samples, after.result.samples)
    scores = [side.scores(samples) for side in (before, after)]
    for side, found in zip((before, after), scores, strict=True):
        if found is None:
            raise ConfigError(
                f"{refused}: {before.path} has {before.result.samples} completions of each problem and {after.path} "
                f"has {after.result.samples}, and {side.path / 'samples'}, which has the completions that both share, "
                f"is gone; score both with kgym eval --samples {samples}"
            )
    first, second = (found or {} for found in scores)
    try:
        test = paired_difference(first, second)
    except ValueError as error:
        raise ConfigError(f"{refused}: {error}") from error
    return asdict(test) | {
        "distinguishable": test.distinguishable,
        "caution": test.caution,
        "p_exact": exact_p(first, second, seed=seed),
        "samples": samples,
        "all_answers": before.result.samples == after.result.samples,
    }
