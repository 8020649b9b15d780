"""Rows of a leaderboard as tables and pictures of a page."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from kgym.page.document import Cell, Column, Table
from kgym.page.picture import PERCENT, Picture, drawing, legend_below, new_figure, picture, plain

Row = Mapping[str, Any]
RESULTS = (
    Column(
        "rank",
        True,
        "lowest and highest rank that 95 % intervals over all pairs of the table allow (Holm): overlapping ranks are "
        "not distinguishable",
    ),
    Column("model"),
    Column("accuracy", True, "avg@k in %, with its 95 % interval for problems like these"),
    Column("95 % interval", True),
    Column("k", True, "completions of each problem"),
    Column("pass@k", True, "chance that one of k completions is right, unbiased, with standard error over problems"),
    Column("maj@k", True, "score of the most frequent of k answers, with its standard error over problems"),
    Column("truncated", True, "share of completions that a budget cut short"),
    Column("unscored", True, "share of completions that could not be judged; masked from the accuracy"),
    Column("no answer", True, "share of completions in which the verifier found no answer"),
    Column("tokens", True, "mean length of a completion"),
    Column("tokens / solved", True, "tokens of all completions, divided by the sum of their scores"),
    Column("date"),
)
PUBLISHED = (
    Column("model"),
    Column("benchmark"),
    Column(
        "points",
        True,
        "as printed, with the standard deviation over seeds if the source gives it; the bar is the interval",
    ),
    Column("95 % interval", True, "for the choice of problems, as if each were solved always or never"),
    Column("metric"),
    Column("protocol"),
    Column("source"),
    Column("date"),
    Column("address"),
    Column("note"),
)
PUBLISHED_NOTES = (
    "Figures as printed by their sources. Protocols differ: they are for orientation, not for comparison.",
    "With 30 problems a figure has an interval of ± 10 to 17 points (less above 90) for the choice of problems alone, "
    "for any number of completions.",
)
MOST_CURVES = 8
"""Most rows in a picture; of more rows the best are drawn."""


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return a table for each set of rows that may be compared, or one of published figures."""
    if rows and "comparability" not in rows[0]:
        ordered = sorted(rows, key=lambda row: (row["benchmark"], -row["figure"]))
        return [Table("Published figures", PUBLISHED, [_published(row) for row in ordered], PUBLISHED_NOTES)]
    blocks = _blocks(rows)
    return [_table(block, _heading(block[0], [other[0] for other in blocks])) for block in blocks]


def pictures(rows: Sequence[Row], majority: Mapping[int, Mapping[str, float]] | None = None) -> list[Picture]:
    """Return, for each set of comparable results, accuracy against tokens, and pass@k if a row has more than one
    completion of each problem.

    `majority` has maj@k by k for some of the rows, by their place; a row itself has it only for all its completions.
    """
    if not rows or "comparability" not in rows[0]:
        return []
    places = {id(row): place for place, row in enumerate(rows)}
    drawn = []
    blocks = _blocks(rows)
    with drawing():
        for block in blocks:
            of = f" — {_heading(block[0], [other[0] for other in blocks])}"
            of += f", {str(block[0]['comparability'])[:8]}" if len(blocks) > 1 else ""
            best = sorted(block, key=lambda row: -(row["accuracy"] or 0.0))[:MOST_CURVES]
            drawn.append(_against_tokens(best, of))
            if any((row["samples_per_problem"] or 1) > 1 for row in best):
                drawn.append(_curves(best, of, {id(row): (majority or {}).get(places[id(row)], {}) for row in best}))
    return [found for found in drawn if found is not None]


def _blocks(rows: Sequence[Row]) -> list[list[Row]]:
    blocks: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        blocks.setdefault((row["benchmark"], row["comparability"]), []).append(row)
    return list(blocks.values())


HEADING = (
    ("temperature", "temperature {:g}"),
    ("top_p", "top-p {:g}"),
    ("top_k", "top-k {}"),
    ("max_tokens", "{:,} tokens"),
    ("n_problems", "{} problems"),
    ("split", "{}"),
    ("verifier", "{} verifier"),
)
"""What a heading names if tables of one benchmark differ in it."""


def _heading(first: Row, firsts: Sequence[Row]) -> str:
    """Return the benchmark of a table with what distinguishes it from the other tables of that benchmark; `firsts` are
    the first rows of all tables.
    """
    twins = [other for other in firsts if other["benchmark"] == first["benchmark"]]
    differing = [
        (key, words)
        for key, words in HEADING
        if len({other.get(key) for other in twins}) > 1 and first.get(key) is not None
    ]
    return ", ".join([str(first["benchmark"]), *(words.format(first[key]) for key, words in differing)])


def _table(rows: Sequence[Row], heading: str) -> Table:
    first = rows[0]
    asked = [f"{first['env_id']}, split {first['split']}"]
    asked += [
        f"{first[key]:,} {unit}"
        for key, unit in (("n_problems", "problems"), ("max_tokens", "tokens at most"))
        if first[key] is not None
    ]
    asked += [
        f"{word} {first[key]:g}"
        for key, word in (("temperature", "temperature"), ("top_p", "top-p"))
        if first[key] is not None
    ]
    asked += [
        f"verifier {first['verifier']}" if first["verifier"] else "",
        f"comparability {str(first['comparability'])[:12]}",
        "figures in %",
    ]
    notes = [", ".join(part for part in asked if part)]
    if first.get("apart"):
        notes.append(f"Not comparable with the first table of this benchmark: {first['apart']}.")
    notes += [f"Caution: {caution}." for caution in dict.fromkeys(row.get("caution") for row in rows) if caution]
    if len(rows) > 1 and "rank_low" in first and first["rank_low"] is None:
        notes.append("Too many rows for ranks, which test every pair; choose rows by benchmark or model.")
    return Table(heading, RESULTS, [_result(row) for row in rows], notes)


