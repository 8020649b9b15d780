"""Rows as a picture: a point and its 95 % interval for each row, one panel for each set of rows that may be
compared.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from kgym.errors import ConfigError
from kgym.neutral import one_line
from kgym.options import Options

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY = "#1f5fa8", "#8a8a8a"
ROW_INCHES, PANEL_INCHES = 0.3, 1.1
TALLEST = 120
"""Most rows of one picture; a larger picture could not be opened."""
NAME = 48
"""Most characters of a name."""


class PlotOptions(Options):
    """A picture of a board."""

    suffix: Literal["svg", "png"] = "svg"
    """Format of the picture; with -o, the suffix of the file's name."""
    width: float = Field(9.0, gt=2, le=40)
    """Inches."""


class PlotExporter:
    """Draws accuracy and 95 % interval of each row, or the published points with the interval for the choice of
    problems.
    """

    Options = PlotOptions
    ranked = True

    def __init__(self, options: PlotOptions) -> None:
        self.options = options

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str | bytes:
        """Return an SVG as text, or the bytes of a PNG. Raises ConfigError for a board without rows, or with too
        many for a picture.
        """
        if not 0 < len(rows) <= TALLEST:
            raise ConfigError(f"{len(rows)} rows: a picture has 1 to {TALLEST}; choose some with --bench or --model")
        import matplotlib as mpl  # noqa: PLC0415  (heavy, and only here)

        panels: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for row in rows:
            panels.setdefault((row["benchmark"], row.get("comparability", "")), []).append(row)
        style = {
            "axes.spines.top": False,
            "axes.spines.right": False,
            "font.size": 9,
            "svg.hashsalt": "kgym",
            "axes.titlelocation": "left",
        }
        with mpl.rc_context(style), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name may be in any script
            from matplotlib.figure import Figure  # noqa: PLC0415  (no pyplot: it would look for a display)

            heights = [ROW_INCHES * len(block) + PANEL_INCHES for block in panels.values()]
            figure = Figure(figsize=(self.options.width, sum(heights)), dpi=150, layout="constrained")
            axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
            for axis, block in zip(axes, panels.values(), strict=True):
                _panel(axis, block)
            out = io.BytesIO()
            figure.savefig(
                out, format=self.options.suffix, metadata={"Date": None} if self.options.suffix == "svg" else None
            )
        return out.getvalue().decode() if self.options.suffix == "svg" else out.getvalue()


def _panel(axes: "Axes", rows: Sequence[Mapping[str, Any]]) -> None:
    results = "comparability" in rows[0]
    points = [_point(row) if results else _published(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: -points[i][0])
    for place, index in enumerate(order):
        value, low, high = points[index]
        axes.plot(
            [low, high],
            [place, place],
            color=BLUE if results else GREY,
            linewidth=2.2,
            alpha=0.55,
            solid_capstyle="round",
        )
        axes.plot([value], [place], "o", color=BLUE, markersize=5)
        label = f"{value:.1f}" + (
            f"  (rank {_rank(rows[index])})" if rows[index].get("rank_low") is not None and len(rows) > 1 else ""
        )
        axes.annotate(
            label,
            (min(max(value, high), 100), place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color="#444444",
        )
    names = [one_line(_name(rows[index], rows), NAME) for index in order]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    first = rows[0]
    title = f"{first['benchmark']}: published figures"
    if results:
        asked = (("n_problems", "problems"), ("max_tokens", "tokens"))
        said = [f"{first[key]} {unit}" for key, unit in asked if first[key] is not None]
        said += [f"temperature {first['temperature']:g}"] if first["temperature"] is not None else []
        said += [f"hash {str(first['comparability'])[:12]}"]
        title = f"{first['benchmark']}: {', '.join(said)}"
    axes.set_title(one_line(title, 110), fontsize=9.5)
    axes.set_xlabel(
        "accuracy in %, with 95 % interval"
        if results
        else "points as printed, with 95 % intervals for the choice of problems"
    )
    for text in (*axes.get_yticklabels(), axes.title):
        text.set_parse_math(False)  # a name with dollar signs is not a formula


def _name(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the model, with the setting that distinguishes its rows if it has several."""
    twins = [other for other in rows if other["model"] == row["model"]]
    if len(twins) == 1:
        return str(row["model"])
    for key, word in (
        ("seed", "seed "),
        ("samples_per_problem", "k = "),
        ("metric", ""),
        ("source", ""),
        ("note", ""),
        ("date", ""),
    ):
        if len({other.get(key) for other in twins}) == len(twins):
            return f"{row['model']} ({word}{row[key]})"
    return str(row["model"])


def _point(row: Mapping[str, Any]) -> tuple[float, float, float]:
    value = float("nan") if row["accuracy"] is None else 100 * row["accuracy"]
    bounds = [row["interval_low"], row["interval_high"]]
    low, high = (value, value) if None in bounds else (100 * bound for bound in bounds)
    return value, low, high


def _published(row: Mapping[str, Any]) -> tuple[float, float, float]:
    low, high = row.get("interval_low"), row.get("interval_high")
    if low is None or high is None:
        return row["figure"], row["figure"], row["figure"]
    return row["figure"], 100 * low, 100 * high


def _rank(row: Mapping[str, Any]) -> str:
    return f"{row['rank_low']}" if row["rank_low"] == row["rank_high"] else f"{row['rank_low']}-{row['rank_high']}"
