"""Measures of a finished run: a figure of an evaluation, of the metrics of a training, or of a comparison of verdicts.

accuracy           of an evaluation, in points
tokens             mean tokens of a completion
efficiency         right completions in 1,000 tokens
agreement          completions on which two verifiers agree, in points
mean KEY           mean of a metric over the steps of a training; `first` and `last` over half of them, `sum` for all
final KEY          its last value
correlation A B    of two metrics over the steps
"""

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from kgym.experiments.planning import Run
from kgym.experiments.table import SCORED
from kgym.files import reading
from kgym.runs.metrics import CLOCK, read_metrics

SHARES = ("_frac", "/accuracy")
"""Ends of the names of metrics that are shares; their values are given in points."""


def measured(run: Run, measure: str) -> float:
    """Return a figure of a finished run; NaN if the run does not have it."""
    name, *keys = measure.split()
    if name in SCORED:
        results = _table(run.done_file)
        # null if no completion could be judged
        accuracy, tokens = (math.nan if results[key] is None else results[key] for key in ("accuracy", "tokens_mean"))
        efficiency = 1000 * accuracy / tokens if tokens else math.nan  # no tokens if no prompt left room for one
        return float({"accuracy": 100 * accuracy, "tokens": tokens, "efficiency": efficiency}[name])
    if name == "agreement":
        found = _table(run.done_file)
        return 100 * (1 - found["changed"] / found["answers"])
    columns = [series(run, key) for key in keys]
    return _correlation(*columns) if name == "correlation" else _over_steps(name, columns[0])


def series(run: Run, key: str) -> list[float]:
    """Return a metric of each step of a training, shares in points."""
    factor = 100.0 if key.endswith(SHARES) else 1.0
    rows = [row for row in read_metrics(run.folder / "metrics.jsonl") if row["step"] > 0]
    return [math.nan if (value := row.get(key)) is None else factor * value for row in rows]


def unit_of(measure: str, *, relative: bool) -> str:
    """Return the unit of a figure, with a space before it where one belongs."""
    name, *keys = measure.split()
    if relative:
        return "%"
    if name in ("accuracy", "agreement") or (name != "correlation" and keys and keys[0].endswith(SHARES)):
        return " points"
    if name == "tokens" or (keys and "tokens" in keys[0] and name != "correlation"):
        return " tokens"
    if name == "efficiency":
        return " right completions in 1,000 tokens"
    return " s" if keys and keys[0].endswith("_s") else ""


def of_the_clock(measure: str) -> bool:
    """Whether the figure is a time, which differs between runs with the same settings."""
    return any(key.startswith(CLOCK) for key in measure.split()[1:])


def _over_steps(name: str, values: Sequence[float]) -> float:
    if name == "final":
        return next((value for value in reversed(values) if math.isfinite(value)), math.nan)
    half = (len(values) + 1) // 2
    chosen = {"mean": values, "sum": values, "first": values[:half], "last": values[-half:]}[name]
    if not chosen:
        return math.nan
    return math.fsum(chosen) if name == "sum" else math.fsum(chosen) / len(chosen)


def _correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return Pearson's correlation; NaN if one of the two is constant."""
    n = len(xs)
    if n < 3:
        return math.nan
    x_mean, y_mean = math.fsum(xs) / n, math.fsum(ys) / n
    xx, yy = (math.fsum((v - m) ** 2 for v in vs) for vs, m in ((xs, x_mean), (ys, y_mean)))
    xy = math.fsum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else math.nan


@lru_cache(maxsize=1024)
def _table(path: Path) -> dict[str, Any]:
    with reading(path, remedy="remove the folder of that run, and give the same command again"):
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
