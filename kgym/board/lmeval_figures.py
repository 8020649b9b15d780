"""What a figure in a results file of lm-evaluation-harness is: read from the name of its metric, its filter and the
task's configuration.

    exact_match,none         with repeats: 10    an accuracy with k = 1: the default filter takes the first of ten
    exact_match,maj@8        a vote              not an accuracy
    pass@16,create_test      with repeats: 64    pass@16 of 64 completions
    word_perplexity,none                         not a share that is better when higher

A board's `accuracy` is a mean over problems of the mean score of k completions, and `samples_per_problem` is that k.
Only such a figure becomes a row; every other figure is left out, with a reason.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kgym.errors import DataError

MEANS = ("acc", "acc_bytes", "acc_mutual_info", "acc_norm", "accuracy", "em", "exact_match", "math_verify")
"""Metrics that are means over problems, for files that do not say how a metric is aggregated."""
AGGREGATIONS = ("mean", "nanmean")

_AT_K = re.compile(r"(?P<name>[A-Za-z_]+?)(?:@|_at_)(?P<k>[1-9][0-9]*|k)")
_FUNCTION = re.compile(r"\s*(?:def|<function) ([A-Za-z_][A-Za-z0-9_]*)")
_KINDS = {"avg": "accuracy", "mean": "accuracy", "pass": "pass"}


@dataclass(frozen=True)
class Figure:
    """A figure that a board has a column for."""

    metric: str
    filter: str
    kind: Literal["accuracy", "pass"]
    value: float
    stderr: float | None
    samples: int
    """Completions of each problem that the figure is computed from."""
    k: int = 1
    """The k of pass@k."""


class _NoFigure(DataError):
    """A figure has no column on a board; the message says why."""


def figures_of(data: Mapping[str, Any], task: str) -> tuple[list[Figure], list[str]]:
    """Return the figures of a task, and the figures that are left out, each with the reason."""
    found, left_out = [], []
    for key, value in data["results"][task].items():
        metric, comma, filtered = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue  # the name of the task, its number of problems, the error of another figure
        try:
            found.append(_figure(data, task, metric, filtered, value))
        except _NoFigure as reason:
            left_out.append(f"{key} of {task}: {reason}")
    return found, left_out


def _figure(data: Mapping[str, Any], task: str, metric: str, filtered: str, value: Any) -> Figure:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _NoFigure(f"{value!r} is not a number")
    if not math.isfinite(value):
        raise _NoFigure(f"its value is {value}")
    if task not in data["n-samples"]:
        raise _NoFigure("it belongs to a group of tasks, not to a single task")
    config = data["configs"].get(task) or {}
    samples, voted = answers_scored(config, filtered)
    if voted:
        raise _NoFigure(f"its filter takes the majority of {voted} completions, which is maj@{voted}, not an accuracy")
    kind, k = _named(metric, samples)
    _check_direction(data, task, config, metric, known=kind == "pass" or k > 1)
    if not 0 <= value <= 1:
        raise _NoFigure(f"{value:g} is not a share from 0 to 1")
    error = data["results"][task].get(f"{metric}_stderr,{filtered}")
    known = (
        isinstance(error, int | float) and not isinstance(error, bool) and math.isfinite(error)
    )  # lm-eval writes "N/A" for an unknown error
    if kind == "pass" and k > 1:
        return Figure(metric, filtered, "pass", float(value), float(error) if known else None, samples, k)
    return Figure(metric, filtered, "accuracy", float(value), float(error) if known else None, samples)


def _named(metric: str, samples: int) -> tuple[Literal["accuracy", "pass"], int]:
    """Return the kind of a figure by its name, and its k. Raises _NoFigure if a board has no column for it."""
    at_k = _AT_K.fullmatch(metric)
    if at_k is None:
        return "accuracy", 1
    name, k = at_k["name"].lower(), at_k["k"]
    if name not in _KINDS:
        raise _NoFigure(f"{metric} is not a mean of the scores of completions")
    if k == "k":
        raise _NoFigure("the name does not say what k is")
    if int(k) > samples or (_KINDS[name] == "accuracy" and int(k) != samples):
        raise _NoFigure(f"its name says {k} completions of a problem, and its filter takes {samples}")
    return ("pass" if _KINDS[name] == "pass" else "accuracy"), int(k)


def _check_direction(
    data: Mapping[str, Any], task: str, config: Mapping[str, Any], metric: str, *, known: bool
) -> None:
    """Raise _NoFigure unless the file or the name says that the metric is a mean over problems that is better when
    higher.
    """
    listed = config.get("metric_list")
    entries = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    entry: Mapping[str, Any] = next((entry for entry in entries if _metric_of(entry) == metric), {})
    better = (data.get("higher_is_better", {}).get(task) or {}).get(metric, entry.get("higher_is_better"))
    known = known or metric in MEANS
    if better is False:
        raise _NoFigure("it is better when lower")
    if better is None and not known:
        raise _NoFigure("the file does not say that it is better when higher")
    if (aggregation := entry.get("aggregation", "mean" if known else None)) not in AGGREGATIONS:
        raise _NoFigure(
            "the file does not say that it is a mean over problems"
            if aggregation is None
            else f"it is aggregated by {str(aggregation)[:40]}, not a mean over problems"
        )


def _metric_of(entry: Mapping[str, Any]) -> str:
    """Return the name of a metric; lm-eval writes a task's own metric as its source, or as its function with an
    address.
    """
    metric = str(entry.get("metric"))
    function = _FUNCTION.match(metric)
    return function[1] if function else metric


def answers_scored(config: Mapping[str, Any], filtered: str) -> tuple[int, int]:
    """Return how many completions of a problem reach the metric after a filter, and how many voted, 0 without a vote.

    >>> answers_scored({"repeats": 10}, "none")    # the default filter takes the first
    (1, 0)
    >>> eight = [{"name": "all", "filter": [{"function": "take_first_k", "k": 8}]}]
    >>> answers_scored({"repeats": 9, "filter_list": eight}, "all")
    (8, 0)
    >>> vote = [{"name": "maj", "filter": [{"function": "majority_vote"}]}]
    >>> answers_scored({"repeats": 9, "filter_list": vote}, "maj")
    (1, 9)
    """
    listed = config.get("filter_list")
    pipelines = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    steps = next(
        (entry["filter"] for entry in pipelines if entry.get("name") == filtered), [{"function": "take_first"}]
    )
    samples, voted = int(config.get("repeats") or 1), 0
    for step in steps:
        if step["function"] == "take_first_k":
            samples = min(samples, int(step["k"]))
        elif step["function"] == "majority_vote":
            samples, voted = 1, samples
        elif step["function"] == "take_first":
            samples = 1
    return samples, voted if voted > 1 else 0