def _result(row: Row) -> list[Cell]:
    low, high = row["interval_low"], row["interval_high"]
    known = None not in (row["accuracy"], low, high)
    passes, errors = (json.loads(row[name] or "{}") for name in ("pass_at_k", "pass_at_k_stderr"))
    last = max(passes, key=int, default=None)
    ranks = (row.get("rank_low"), row.get("rank_high"))
    rank = "" if None in ranks else f"{ranks[0]}" if ranks[0] == ranks[1] else f"{ranks[0]}–{ranks[1]}"
    return [
        Cell(rank, float(ranks[0]) if ranks[0] is not None else None),
        Cell(str(row["model"]), remark=str(row["note"] or "")),
        Cell(
            _percent(row["accuracy"]),
            row["accuracy"],
            (100 * low, 100 * row["accuracy"], 100 * high) if known else None,
        ),
        Cell(f"{100 * low:.1f}–{100 * high:.1f}" if known else "", low),
        Cell(_number(row["samples_per_problem"]), row["samples_per_problem"]),
        Cell(_percent(passes[last], errors.get(last)) if last and last != "1" else "", passes.get(last or "")),
        Cell(_percent(row["maj_at_k"], row["maj_at_k_stderr"]), row["maj_at_k"]),
        *(Cell(_percent(row[name]), row[name]) for name in ("truncated_frac", "unscored_frac", "no_answer_frac")),
        *(Cell(_number(row[name]), row[name]) for name in ("tokens_mean", "tokens_per_solved")),
        Cell(str(row["date"] or "")),
    ]


def _published(row: Row) -> list[Cell]:
    low, high = row.get("interval_low"), row.get("interval_high")
    bar = None if low is None or high is None else (100 * low, row["figure"], 100 * high)
    spread = "" if row["spread"] is None else f" ± {row['spread']:g}"
    cells = {
        "points": Cell(f"{row['figure']:g}{spread}", row["figure"], bar),
        "95 % interval": Cell("" if low is None or high is None else f"{100 * low:.0f}–{100 * high:.0f}", low),
        "address": Cell(str(row["url"] or "")),
    }
    return [cells.get(column.label) or Cell(str(row[column.label] or "")) for column in PUBLISHED]


def _percent(value: float | None, stderr: float | None = None) -> str:
    return "" if value is None else f"{100 * value:.1f}" + ("" if stderr is None else f" ± {100 * stderr:.1f}")


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:,.0f}"


def _against_tokens(rows: Sequence[Row], of: str) -> Picture | None:
    there = [row for row in rows if None not in (row["accuracy"], row["tokens_mean"])]
    if not there:
        return None
    figure = new_figure()
    axes = figure.subplots()
    for row in there:
        value, low, high = (
            100 * (row[name] if row[name] is not None else row["accuracy"])
            for name in ("accuracy", "interval_low", "interval_high")
        )
        axes.errorbar(
            [row["tokens_mean"]],
            [value],
            yerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
            marker="o",
            capsize=3,
            label=plain(str(row["model"])),
        )
    most = max(row["tokens_mean"] for row in there)
    axes.set(xlabel="tokens a completion, mean", ylabel="accuracy, %", xlim=(0, 1.12 * most), ylim=PERCENT)
    legend_below(axes)
    said = "; ".join(
        f"{row['model']}: {100 * row['accuracy']:.1f} % with {row['tokens_mean']:.0f} tokens" for row in there
    )
    return picture(figure, f"Accuracy against tokens{of}", said)


def _curves(rows: Sequence[Row], of: str, majority: Mapping[int, Mapping[str, float]]) -> Picture:
    figure = new_figure()
    axes = figure.subplots()
    said = []
    most = 1
    for number, row in enumerate(rows):
        passes = {int(k): value for k, value in json.loads(row["pass_at_k"] or "{}").items() if value is not None}
        votes = {int(k): value for k, value in majority[id(row)].items() if value is not None}
        if not votes and row["maj_at_k"] is not None:
            votes = {int(row["samples_per_problem"]): row["maj_at_k"]}
        if votes and row["accuracy"] is not None:
            votes = {1: row["accuracy"], **votes}  # with one completion the vote is its own answer
        most = max([most, *passes])
        axes.plot(
            list(passes),
            [100 * value for value in passes.values()],
            color=f"C{number}",
            marker="o",
            markersize=4,
            label=plain(str(row["model"])),
        )
        axes.plot(
            list(votes),
            [100 * value for value in votes.values()],
            color=f"C{number}",
            marker="s",
            markersize=4,
            linestyle="--",
        )
        said.append(f"{row['model']}: " + ", ".join(f"pass@{k} {100 * value:.1f} %" for k, value in passes.items()))
    axes.plot([], [], color="#8a8a8a", marker="s", markersize=4, linestyle="--", label="maj@k")
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(most.bit_length())]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="k, completions of a problem", ylabel="score, %", ylim=PERCENT)
    legend_below(axes)
    return picture(figure, f"pass@k and maj@k{of}", "; ".join(said))
