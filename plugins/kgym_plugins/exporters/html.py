"""Rows as one self-contained HTML page: sortable tables with intervals, and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from kgym.options import Options
from kgym.page.board import pictures, tables
from kgym.page.document import Page, render

UNCERTAIN = (
    "Bars and intervals are 95 %. Rank intervals hold for all pairs of a table at once (Holm): overlapping ranks are "
    "not distinguishable."
)


class HtmlOptions(Options):
    """A page of a board."""

    title: str = Field("Leaderboard", min_length=1)
    """Heading of the page."""


class HtmlExporter:
    """Writes a page that needs no network, for a browser."""

    Options = HtmlOptions
    ranked = True

    def __init__(self, options: HtmlOptions) -> None:
        self.options = options

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of the page."""
        results = bool(rows) and "comparability" in rows[0]
        lead = [UNCERTAIN] if results else [] if rows else ["No rows yet; kgym eval --board FILE adds one."]
        return render(Page(title=self.options.title, lead=lead, tables=tables(rows), pictures=pictures(rows)))
