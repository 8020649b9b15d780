"""How a table fits its terminal. Keys and names can be copied, as a word is never broken.

These steps are taken in order until it fits: leave out columns without content; wrap prose between words, the widest
column first; shorten the columns that may give way (paths) from the left, at a separator; leave them out; write each
row as several lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

GAP = 3
"""Characters between two columns of the table."""
SHORTEST_PATH = 12
"""Fewest characters of a shortened path that is still useful."""
FIGURE = 20
"""A column up to this width contains figures or names, which wrap only after all prose."""
EMPTY = ("", "-")
"""Contents of an empty cell."""


@dataclass(frozen=True)
class Layout:
    """A table that fits the terminal."""

    columns: list[str]
    rows: list[list[str]]
    widths: list[int]
    left_out: list[str]
    """Columns with content that had to be left out."""
    as_lines: bool = False
    """Whether each row is written as lines `column  cell`, since nothing else fits."""


def layout(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, gives_way: Sequence[str] = ()
) -> Layout:
    """Fit a table into `width` characters, or into as many as it needs if that is None."""
    kept = [place for place in range(len(columns)) if not rows or any(row[place].strip() not in EMPTY for row in rows)]
    table = _Table([columns[place] for place in kept], [[row[place] for place in kept] for row in rows])
    if width is None or table.least <= width:
        return table.laid_out(width, [])
    giving = [name for name in table.columns if name in gives_way]
    for name in giving:
        place = table.columns.index(name)
        room = width - (table.least - table.least_widths[place])
        shorter = [shortened_path(row[place], room) for row in table.rows]
        if room >= SHORTEST_PATH and _width(name) <= room and None not in shorter:
            for row, text in zip(table.rows, shorter, strict=True):
                row[place] = text or ""
            return _Table(table.columns, table.rows).laid_out(width, [])
    left = [place for place, name in enumerate(table.columns) if name not in giving]
    rest = _Table([table.columns[place] for place in left], [[row[place] for place in left] for row in table.rows])
    if rest.least <= width:
        return rest.laid_out(width, giving)
    return Layout(table.columns, table.rows, table.natural_widths, [], as_lines=True)


def shortened_path(path: str, room: int) -> str | None:
    """Return a path that fits, cut from the left at a separator; None if not even its last part fits.

    >>> shortened_path("runs/eval/nano-aime", 12), shortened_path("runs/eval/nano-aime", 8)
    ('…/nano-aime', None)
    """
    if _width(path) <= room:
        return path
    parts = path.split("/")
    for first in range(1, len(parts)):
        if _width(text := "…/" + "/".join(parts[first:])) <= room:
            return text
    return None


class _Table:
    """A table with the natural and the least widths of its columns."""

    def __init__(self, columns: list[str], rows: list[list[str]]) -> None:
        self.columns, self.rows = columns, rows
        cells = [[name, *(row[place] for row in rows)] for place, name in enumerate(columns)]
        self.natural_widths = [
            max(_width(line) for text in column for line in text.split("\n") or [""]) for column in cells
        ]
        self.least_widths = [
            max((_width(word) for text in column for word in text.split()), default=0) for column in cells
        ]

    @property
    def least(self) -> int:
        """Least width without a broken word."""
        return sum(self.least_widths) + GAP * max(0, len(self.columns) - 1)

    def laid_out(self, width: int | None, left_out: list[str]) -> Layout:
        """Narrow the widest columns that can wrap until the table fits."""
        widths = list(self.natural_widths)
        excess = 0 if width is None else sum(widths) + GAP * max(0, len(widths) - 1) - width
        while excess > 0:
            able = [place for place in range(len(widths)) if widths[place] > max(FIGURE, self.least_widths[place])]
            able = able or [place for place in range(len(widths)) if widths[place] > self.least_widths[place]]
            widest = max(able, key=widths.__getitem__)
            second = max((widths[place] for place in able if place != widest), default=0)
            least = max(self.least_widths[widest], FIGURE if widths[widest] > FIGURE else 0)
            step = min(excess, max(1, widths[widest] - second), widths[widest] - least)
            widths[widest] -= step
            excess -= step
        return Layout(self.columns, self.rows, widths, left_out)


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
