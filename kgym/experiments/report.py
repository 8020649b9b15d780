"""The page of an experiment, as HTML and as Markdown: a verdict on each claim, the figures with their intervals,
pictures and commands.

It is made from the run folders alone, without a date, so the same runs give the same page. Only measured times differ
between two runs of the same experiment, and they are marked.
"""

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kgym.experiments.findings import Figure, verdicts_of
from kgym.experiments.measures import SHARES, measured, series
from kgym.experiments.planning import Planner, Run, scored_name, wanted
from kgym.experiments.table import Claim, Finding, Plot
from kgym.experiments.verdicts import reason, seed_interval
from kgym.page.document import Cell, Column, Page, Table
from kgym.page.picture import COLOURS, INK, Picture, draw_band, drawing, legend_below, new_figure, picture, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOUR_OF = {"agree": COLOURS[2], "disagree": COLOURS[1], "cannot tell": COLOURS[7]}
RULES = {
    "greater": "agrees above 0",
    "less": "agrees below 0",
    "equal": "agrees within ± {margin:g}",
    "at_least": "agrees above -{margin:g}",
    "at_most": "agrees below {margin:g}",
}


@dataclass(frozen=True)
class Report:
    """The contents of a page."""

    planner: Planner
    claims: Sequence[Claim]
    seeds: Sequence[int]
    figures: Sequence[Figure]
    command: str
    """The command that makes the page."""


def page_of(report: Report) -> Page:
    """Return the page."""
    experiment = report.planner.experiment
    tables, appendix = [_verdicts(report), _figures(report)], [_runs(report)]
    return Page(experiment.title, experiment.lead, _facts(report), tables, _pictures(report), appendix)


def markdown(report: Report) -> str:
    """Return the verdicts, figures and commands as Markdown."""
    experiment = report.planner.experiment
    lines = [f"# {experiment.title}", "", *experiment.lead, ""]
    lines += [f"- {name}: {value}" for name, value in _facts(report)]
    for table in (_verdicts(report), _figures(report), _runs(report)):
        lines += ["", f"## {table.title}", ""]
        lines += [*table.notes, ""] if table.notes else []
        lines.append("| " + " | ".join(column.label for column in table.columns) + " |")
        lines.append("|" + "---|" * len(table.columns))
        for row in table.rows:
            cells = [f"{cell.text} ({cell.remark})" if cell.remark else cell.text for cell in row]
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def said(value: float, unit: str, *, signed: bool) -> str:
    """Return a figure for people.

    >>> said(3.14, " points", signed=True), said(0.871, "", signed=False)
    ('+3.1 points', '0.87')
    """
    digits = 2 if abs(value) < 1 and not unit.startswith(" points") else 1
    return f"{value:+.{digits}f}{unit}" if signed else f"{value:.{digits}f}{unit}"


def summary(figure: Figure) -> str:
    """Return a figure with its interval in one line."""
    if figure.missing:
        return "-"
    signed = figure.finding.than is not None
    if math.isnan(figure.value):
        return "not defined: the metric is constant, or missing"
    text = said(figure.value, figure.unit, signed=signed)
    low, high = figure.interval
    if not math.isfinite(low):
        return (
            f"{text} (one seed: no interval)" if len(figure.by_seed) == 1 else f"{text} (all seeds equal: no interval)"
        )
    return f"{text} ({said(low, '', signed=signed)} to {said(high, '', signed=signed)})"


def _facts(report: Report) -> list[tuple[str, str]]:
    counts = Counter(verdicts_of(report.figures).values())
    values = report.planner.values
    return [
        ("paper", report.planner.experiment.source),
        ("verdicts", ", ".join(f"{name} {counts[name]}" for name in ("agree", "disagree", "cannot tell"))),
        ("model", values.get("model", "-")),
        ("environment", values.get("env", "-")),
        ("seeds", ", ".join(map(str, report.seeds))),
        ("command", report.command),
    ]


