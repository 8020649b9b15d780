"""The page: a template, one style sheet, one script, and a policy that allows nothing else."""

import base64
import hashlib
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kgym.page.answers import Answers
from kgym.page.picture import Picture


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    sort: float | str | None = None
    """Value that the cell is sorted by, instead of its text."""
    interval: tuple[float, float, float] | None = None
    """Low, value, high between 0 and 100, drawn as a bar next to the text."""
    remark: str = ""
    """A smaller line under the text."""


@dataclass(frozen=True)
class Column:
    """A column of a table. Numbers are aligned right and sorted as numbers."""

    label: str
    numeric: bool = False
    help: str = ""


@dataclass(frozen=True)
class Table:
    """A table that the reader sorts by a click on a column head."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """The parts of a page, from top to bottom; empty parts are left out."""

    title: str
    lead: Sequence[str] = ()
    """Lines under the title."""
    facts: Sequence[tuple[str, str]] = ()
    """Names and values."""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    appendix: Sequence[Table] = ()
    """Tables after the pictures."""
    answers: Answers | None = field(default=None, repr=False)


def render(page: Page) -> str:
    """Return the page as one HTML text that needs no other file and no network."""
    return _rendered("page.html", ("page.css",), ("text.js", "page.js"), "", page=page)


def render_live(title: str) -> str:
    """Return the page that asks its own server for `state.json`, and no other server for anything."""
    return _rendered("live.html", ("page.css", "live.css"), ("text.js", "live.js"), "connect-src 'self'; ", title=title)


def _rendered(template: str, styles: Sequence[str], scripts: Sequence[str], allowed: str, **values: Any) -> str:
    """Return a page that contains its style and script; its policy allows these two, embedded images and `allowed`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  (only needed to write a page)

    loader = PackageLoader("kgym.page", "static")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    static = importlib.resources.files("kgym.page") / "static"
    style, script = (
        "".join((static / name).read_text(encoding="utf-8") for name in names) for names in (styles, scripts)
    )
    policy = (
        f"default-src 'none'; img-src data:; {allowed}style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(style=style, script=script, policy=policy, **values)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
