"""A board as tables of rows that may be compared, with rank intervals and the reasons why the tables are apart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from kgym.board.table import Row
from kgym.errors import KgymError
from kgym.score.comparability import differences
from kgym.score.intervals import interval_of, near_end, near_end_caution, wilson
from kgym.score.ranks import UNKNOWN, Standing, rank_intervals
from kgym.score.results import EvalResult
from kgym.score.store import StoredScores, read_results

ASKED = (
    "env_id",
    "split",
    "n_problems",
    "data_sha256",
    "verifier",
    "max_tokens",
    "truncated_rule",
    "temperature",
    "top_p",
    "top_k",
)
"""Columns that say what was asked; the run folders contain more."""
NORMAL = NormalDist().inv_cdf(0.975)
MOST_RANKED = 300
"""Most rows of a table with ranks, which test every pair of rows: 300 rows have 44,850 pairs, 2,000 have 2 million."""
NO_RANKS = (
    f"No ranks: they test every pair, and the table has more than {MOST_RANKED} rows. "
    "Choose rows by benchmark or model."
)


@dataclass(frozen=True)
class Block:
    """Rows with the same benchmark and comparability hash, the best first."""

    benchmark: str
    comparability: str
    rows: list[Row]
    ranks: list[tuple[int, int]] | None
    """Lowest and highest rank of each row; None for more than `MOST_RANKED` rows."""
    n_paired: int
    """Rows whose scores by problem were found in their run folders; the others' tests are weaker."""
    apart: list[str]
    """In what it differs from the first table of its benchmark, in words; [] for the first table itself."""


HERE = (Path(),)
"""Where run folders are looked for: a board contains their paths relative to the working directory of the command."""


def blocks_of(rows: Sequence[Row], folders: Sequence[Path] = HERE) -> list[Block]:
    """Split a board of results into tables.

    Run folders are looked for below each of `folders`. Without them rank intervals are wider, but still valid.
    """
    tables: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["benchmark"]):
        tables.setdefault((row["benchmark"], row["comparability"]), []).append(row)
    blocks: list[Block] = []
    first_of: dict[str, tuple[Row, Found | None]] = {}
    for (benchmark, comparability), block in tables.items():
        block.sort(key=lambda row: (-(row["accuracy"] if row["accuracy"] is not None else -1.0), row["model"]))
        results = [_result(row, folders) for row in block]
        standings = [_standing(row, result) for row, result in zip(block, results, strict=True)]
        first = first_of.setdefault(benchmark, (block[0], results[0]))
        blocks.append(
            Block(
                benchmark=benchmark,
                comparability=comparability,
                rows=block,
                ranks=rank_intervals(standings) if len(block) <= MOST_RANKED else None,
                n_paired=sum(result is not None for result in results),
                apart=[] if first[0] is block[0] else _apart(first, (block[0], results[0])),
            )
        )
    return blocks


def ranked_rows(rows: Sequence[Row], folders: Sequence[Path] = HERE) -> list[Row]:
    """Return the rows of a board of results in the order of its tables, each with four more columns.

    `rank_low` and `rank_high` are None if the table has too many rows. `apart` says why the table of the row cannot be
    compared with the first one of its benchmark, "" in the first one. `caution` says why the interval of the accuracy
    is too short, "" if it is not.
    """
    ranked = []
    for block in blocks_of(rows, folders):
        ranks: Sequence[tuple[int | None, int | None]] = block.ranks or [(None, None)] * len(block.rows)
        for row, (low, high) in zip(block.rows, ranks, strict=True):
            ranked.append(
                row | {"rank_low": low, "rank_high": high, "apart": "; ".join(block.apart), "caution": caution_of(row)}
            )
    return ranked


def published_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a board of published figures, each with `interval_low` and `interval_high` added to its
    columns, 0 to 1.

    They are Wilson's 95 % interval of a figure for problems like these, as if each were solved always or never: many
    completions of each problem make it little shorter if problems differ much. None if the number of problems is not
    known.
    """
    found = []
    for row in rows:
        low, high = (
            (None, None) if row["n_problems"] is None else wilson(row["figure"] / 100, row["n_problems"], NORMAL)
        )
        found.append(row | {"interval_low": low, "interval_high": high})
    return found


def caution_of(row: Mapping[str, Any]) -> str:
    """Return why the interval of an accuracy contains the true one less often than it says; "" if it does not."""
    accuracy, n, samples = (row[name] for name in ("accuracy", "n_problems", "samples_per_problem"))
    if None in (accuracy, n, samples) or not near_end(accuracy, n_problems=n, samples=samples):
        return ""
    return near_end_caution(n)


@dataclass(frozen=True)
class Found:
    """The evaluation that a row was made from."""

    path: Path
    result: EvalResult


def _result(row: Mapping[str, Any], folders: Sequence[Path]) -> Found | None:
    """Return the evaluation of a row, if its folder is below one of `folders` and still contains that very
    evaluation.
    """
    paths = [folder / row["run"] for folder in folders] if row["run"] else []
    return next((found for path in paths if (found := _found(row, path)) is not None), None)


def _found(row: Mapping[str, Any], path: Path) -> Found | None:
    try:
        result = EvalResult.from_json(read_results(path))
    except (KgymError, OSError):
        return None  # moved, deleted, damaged, or on another machine: only the row is known
    agrees = row["accuracy"] is not None and abs(result.accuracy - row["accuracy"]) < 1e-6
    return Found(path, result) if agrees and result.comparability == row["comparability"] else None


def _standing(row: Mapping[str, Any], found: Found | None) -> Standing:
    accuracy = math.nan if row["accuracy"] is None else float(row["accuracy"])
    if found is not None:
        return Standing(accuracy, _interval(row), found.result.samples, StoredScores(found.path, found.result))
    return Standing(accuracy, _interval(row))


def _interval(row: Mapping[str, Any]) -> tuple[float, float]:
    """Return the 95 % interval of the accuracy; rows of the first version have none, so it comes from their error."""
    if None not in (row["interval_low"], row["interval_high"]):
        return float(row["interval_low"]), float(row["interval_high"])
    if None in (row["accuracy"], row["stderr"], row["n_problems"]):
        return UNKNOWN
    n = int(row["n_problems"])
    return interval_of(
        float(row["accuracy"]), float(row["stderr"]), n=n, n_answers=n * int(row["samples_per_problem"] or 1)
    )


def _apart(one: tuple[Row, "Found | None"], other: tuple[Row, "Found | None"]) -> list[str]:
    if one[1] is not None and other[1] is not None:
        return differences(one[1].result.facts, other[1].result.facts)
    found = differences({name: one[0][name] for name in ASKED}, {name: other[0][name] for name in ASKED})
    return found or [
        "something that the board has no column for, such as the prompt, differs; the results.json of the runs say what"
    ]
