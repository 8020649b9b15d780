"""A comparison of runs as a picture and as a page."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kgym.board.compare import say_p
from kgym.board.plots import STYLE, save
from kgym.board.view import SERIES
from kgym.errors import ConfigError
from kgym.experiments.comparison import Comparison, Difference, Group, mean_and_spread, setting
from kgym.experiments.measures import SHARES
from kgym.page.document import Cell, Column, Page, Table
from kgym.page.picture import PERCENT, Picture, draw_band, drawing, legend_below, new_figure, picture, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIRST = ("eval/accuracy", "reward/mean")
"""Metrics whose curves come first."""
MOST_KEYS_FIRST = 12
"""With more keys than this, their table is at the end of the page."""


def tables_of(found: Comparison) -> list[Table]:
    """Return the keys that differ, the scores of each group, and the differences from the first."""
    tables = [_keys(found)]
    tables += [_scores(found)] if found.labels else []
    return tables + ([_differences(found)] if found.differences else [])


def _keys(found: Comparison) -> Table:
    columns = [Column("key"), *(Column(group.name) for group in found.groups)]
    rows = [[Cell(key), *(Cell(setting(group, key)) for group in found.groups)] for key in found.keys]
    notes = [] if found.keys else ["All runs have the same configuration except for the seed."]
    return Table("Keys that differ", columns, rows, notes)


def _scores(found: Comparison) -> Table:
    columns = [Column("group"), Column("problems of")]
    columns += [Column(name, True) for name in ("runs", "accuracy, points", "spread")]
    rows = []
    for group in found.groups:
        for label in found.labels:
            if by_seed := group.accuracies(label):
                mean, spread = mean_and_spread(by_seed.values())
                runs = Cell(str(len(by_seed)), len(by_seed))
                rows.append([Cell(group.name), Cell(label), runs, _number(mean), _number(spread)])
    notes = ["The newest score of each run: mean and standard deviation over seeds."]
    return Table("Scores", columns, rows, notes)


def _number(value: float) -> Cell:
    return Cell(f"{value:.1f}", value) if math.isfinite(value) else Cell("-", "")


def _differences(found: Comparison) -> Table:
    columns = [
        Column("group"),
        Column("problems of"),
        Column("difference, points", True),
        Column("95 % over problems"),
        Column("95 % over seeds"),
    ]
    rows = [
        [Cell(text) if place != 2 else Cell(text, _sort(each)) for place, text in enumerate(described(each))]
        for each in found.differences
    ]
    notes = [
        f"Differences from {found.groups[0].name}. Over problems: the means over seeds, paired by problem, for these "
        "trained models. Over seeds: Student's t of the differences within a seed, for other runs with the same "
        "settings; it needs two seeds that both groups have."
    ]
    return Table("Differences", columns, rows, notes)


def _sort(each: Difference) -> float | str:
    return "" if each.over_problems is None else each.over_problems.difference


def described(each: Difference) -> tuple[str, str, str, str, str]:
    """Return a difference for people: group, label, difference, its interval over problems, and over seeds."""
    test = each.over_problems
    low, high = each.over_seeds
    over_seeds = f"{low:+.1f} to {high:+.1f}, {len(each.by_seed)} seeds" if math.isfinite(low) else "-"
    if test is None:
        return each.of, each.label, "-", f"not compared: {each.why_not}", over_seeds
    bounds = " to ".join(f"{100 * end:+.1f}" for end in test.interval)
    return (
        each.of,
        each.label,
        f"{100 * test.difference:+.1f}",
        f"{bounds}, {test.n} problems, {say_p(test.p_value)}",
        over_seeds,
    )


def page_of(found: Comparison) -> Page:
    """Return the page of a comparison."""
    n_runs = sum(len(group.runs) for group in found.groups)
    lead = [f"{n_runs} runs in {len(found.groups)} groups; runs of a group differ only in the seed."]
    pictures: list[Picture] = []
    with drawing():
        for key in metrics_of(found):
            figure = new_figure()
            drawn = draw_metric(figure.subplots(), found.groups, key)
            pictures.append(picture(figure, title_of(key), "; ".join(drawn)))
    keys, *results = tables_of(found)
    many = len(keys.rows) > MOST_KEYS_FIRST
    tables = results if many else [keys, *results]
    return Page("Comparison of runs", lead, (), tables, pictures, [keys] if many else [])


def plot(found: Comparison, out: Path) -> None:
    """Draw all curves into a picture.

    Raises ConfigError if no run has metrics or the suffix is unknown, RunError if it cannot be written.
    """
    keys = metrics_of(found)
    if not keys:
        raise ConfigError("nothing to plot: none of the runs has metrics of steps")
    import matplotlib as mpl  # noqa: PLC0415  (heavy, and only here)

    with mpl.rc_context(STYLE):
        from matplotlib.figure import Figure  # noqa: PLC0415  (no pyplot: it would look for a display)

        rows = -(-len(keys) // 2)
        figure = Figure(figsize=(9, 3.6 * rows), dpi=150, layout="constrained")
        for part, key in zip(figure.subfigures(rows, 2, squeeze=False).flatten(), keys, strict=False):
            axes = part.subplots()
            draw_metric(axes, found.groups, key)
            axes.set_title(title_of(key))
            axes.locator_params(axis="x", integer=True)
        save(figure, out)


def metrics_of(found: Comparison) -> list[str]:
    """Return the metrics that get a picture: scores, reward, and what `kgym runs view` shows, where a run has them."""
    there = dict.fromkeys(
        key
        for group in found.groups
        for run in group.runs
        for line in run.lines
        for key in line
        if line[key] is not None
    )
    scores = [key for key in there if key.endswith("/accuracy")]
    return [key for key in dict.fromkeys((*FIRST, *scores, *SERIES)) if key in there]


def title_of(key: str) -> str:
    """Return the heading of a metric's picture."""
    named = {"eval/accuracy": "Validation", "reward/mean": "Reward in training"}
    return named.get(key) or (SERIES[key][0] if key in SERIES else key.removesuffix("/accuracy"))


def draw_metric(axes: "Axes", groups: Sequence[Group], key: str) -> list[str]:
    """Draw a metric of every group, with a band over its seeds; return what was drawn in words."""
    factor, unit = (100.0, "%") if key.endswith(SHARES) else (1.0, SERIES[key][1] if key in SERIES else "mean")
    drawn = []
    for group in groups:
        rows = [_points(run.lines, key, factor) for run in group.runs]
        rows = [row for row in rows if row]
        if not rows:
            continue
        steps = sorted(set.intersection(*map(set, rows)))
        ys = [[row[step] for step in steps] for row in rows]
        draw_band(axes, [steps] * len(rows), ys, plain(f"{group.name} ({len(rows)})" if len(rows) > 1 else group.name))
        if steps:
            drawn.append(
                f"{group.name}: {math.fsum(row[steps[-1]] for row in rows) / len(rows):.3g} at step {steps[-1]}"
            )
    axes.set(xlabel="step (band: all seeds)", ylabel=unit)
    if factor > 1:
        axes.set_ylim(*PERCENT)
    legend_below(axes)
    return drawn


def _points(lines: Sequence[dict[str, float]], key: str, factor: float) -> dict[int, float]:
    return {int(line["step"]): factor * line[key] for line in lines if line.get(key) is not None}
