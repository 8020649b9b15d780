"""From sampled answers to the figures of a board.

    avg@k      mean over problems of the mean score of their scored answers; its standard error is over problems
    pass@k     unbiased, from the same answers, for every k up to the number taken
    shares     truncated, unscored and no_answer, each over all answers

An unscored answer is masked, never a 0: a problem with none but unscored answers has no score and leaves the mean.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kgym.score.stats import mean_pass_at_k, mean_stderr

if TYPE_CHECKING:
    from pandas import DataFrame, Series

COLUMNS = ("problem_id", "attempt", "level", "subject", "status", "score", "tokens", "truncated")
"""What the summary needs of a row of `kgym.rollout.records`; the texts stay on disk."""


@dataclass(frozen=True)
class EvalResult:
    """What came of an evaluation. Figures that cannot be computed are NaN here and null in JSON."""

    accuracy: float
    """avg@k, 0 to 1."""
    stderr: float
    """Standard error of the accuracy, clustered by problem."""
    n_problems: int
    """Problems asked."""
    n_scored_problems: int
    """Problems with at least one scored answer: those that the accuracy is over."""
    samples: int
    """Answers asked for each problem: the k of avg@k."""
    n_samples: int
    """Answers in all."""
    truncated_frac: float
    unscored_frac: float
    no_answer_frac: float
    tokens_mean: float
    """Mean length of an answer, end token included."""
    pass_at_k: dict[str, float]
    """By k as a string: JSON knows no other keys."""
    by_level: dict[str, dict[str, float]]
    """Accuracy and number of scored problems by difficulty."""
    by_subject: dict[str, dict[str, float]]
    scores: dict[str, float]
    """Mean score of each problem, by its id: what paired tests compare."""
    facts: dict[str, Any]
    """What the comparability hash is of."""
    comparability: str
    """sha256 of `facts`."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EvalResult":
        """Read back `to_json`; what else stands beside it is left alone."""
        fields = {field.name: data[field.name] for field in dataclasses.fields(cls)}
        for name in ("accuracy", "stderr", "truncated_frac", "unscored_frac", "no_answer_frac", "tokens_mean"):
            fields[name] = math.nan if fields[name] is None else fields[name]
        fields["pass_at_k"] = {k: math.nan if value is None else value for k, value in fields["pass_at_k"].items()}
        return cls(**fields)


def counted_score(frame: "DataFrame", rule: str) -> "Series[float]":
    """Return the score of each answer as it counts, NaN where it is masked; `rule` is the `truncated` of `summarise`."""
    score = frame["score"].astype("float64")
    cut = frame["truncated"].astype(bool)
    if rule == "zero":
        return score.mask(cut & score.notna(), 0.0)  # an unscored answer stays masked: nobody knows what it was worth
    return score.mask(cut) if rule == "mask" else score


def summarise(frame: "DataFrame", *, samples: int, truncated: str, facts: Mapping[str, Any], comparability: str) -> EvalResult:
    """Summarise answers, one row each, with the columns of `COLUMNS`.

    `truncated` says what an answer that a budget cut short is worth: `zero`, `score` (what the verifier found) or `mask`.
    """
    score = counted_score(frame, truncated)
    by_problem = score.groupby(frame["problem_id"], sort=False)
    problem_score = by_problem.mean().dropna()
    n_scored = by_problem.count()
    n_correct = (score >= 1.0).groupby(frame["problem_id"], sort=False).sum()
    accuracy, stderr = mean_stderr(problem_score.to_numpy())
    problems = frame.drop_duplicates("problem_id").set_index("problem_id").loc[problem_score.index]
    return EvalResult(
        accuracy=accuracy,
        stderr=stderr,
        n_problems=int(frame["problem_id"].nunique()),
        n_scored_problems=len(problem_score),
        samples=samples,
        n_samples=len(frame),
        truncated_frac=float(frame["truncated"].mean()),
        unscored_frac=float(frame["status"].str.startswith("unscored").mean()),
        no_answer_frac=float((frame["status"] == "no_answer").mean()),
        tokens_mean=float(frame["tokens"].mean()),
        pass_at_k={str(k): mean_pass_at_k(n_scored.tolist(), n_correct.tolist(), k) for k in range(1, samples + 1)},
        by_level=_by(problem_score, problems["level"]),
        by_subject=_by(problem_score, problems["subject"]),
        scores={str(key): float(value) for key, value in problem_score.items()},
        facts=dict(facts),
        comparability=comparability,
    )


def _by(problem_score: "Series[float]", label: "Series[Any]") -> dict[str, dict[str, float]]:
    """Accuracy by a label of the problems; nothing if no problem has one (level 0, subject "")."""
    known = label[(label != 0) & (label != "")]
    groups = problem_score[known.index].groupby(known)
    return {str(key): {"accuracy": float(values.mean()), "n_problems": len(values)} for key, values in groups}


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
