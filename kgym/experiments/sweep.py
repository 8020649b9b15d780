"""A sweep: one command for each combination of values and each seed; mean, spread and interval over seeds of the
results.

    --grid train.lr=1e-4,3e-4 --grid algo=grpo,mirror --seeds 3     4 settings, 12 runs

A run is identified by its command: the name of its folder ends in the command's hash. So more seeds or values add runs.
"""

import csv
import hashlib
import io
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

from kgym.errors import ConfigError
from kgym.experiments.measures import measured, unit_of
from kgym.experiments.planning import Run
from kgym.experiments.table import SCORED
from kgym.experiments.verdicts import Interval, seed_interval
from kgym.neutral import for_spreadsheet
from kgym.runs.metrics import read_metrics

COMMANDS = ("train", "sft", "dpo", "rm", "eval")
"""Commands that can be swept."""
USUAL = {
    "train": ("last reward/mean", "final episode/tokens_mean"),
    "sft": ("final train/loss_nats", "final held_out/loss_nats"),
    "dpo": ("final train/loss_nats", "final preference/accuracy_frac", "final held_out/accuracy_frac"),
    "rm": ("final train/loss_nats", "final preference/accuracy_frac", "final held_out/accuracy_frac"),
    "eval": ("accuracy", "tokens"),
}
"""Measures of each command, if its runs have them; a training also has the accuracy of every validation."""
UNKNOWN = math.nan
Setting = Mapping[str, str]
"""A value for each key of the grid, as it was typed."""


@dataclass(frozen=True)
class Row:
    """One measure of one setting."""

    setting: str
    measure: str
    unit: str
    by_seed: dict[int, float]
    """Values by seed, of the runs that have ended and have the measure."""

    @property
    def mean(self) -> float:
        """Mean over seeds; NaN without a seed."""
        return math.fsum(self.by_seed.values()) / len(self.by_seed) if self.by_seed else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; NaN for fewer than two."""
        return stdev(self.by_seed.values()) if len(self.by_seed) > 1 else math.nan

    @property
    def interval(self) -> Interval:
        """95 % interval of the mean, by Student's t over seeds; see `seed_interval`."""
        return seed_interval(list(self.by_seed.values()))


