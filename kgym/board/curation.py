"""The report of a curation: how many problems were left out and why, and histograms of those that are kept, as a page
and as a picture.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgym.errors import RunError
from kgym.page.document import Cell, Column, Page, Table
from kgym.page.picture import Picture, drawing, legend_below, new_figure, picture
from kgym.score.curation import HARDEST, Curated, CurationConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 10
"""Bins of the histogram of pass rates."""


def curation_page(name: str, config: CurationConfig, curated: Curated) -> Page:
    """Return the page of a curation."""
    n = len(curated.looked_at)
    facts = [
        ("data set", name),
        ("from", f"{config.env}:{config.split}, {n} problems"),
        ("kept", f"{len(curated.kept)} ({len(curated.kept) / n:.1%})"),
        ("pass rates", f"{config.samples} completions of {config.model} at temperature {config.temperature:g}"),
        (
            "guesses",
            f"{config.guesses} completions without reasoning, up to {config.guess_tokens} tokens"
            if config.guesses
            else "not looked for",
        ),
    ]
    if config.against:
        facts.append(("compared with", ", ".join(config.against)))
    reasons = Table(
        "What was left out",
        [Column("reason"), Column("problems", numeric=True)],
        [[Cell(reason), _count(count)] for reason, count in curated.reasons.items()],
    )
    subjects = Counter(problem.subject or "-" for problem in curated.looked_at)
    kept = Counter(problem.subject or "-" for problem in curated.kept)
    rows = [[Cell(subject), _count(count), _count(kept[subject])] for subject, count in subjects.items()]
    by_subject = Table(
        "Subjects", [Column("subject"), Column("looked at", numeric=True), Column("kept", numeric=True)], rows
    )
    return Page(f"Curation of {name}", facts=facts, tables=[reasons, by_subject], pictures=_pictures(curated))


def _count(n: int) -> Cell:
    return Cell(str(n), sort=n)


def draw_curation(curated: Curated, out: Path) -> None:
    """Draw both histograms into a PNG file. Raises RunError if it cannot be written."""
    with drawing():
        figure = new_figure(9, 3.4)
        left, right = (part.subplots() for part in figure.subfigures(1, 2, squeeze=False)[0])
        _draw_rates(left, curated)
        _draw_levels(right, curated)
        try:
            figure.savefig(out, dpi=150, facecolor="white")
        except OSError as error:
            raise RunError(f"cannot write {out}: {error.strerror}") from error


def _pictures(curated: Curated) -> list[Picture]:
    found = []
    with drawing():
        for title, draw in (("Pass rates", _draw_rates), ("Difficulty of the problems kept", _draw_levels)):
            figure: Figure = new_figure()
            said = draw(figure.subplots(), curated)
            found.append(picture(figure, title, said))
    return found


def _draw_rates(axes: "Axes", curated: Curated) -> str:
    """Draw the pass rates of all problems and of those that are kept; return them in words."""
    kept = [curated.rates[problem.id] for problem in curated.kept]
    edges = [number / BINS for number in range(BINS + 1)]
    axes.hist([*curated.rates.values()], bins=edges, color="#8a8a8a", alpha=0.5, label="all")
    axes.hist(kept, bins=edges, label="kept")
    axes.set(xlabel="pass rate", ylabel="problems")
    legend_below(axes)
    return f"mean pass rate {_mean([*curated.rates.values()]):.1%} of all problems, {_mean(kept):.1%} of those kept"


def _draw_levels(axes: "Axes", curated: Curated) -> str:
    """Draw the levels of the problems that are kept; return them in words."""
    levels = Counter(problem.level for problem in curated.kept)
    axes.bar(range(1, HARDEST + 1), [levels[level] for level in range(1, HARDEST + 1)], label="kept")
    axes.set(xlabel="level, 10 is never solved", ylabel="problems", xticks=range(1, HARDEST + 1))
    return ", ".join(f"level {level}: {levels[level]}" for level in sorted(levels))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def facts_of(config: CurationConfig, curated: Curated) -> dict[str, Any]:
    """Return what the data set stores about its origin."""
    return {
        "curated": config.model_dump(mode="json", exclude_defaults=True),
        "looked_at": len(curated.looked_at),
        "left_out": curated.reasons,
    }
