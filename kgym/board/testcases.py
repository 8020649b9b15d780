"""The report of generated tests: how many problems were taken and why the others were not, as a page."""

from kgym.page.document import Cell, Column, Page, Table
from kgym.score.testcases import Made, Outcome, TestcasesConfig

COUNTS = ("proposed", "valid", "references", "passed")


def testcases_page(name: str, config: TestcasesConfig, made: Made) -> Page:
    """Return the page of generated tests."""
    n = len(made.outcomes)
    facts = [
        ("data set", name),
        ("taken", f"{len(made.taken)} of {n} problems ({len(made.taken) / n:.1%})"),
        ("proposed", f"{config.cases} inputs for each problem"),
        (
            "valid",
            f"cases on which {config.agree:g} of up to {config.references} references agree, at least "
            f"{config.min_cases}",
        ),
        ("passing", f"{config.passing:g} of the references have to pass all valid cases"),
    ]
    if config.model:
        facts.append(("model", f"{config.model} wrote generators and references for problems that have none"))
    reasons = Table(
        "Why problems were not taken",
        [Column("reason"), Column("problems", numeric=True)],
        [[Cell(reason), _count(count)] for reason, count in made.reasons.items()],
    )
    columns = [Column("problem"), Column("taken"), *(Column(count, numeric=True) for count in COUNTS)]
    return Page(
        f"Tests of {name}",
        facts=facts,
        tables=[reasons, Table("Problems", columns, [_row(outcome) for outcome in made.outcomes])],
    )


def _row(outcome: Outcome) -> list[Cell]:
    return [Cell(outcome.id), Cell(outcome.reason or "yes"), *(_count(getattr(outcome, count)) for count in COUNTS)]


def _count(n: int) -> Cell:
    return Cell(str(n), sort=n)