def _verdicts(report: Report) -> Table:
    found = verdicts_of(report.figures)
    rows = []
    for claim in report.claims:
        own = Counter(figure.verdict for figure in report.figures if figure.claim.id == claim.id)
        counts = ", ".join(f"{own[name]} {name}" for name in ("agree", "disagree", "cannot tell") if own[name])
        rows.append([Cell(claim.id), Cell(claim.says, remark=claim.source), Cell(found[claim.id]), Cell(counts)])
    note = "A claim agrees if all of its figures do, and disagrees if one does."
    return Table(
        "Claims",
        [Column("claim"), Column("what the paper says"), Column("verdict"), Column("its figures")],
        rows,
        [note],
    )


def _figures(report: Report) -> Table:
    columns = [
        Column("claim"),
        Column("figure"),
        Column("arms"),
        Column("measured", numeric=True),
        Column("verdict"),
        Column("runs"),
    ]
    rows = []
    for figure in report.figures:
        finding = figure.finding
        rule = RULES[finding.rule].format(margin=finding.margin)
        if finding.rule in ("greater", "less") and finding.margin:
            rule += f"; less than {finding.margin:g} does not count"
        clock = "; of the clock" if figure.of_the_clock else ""
        rows.append(
            [
                Cell(figure.claim.id),
                Cell(finding.says, remark=f"{finding.measure}; {rule}{clock}"),
                Cell(_compared(report, finding), remark=_means(figure)),
                Cell(summary(figure), sort=figure.value if math.isfinite(figure.value) else "", remark=figure.missing),
                Cell(
                    figure.verdict,
                    remark="" if figure.missing else reason(finding.rule, figure.interval, finding.margin),
                ),
                Cell(", ".join(_run_names(report, finding))),
            ]
        )
    notes = [
        "A figure is the mean over seeds of a difference within a seed, with the 95 % interval by Student's t over "
        "seeds. "
        "The intervals are not corrected for their number: of twenty figures without a difference, one is expected to "
        "show one.",
    ]
    return Table("Figures", columns, rows, notes)


def _compared(report: Report, finding: Finding) -> str:
    of = report.planner.says(finding.of)
    return f"{of}, against {report.planner.says(finding.than)}" if finding.than else of


def _means(figure: Figure) -> str:
    return " against ".join(said(mean, "", signed=False) for mean in figure.means) if len(figure.means) > 1 else ""


def _run_names(report: Report, finding: Finding) -> list[str]:
    names = [scored_name(report.planner.experiment, arm, finding.measure) for arm in (finding.of, finding.than) if arm]
    return [run.arm for name in names if (run := report.planner.run(name, report.seeds[0])) is not None]


def _runs(report: Report) -> Table:
    planner = report.planner
    names = wanted(planner.experiment, [claim.id for claim in report.claims])
    rows = [
        [Cell(run.arm), Cell(f"OMP_NUM_THREADS=1 kgym {shlex.join(run.words)}")]
        for run in planner.runs(report.seeds[0], names)
    ]
    note = f"As given for seed {report.seeds[0]}. The other seeds differ by --seed and by the folders."
    return Table("Commands", [Column("run"), Column("command")], rows, [note])


def _pictures(report: Report) -> list[Picture]:
    found = []
    with drawing():
        if overview := _overview(report.figures):
            found.append(overview)
        for claim in report.claims:
            for plot in claim.plots:
                lines = [line for arm in plot.arms if (line := _line(report, plot, arm)) is not None]
                if lines:
                    found.append(_picture(claim, plot, lines))
    return found


def _overview(figures: Sequence[Figure]) -> Picture | None:
    """Return all differences in points with their intervals, coloured by verdict."""
    shown = [
        figure
        for figure in figures
        if figure.unit == " points" and figure.finding.than and math.isfinite(figure.interval[0])
    ]
    if not shown:
        return None
    drawn = new_figure(8.0, 1.2 + 0.28 * len(shown))
    axes = drawn.subplots()
    for number, figure in enumerate(reversed(shown)):
        low, high = figure.interval
        reach = [[figure.value - low], [high - figure.value]]
        axes.errorbar([figure.value], [number], xerr=reach, fmt="D", capsize=3, color=COLOUR_OF[figure.verdict])
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.set(xlabel="difference, points (green: agree, orange: disagree, grey: cannot tell)", yticks=range(len(shown)))
    axes.set_yticklabels([plain(f"{figure.claim.id}  {figure.finding.says}") for figure in reversed(shown)])
    alt = "; ".join(f"{figure.claim.id} {figure.finding.says}: {summary(figure)}" for figure in shown)
    return picture(drawn, "All differences in points, with 95 % intervals over seeds", alt)


