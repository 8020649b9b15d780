"""A figure of matplotlib as an image inside the page. Its ink follows the reader's theme, light or dark."""

import base64
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kgym.neutral import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#102030"
"""Colour that is replaced by the theme's own."""
PERCENT = (-2, 102)
"""Ends of an axis of shares, so that lines at 0 and 100 are fully visible."""
COLOURS = ("#3b82c4", "#d9662b", "#2f9e6e", "#9a6fd6", "#c2a01e", "#c94f7c", "#4fa8a8", "#8a8a8a")
"""Readable on white and on black."""
THEME = "<style>svg{color:#1d2430}@media(prefers-color-scheme:dark){svg{color:#d7dde6}}</style>"


@dataclass(frozen=True)
class Picture:
    """An image with its heading and a description in words."""

    title: str
    alt: str
    source: str = field(repr=False)
    """A `data:` address."""


@contextmanager
def drawing() -> Iterator[None]:
    """Set the style of the page's figures: make a `Figure` inside, and turn it into a `Picture` inside too."""
    import matplotlib as mpl  # noqa: PLC0415  (heavy, and only here)
    from cycler import cycler  # noqa: PLC0415

    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    style = dict.fromkeys(inks, INK) | {
        "axes.grid": True,
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.family": "sans-serif",
        "font.size": 10,
        "grid.alpha": 0.3,
        "grid.color": "#8a8a8a",
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "kgym",
    }
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name may be in any script
        yield


def new_figure(width: float = 5.6, height: float = 3.4) -> "Figure":
    """Return an empty figure of this size, in inches."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (no pyplot: it would look for a display)

    return Figure(figsize=(width, height), layout="constrained")


def legend_below(axes: "Axes") -> None:
    """Put the legend of the only axes of a figure, or of a subfigure, below them, where it covers no line."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if len(labels) > 1 and max(map(len, labels)) > 24 else 2
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9, frameon=False)


def draw_band(axes: "Axes", xs: Sequence[Sequence[float]], ys: Sequence[Sequence[float]], label: str) -> None:
    """Draw the mean of several runs as a line and their range as a band; longer runs are cut to the shortest."""
    mean_x, mean_y = ([math.fsum(column) / len(column) for column in zip(*rows, strict=False)] for rows in (xs, ys))
    (drawn,) = axes.plot(mean_x, mean_y, label=label, marker="o" if len(mean_x) < 2 else None)
    if len(ys) > 1:
        low, high = ([pick(column) for column in zip(*ys, strict=False)] for pick in (min, max))
        axes.fill_between(mean_x, low, high, color=drawn.get_color(), alpha=0.15, linewidth=0)


def picture(figure: "Figure", title: str, alt: str) -> Picture:
    """Return a figure as an image. Names in it are shown unchanged: a dollar sign does not begin a formula."""
    for text in figure.findobj(lambda artist: hasattr(artist, "set_parse_math")):
        text.set_parse_math(False)  # type: ignore[attr-defined]
    out = io.StringIO()
    figure.savefig(
        out, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    start = svg.index(">") + 1
    return Picture(
        title,
        alt,
        "data:image/svg+xml;base64," + base64.b64encode((svg[:start] + THEME + svg[start:]).encode()).decode(),
    )


def plain(text: str) -> str:
    """Return a name as one line that is not too long for a legend."""
    return one_line(text, 44)
