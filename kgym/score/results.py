"""From sampled completions to the figures of a board.

    avg@k      mean over problems of the mean score of their scored completions; its standard error is over problems
    pass@k     unbiased, from the same completions, for every k up to the number sampled; G-Pass@k and maj@k for the
               powers of two
    shares     truncated, unscored and no_answer, each over all completions

An unscored completion is masked, never a 0: a problem with only unscored completions has no score and is left out of
the mean.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kgym.options import conform
from kgym.score.intervals import bootstrap_interval, score_interval
from kgym.score.passes import g_pass_at_k, pass_at_ks
from kgym.score.stats import mean_stderr
from kgym.score.variance import Variance, split_variance
from kgym.score.votes import NO_VOTE, Same, answer_classes, maj_at_k

if TYPE_CHECKING:
    from pandas import DataFrame, Series

COLUMNS = (
    "problem_id",
    "attempt",
    "level",
    "subject",
    "year",
    "answer",
    "normal",
    "status",
    "score",
    "tokens",
    "finish_reason",
    "truncated",
)
"""What the summary needs of a row of `kgym.runs.answers`; the texts stay on disk."""
Floats = NDArray[np.float64]
Figure = TypeVar("Figure")
UNKNOWN = (math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class EvalResult:
    """The result of an evaluation. Figures that cannot be computed are NaN here and null in JSON."""

    accuracy: float
    """avg@k, 0 to 1."""
    stderr: float
    """Standard error of the accuracy, clustered by problem."""
    n_problems: int
    """Problems asked."""
    n_scored_problems: int
    """Problems with at least one scored completion: the accuracy is the mean over them."""
    samples: int
    """Completions asked for each problem: the k of avg@k."""
    n_samples: int
    """Completions of all problems together."""
    truncated_frac: float
    unscored_frac: float
    no_answer_frac: float
    tokens_mean: float
    """Mean length of a completion, end token included."""
    pass_at_k: dict[str, float]
    """By k as a string, since keys in JSON are strings."""
    by_level: dict[str, dict[str, float]]
    """Accuracy, its standard error and the number of scored problems by difficulty."""
    by_subject: dict[str, dict[str, float]]
    scores: dict[str, float]
    """Mean score of each problem, by its id: what paired tests compare."""
    facts: dict[str, Any]
    """What the comparability hash is computed from."""
    comparability: str
    """sha256 of `facts`."""
    interval: tuple[float, float] = UNKNOWN
    """95 % interval of the accuracy, for problems like these; see `kgym.score.intervals.score_interval`."""
    bootstrap_interval: tuple[float, float] = UNKNOWN
    """The same by resampling problems: shorter than it should be for few problems."""
    maj_at_k: dict[str, float] = field(default_factory=dict)
    """Score of the most frequent answer of k, for the powers of two and the number taken."""
    g_pass_at_k: dict[str, dict[str, float]] = field(default_factory=dict)
    """By k, then by tau: chance that at least tau k of k completions are correct; `mean` is mG-Pass@k."""
    pass_at_k_stderr: dict[str, float] = field(default_factory=dict)
    """Standard errors of `pass_at_k`, clustered by problem, as are the two below."""
    maj_at_k_stderr: dict[str, float] = field(default_factory=dict)
    g_pass_at_k_stderr: dict[str, dict[str, float]] = field(default_factory=dict)
    finished_accuracy: float = math.nan
    """Mean score of the scored completions that no budget cut short, over completions."""
    truncated_bounds: tuple[float, float] = UNKNOWN
    """Accuracy if every truncated completion were wrong, and if it were right."""
    tokens_median: float = math.nan
    tokens_p95: float = math.nan
    """Length that 95 % of the completions do not exceed: one of the lengths, not a value between two."""
    tokens_per_solved: float = math.nan
    """Tokens of all completions, divided by the sum of their scores: without partial credit, tokens for each correct
    one.
    """
    by_year: dict[str, dict[str, float]] = field(default_factory=dict)
    prompt_too_long_frac: float = 0.0
    """Share of completions that were never sampled, as the prompt left no room for one; they are among the truncated
    ones.
    """
    repetition_frac: float = 0.0
    """Share of completions that were ended because they repeated themselves; they are among the truncated ones."""
    unscored_by: dict[str, float] = field(default_factory=dict)
    """Share of the completions that could not be judged, by the reason, the largest first."""
    variance: dict[str, float] = field(default_factory=dict)
    """`kgym.score.variance.Variance.to_json`: problem part and sampling part."""

    def __eq__(self, other: object) -> bool:
        """Whether all figures agree; two unknown figures agree."""
        return isinstance(other, EvalResult) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EvalResult":
        """Read back `to_json`. Other keys are ignored, and figures that an earlier version did not have are unknown.

        Raises ValueError or KeyError for anything else.
        """
        fields = {}
        for known in dataclasses.fields(cls):
            if known.name in data or (
                known.default is dataclasses.MISSING and known.default_factory is dataclasses.MISSING
            ):
                value = data[known.name]
                fields[known.name] = value if known.name == "facts" else _with_nan(value)
        return conform(fields, cls)


def counted_score(frame: "DataFrame", rule: str) -> "Series[float]":
    """Return the score of each completion as it counts, NaN where it is masked; `rule` is the `truncated` of
    `summarise`.
    """
    score = frame["score"].astype("float64")
    cut = frame["truncated"].astype(bool)
    if rule == "zero":
        return score.mask(cut & score.notna(), 0.0)  # an unscored completion stays masked: its score is not known
    return score.mask(cut & (frame["finish_reason"] != "repetition")) if rule == "mask" else score


def summarise(
    frame: "DataFrame",
    *,
    samples: int,
    truncated: str,
    facts: Mapping[str, Any],
    comparability: str,
    same: Same | None = None,
) -> EvalResult:
    """Summarise completions, one row each, with the columns of `COLUMNS`.

    `truncated` says how a completion that a budget cut short is scored: `zero`, `score` (what the verifier found) or
    `mask`, under which one that repeated itself still counts as wrong. `same` tells whether answers without a plain
    normal form are equal, for maj@k.
    """
    import pandas as pd  # noqa: PLC0415  (heavy)

    score = np.asarray(counted_score(frame, truncated), dtype=np.float64)
    cut = frame["truncated"].to_numpy(dtype=bool)
    tokens = frame["tokens"].to_numpy(dtype=np.float64)
    status = frame["status"]
    place, ids = pd.factorize(frame["problem_id"])
    problems = _Problems(place, len(ids))
    n_scored, means, variances = problems.moments(score)
    n_correct = np.bincount(place, weights=score >= 1.0, minlength=len(ids)).astype(np.int64)
    there = n_scored > 0
    known = means[there]
    accuracy, stderr = mean_stderr(known)
    labels = frame.loc[~frame["problem_id"].duplicated(), ["level", "subject", "year"]][there]
    split = split_variance(known, variances[there], n_scored[there])
    classes = (
        np.where(cut & (truncated == "zero"), NO_VOTE, answer_classes(frame, same))
        if samples > 1
        else np.empty(0, dtype=np.int64)
    )
    attempts = frame["attempt"].to_numpy(dtype=np.int64)
    ks = sorted({2**power for power in range(samples.bit_length())} | {samples})
    passes = pass_at_ks(n_scored, n_correct, samples)
    reliable = {k: found for k in ks if k > 1 and (found := g_pass_at_k(n_scored, n_correct, k))[0]}
    votes = {k: maj_at_k(place, attempts, classes, score, k=k, samples=samples) for k in ks if k > 1}
    return EvalResult(
        accuracy=accuracy,
        stderr=stderr,
        interval=score_interval(known, n_answers=int(n_scored.sum())),
        bootstrap_interval=bootstrap_interval(known),
        n_problems=len(ids),
        n_scored_problems=len(known),
        samples=samples,
        n_samples=len(frame),
        truncated_frac=float(cut.mean()),
        unscored_frac=float(status.str.startswith("unscored").mean()),
        no_answer_frac=float((status == "no_answer").mean()),
        finished_accuracy=_mean(score[~cut & ~np.isnan(score)]),
        truncated_bounds=(problems.mean(np.where(cut, 0.0, score)), problems.mean(np.where(cut, 1.0, score))),
        **_lengths(tokens, score),
        pass_at_k=_by_k(dict(enumerate(passes[0].tolist(), start=1))),
        pass_at_k_stderr=_by_k(dict(enumerate(passes[1].tolist(), start=1))),
        g_pass_at_k=_by_k({k: dict(means) for k, (means, _) in reliable.items()}),
        g_pass_at_k_stderr=_by_k({k: dict(errors) for k, (_, errors) in reliable.items()}),
        maj_at_k=_by_k({k: mean for k, (mean, _) in votes.items()}),
        maj_at_k_stderr=_by_k({k: error for k, (_, error) in votes.items()}),
        by_level=_by(known, labels["level"]),
        by_subject=_by(known, labels["subject"]),
        by_year=_by(known, labels["year"]),
        repetition_frac=float((frame["finish_reason"] == "repetition").mean()),
        prompt_too_long_frac=float((cut & (tokens == 0)).mean()),
        unscored_by=_unscored_by(status),
        variance=split.to_json(),
        scores={str(name): float(value) for name, value in zip(ids[there], known, strict=True)},
        facts=dict(facts),
        comparability=comparability,
    )


def _unscored_by(status: "Series[str]") -> dict[str, float]:
    reasons = status[status.str.startswith("unscored")].str.removeprefix("unscored").str.removeprefix(":")
    return {str(reason): n / len(status) for reason, n in reasons.value_counts().items()}


def _lengths(tokens: Floats, score: Floats) -> dict[str, Any]:
    """Return the figures of a result that are about the length of its completions."""
    solved = float(np.nansum(score))
    return {
        "tokens_mean": float(tokens.mean()),
        "tokens_median": float(np.median(tokens)),
        "tokens_p95": float(np.quantile(tokens, 0.95, method="higher")),
        "tokens_per_solved": float(tokens.sum() / solved) if solved > 0 else math.nan,
    }


def variance_of(result: EvalResult) -> Variance:
    """Return the two parts of the variance of a result. Raises ValueError if an older version wrote it without them."""
    if not result.variance:
        raise ValueError("the result was written without them; run the same kgym eval again, which generates nothing")
    names = {each.name for each in dataclasses.fields(Variance)}
    known: Any = {name: value for name, value in result.variance.items() if name in names}
    return Variance(**known)


class _Problems:
    """Sums by problem; NaN stands for a masked completion."""

    def __init__(self, place: NDArray[np.int64], n: int) -> None:
        self.place, self.n = place, n

    def moments(self, score: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Return the number, mean and unbiased variance of scored completions by problem; NaN for too few."""
        open_N = ~np.isnan(score)
        place, score = self.place[open_N], score[open_N]
        count = np.bincount(place, minlength=self.n)
        sums = np.bincount(place, weights=score, minlength=self.n).astype(np.float64)
        mean = _ratio(sums, count)
        squares = np.bincount(place, weights=(score - mean[place]) ** 2, minlength=self.n).astype(np.float64)
        return count, mean, _ratio(squares, count - 1)

    def mean(self, score: Floats) -> float:
        """Return the mean over problems of the mean over their completions."""
        means = self.moments(score)[1]
        return _mean(means[~np.isnan(means)])


def _by_k(figures: Mapping[int, Figure]) -> dict[str, Figure]:
    """Return figures by k as a string."""
    return {str(k): figure for k, figure in figures.items()}


def _ratio(above: Floats, below: NDArray[np.int64]) -> Floats:
    return np.divide(above, below, out=np.full(len(above), math.nan), where=below > 0)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


def _by(scores: Floats, label: "Series[Any]") -> dict[str, dict[str, float]]:
    """Return the accuracy by a label of the problems; {} if no problem has one (level 0, subject "")."""
    values = label.to_numpy()
    groups: dict[str, dict[str, float]] = {}
    for key in sorted({value for value in values.tolist() if value not in (0, "")}):
        mean, stderr = mean_stderr(scores[values == key])
        groups[str(key)] = {"accuracy": mean, "stderr": stderr, "n_problems": int((values == key).sum())}
    return groups


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_with_nan(item) for item in value)  # intervals and bounds
    return math.nan if value is None else value