@dataclass(frozen=True)
class _Line:
    """An arm in a picture: one list of points for each seed."""

    name: str
    xs: list[list[float]]
    ys: list[list[float]]


def _line(report: Report, plot: Plot, arm: str) -> _Line | None:
    """Return what a plot shows of an arm; None if one of its runs is missing."""
    planner = report.planner
    name = scored_name(planner.experiment, arm, f"mean {plot.y}" if plot.kind == "curves" else "accuracy")
    runs = [planner.run(name, seed) for seed in report.seeds]
    done = [run for run in runs if run is not None and run.done]
    if not done or len(done) < len(runs):
        return None
    says = planner.says(arm)
    if plot.kind == "curves":
        return _Line(says, [_samples(run) for run in done], [series(run, plot.y) for run in done])
    return _Line(says, [[measured(run, "tokens")] for run in done], [[measured(run, "accuracy")] for run in done])


def _samples(run: Run) -> list[float]:
    """Return the number of completions sampled up to each step."""
    n = 0.0
    found = []
    for tokens, mean in zip(series(run, "rollout/tokens"), series(run, "episode/tokens_mean"), strict=True):
        n += tokens / mean if mean else 0.0
        found.append(n)
    return found


def _picture(claim: Claim, plot: Plot, lines: Sequence[_Line]) -> Picture:
    figure = new_figure()
    axes = figure.subplots()
    {"curves": _draw_curves, "tradeoff": _draw_tradeoff, "points": _draw_points}[plot.kind](axes, plot, lines)
    alt = "; ".join(f"{line.name}: {math.fsum(ys[-1] for ys in line.ys) / len(line.ys):.1f}" for line in lines)
    return picture(figure, f"({claim.id}) {claim.says}", f"last values, mean over seeds: {alt}")


def _draw_curves(axes: "Axes", plot: Plot, lines: Sequence[_Line]) -> None:
    for line in lines:
        draw_band(axes, line.xs, line.ys, plain(line.name))
    unit = ", %" if plot.y.endswith(SHARES) else ""
    axes.set(xlabel="completions sampled (band: all seeds)", ylabel=f"{plot.y}{unit}")
    legend_below(axes)


def _draw_tradeoff(axes: "Axes", _plot: Plot, lines: Sequence[_Line]) -> None:
    for number, line in enumerate(lines):
        xs, ys = [x for (x,) in line.xs], [y for (y,) in line.ys]
        colour = f"C{number}"
        axes.scatter(xs, ys, s=12, alpha=0.4, color=colour)
        axes.scatter(
            [math.fsum(xs) / len(xs)], [math.fsum(ys) / len(ys)], s=60, marker="D", color=colour, label=plain(line.name)
        )
    axes.set(xlabel="mean tokens of a completion", ylabel="accuracy, % (diamond: mean over seeds)")
    legend_below(axes)


def _draw_points(axes: "Axes", _plot: Plot, lines: Sequence[_Line]) -> None:
    for number, line in enumerate(reversed(lines)):
        ys = [y for (y,) in line.ys]
        mean = math.fsum(ys) / len(ys)
        low, high = seed_interval(ys)
        reach = [[mean - low], [high - mean]] if math.isfinite(low) else None
        axes.errorbar([mean], [number], xerr=reach, fmt="D", capsize=3, color="C0")
        axes.scatter(ys, [number] * len(ys), s=12, alpha=0.4, color="C1")
    axes.set(xlabel="accuracy, % (bar: 95 % over seeds; dots: seeds)", yticks=range(len(lines)))
    axes.set_yticklabels([plain(line.name) for line in reversed(lines)])
    axes.grid(visible=False, axis="y")