def grid_of(given: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each key of `KEY=VALUE,VALUE`; commas inside brackets and quotes belong to a value.

    Raises ConfigError for a text without values or a key that is given twice.

    >>> grid_of(["train.lr=1e-4,3e-4", "env.years=[2023,2024],[2025]"])
    {'train.lr': ['1e-4', '3e-4'], 'env.years': ['[2023,2024]', '[2025]']}
    """
    grid: dict[str, list[str]] = {}
    for text in given:
        key, equals, values = (part.strip() for part in text.partition("="))
        found = _split(values)
        if not (key and equals and all(found)):
            raise ConfigError(f"--grid {text!r}: write it as KEY=VALUE,VALUE, for example train.lr=1e-4,3e-4")
        if key == "seed":
            raise ConfigError("--grid seed=...: seeds are given with --seeds")
        if key in grid:
            raise ConfigError(f"--grid names {key} twice; give all of its values at once")
        if len(set(found)) < len(found):
            raise ConfigError(f"--grid {text!r} names a value twice")
        grid[key] = found
    return grid


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            depth += (char in "[{") - (char in "]}")
        if char == "," and not quote and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def seeds_of(given: str) -> list[int]:
    """Return the seeds that `3` (0, 1 and 2) or `0,5` (0 and 5) stands for. Raises ConfigError for anything else.

    >>> seeds_of("3"), seeds_of("0,5"), seeds_of("7,")
    ([0, 1, 2], [0, 5], [7])
    """
    words = [word.strip() for word in given.split(",")]
    listed = len(words) > 1
    words = [word for word in words if word]
    if not (words and all(re.fullmatch("[0-9]{1,9}", word) for word in words)):
        raise ConfigError(f"--seeds {given!r}: give how many, as in 3, or a list, as in 0,5")
    numbers = [int(word) for word in words]
    found = numbers if listed else list(range(numbers[0]))
    if not found or len(set(found)) < len(found):
        raise ConfigError(f"--seeds {given!r}: " + ("must be 1 or more" if not found else "a seed is given twice"))
    return found


def settings_of(grid: Mapping[str, Sequence[str]]) -> list[Setting]:
    """Return every combination of the values, the last key changing fastest; one empty setting without a grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def named(setting: Setting) -> str:
    """Return a setting for people."""
    return ", ".join(f"{key}={value}" for key, value in setting.items()) or "as given"


def folder_of(command: Sequence[str], root: Path) -> Path:
    """Return the folder of a sweep over a command, below `root`: the same command has the same folder."""
    return root / f"sweep-{command[0]}-{_digest(command)[:8]}"


def run_of(command: Sequence[str], setting: Setting, seed: int, out: Path, again: Sequence[str] = ()) -> Run:
    """Return the run of a command with a setting and a seed; `again` are options that it also gets when resumed."""
    name, *options = command
    chosen = [word for key, value in setting.items() for word in ("--set", f"{key}={value}")]
    words = (name, *options, *chosen, "--seed", str(seed))
    key = _digest(words)
    plain = re.sub(
        r"[^A-Za-z0-9.]+", "-", "-".join(f"{key.rpartition('.')[2]}-{value}" for key, value in setting.items())
    )
    folder = out / "runs" / f"{plain.strip('-.')[:60] or name}-{seed}-{key[:8]}"
    return Run(named(setting), seed, key, folder, (*words, "--run", str(folder)), (), UNKNOWN, tuple(again))


def rows_of(runs: Sequence[Run], measures: Sequence[str] = ()) -> list[Row]:
    """Return the measures of each setting over its runs: the usual ones of the command, and `measures`."""
    asked = list(dict.fromkeys([*_usual(runs), *measures]))
    rows = []
    for setting in dict.fromkeys(run.arm for run in runs):
        for measure in asked:
            values = {run.seed: measured(run, measure) for run in runs if run.arm == setting and run.done}
            finite = {seed: value for seed, value in values.items() if math.isfinite(value)}
            rows.append(Row(setting, measure, unit_of(measure, relative=False), finite))
    return rows


def check_measure(measure: str, command: str) -> None:
    """Raise ConfigError for a measure that runs of a command cannot have."""
    first, *keys = measure.split()
    if command == "eval" and (first not in SCORED or keys):
        raise ConfigError(f"--measure {measure!r}: an evaluation has {', '.join(SCORED)}")
    if command != "eval" and (first not in ("mean", "first", "last", "final", "sum") or len(keys) != 1):
        raise ConfigError(f"--measure {measure!r}: write it as 'final KEY', with a metric; or mean, first, last, sum")


def _usual(runs: Sequence[Run]) -> list[str]:
    """Return the usual measures that one of the runs has."""
    ended = [run for run in runs if run.done]
    if not ended:
        return []
    command = ended[0].command
    scores: dict[str, None] = {}
    for run in ended if command == "train" else ():
        for line in read_metrics(run.folder / "metrics.jsonl"):
            scores |= {
                f"final {key}": None for key, value in line.items() if key.endswith("/accuracy") and value is not None
            }
    usual = [*scores, *USUAL[command]]
    return [measure for measure in usual if any(math.isfinite(measured(run, measure)) for run in ended)]


def facts_of(row: Row) -> dict[str, Any]:
    """Return a row as plain values."""
    low, high = row.interval
    return {
        "setting": row.setting,
        "measure": row.measure,
        "unit": row.unit.strip(),
        "seeds": len(row.by_seed),
        "mean": row.mean,
        "spread": row.spread,
        "low": low,
        "high": high,
    }


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of one kind as CSV whose cells no spreadsheet runs as formulas; unknown values are empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return out.getvalue()


def run_facts(runs: Sequence[Run], rows: Sequence[Row], settings: Mapping[str, Setting]) -> list[dict[str, Any]]:
    """Return each run with the values of its setting and its measures; `settings` are by name."""
    found = []
    for run in runs:
        values = {row.measure: row.by_seed.get(run.seed, math.nan) for row in rows if row.setting == run.arm}
        found.append({**settings[run.arm], "seed": run.seed, "run": str(run.folder), "done": run.done, **values})
    return found


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else ""
    return for_spreadsheet(value) if isinstance(value, str) else value


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()
