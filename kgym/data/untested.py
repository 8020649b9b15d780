"""From a row of a data file to a programming problem without tests: its question, its reference solutions, and the
program that generates inputs.

    {"question": "Print the sum of two numbers.", "solutions": ["a, b = ..."], "generator": "import random\\nprint(.."}
    {"question": "Return the sum.", "function": "add", "solutions": "[\\"def add(a, b): ...\\"]", "time_limit": "2 s"}
    {"description": "...", "input_format": "...",                                       # CodeContests
     "solutions": {"language": [3, 2], "solution": ["...", "..."]}}
"""

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from kgym.data.cells import Row, first_text
from kgym.data.columns import ID, LEVEL, SUBJECT
from kgym.errors import DataError
from kgym.judging.cases import Cases, Compare, Kind
from kgym.judging.extract import program_of

QUESTION = ("question", "question_content", "description", "problem", "text", "prompt")
REFERENCES = ("solutions", "references", "reference_solutions", "canonical_solution", "code", "solution")
GENERATOR = ("generator", "input_generator")
CHECKER = ("checker", "generated_checker")
FUNCTION = ("function", "entry_point", "metadata.func_name", "input_output.fn_name")
PARTS = (("Input", "input_format"), ("Output", "output_format"))
PYTHON = {"3", "python3", "python", "py3"}
"""Names of the accepted language in data sets; CodeContests writes 3."""
COLUMNS = (
    *QUESTION,
    *REFERENCES,
    *GENERATOR,
    *CHECKER,
    *FUNCTION,
    *(column for _, column in PARTS),
    *ID,
    *LEVEL,
    *SUBJECT,
)
MORE = ("starter_code", "compare", "time_limit", "memory_limit")
MIB = {"b": 1 / (1 << 20), "k": 1 / (1 << 10), "g": 1 << 10}


@dataclass(frozen=True)
class Untested:
    """A programming problem without tests."""

    id: str
    question: str
    level: int
    subject: str
    references: tuple[str, ...]
    """Programs that are said to solve it, in order."""
    generator: str
    """A program that prints an input; "" if there is none."""
    function: str
    """Name of the function that the problem asks for; "" if it asks for a program."""
    compare: Compare
    checker: str
    time_s: float
    memory_mib: int

    @property
    def kind(self) -> Kind:
        """The kind of its tests."""
        return "call" if self.function else "stdin"

    def cases(self, cases: Iterable[tuple[Any, Any]]) -> Cases:
        """Return its tests. Raises ValueError for values that tests cannot have."""
        return Cases(
            self.kind,
            tuple(cases),
            self.function,
            self.compare,
            self.checker,
            time_s=self.time_s,
            memory_mib=self.memory_mib,
        )


def untested(rows: Iterable[Row], name: str) -> list[Untested]:
    """Return the problems of rows; ids begin with `name`. Raises DataError, with the place of the row, for a row that
    cannot be read.
    """
    found: list[Untested] = []
    places: dict[str, str] = {}
    for row in rows:
        problem = _problem(row, name)
        if (before := places.setdefault(problem.id, row.where)) != row.where:
            raise DataError(f"{row.where}: the id of {before} again, {problem.id}; give each problem its own id")
        found.append(problem)
    if not found:
        raise DataError("the files have no rows")
    return found


def _problem(row: Row, name: str) -> Untested:
    question = first_text(row, QUESTION)
    if not question:
        raise DataError(f"{row.where}: no question; the columns searched are {', '.join(QUESTION)}")
    parts = [question, *(f"{title}\n{text}" for title, column in PARTS if (text := first_text(row, (column,))))]
    if starter := first_text(row, ("starter_code",)):
        parts.append(f"Begin with:\n{starter}")
    try:
        problem = Untested(
            id=f"{name}/{first_text(row, ID) or row.where.rpartition(' ')[2]}",
            question="\n\n".join(parts),
            level=int(level) if (level := first_text(row, LEVEL)).isdecimal() and int(level) <= 10 else 0,
            subject=first_text(row, SUBJECT),
            references=_references(row.values),
            generator=_source(first_text(row, GENERATOR)),
            function=first_text(row, FUNCTION),
            compare=cast("Compare", first_text(row, ("compare",)) or "tokens"),  # Cases checks it
            checker=_source(first_text(row, CHECKER)),
            time_s=_seconds(first_text(row, ("time_limit",))),
            memory_mib=_mib(first_text(row, ("memory_limit",))),
        )
        problem.cases([([], None) if problem.function else ("", "")])
    except ValueError as error:
        raise DataError(f"{row.where}: {error}") from None
    return problem


def _references(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the Python programs of the first column that has any."""
    for column in REFERENCES:
        found = values.get(column)
        if isinstance(found, str) and found.lstrip()[:1] in "[{":
            with contextlib.suppress(ValueError, RecursionError):  # a program may begin with a bracket
                found = json.loads(found)
        if isinstance(found, Mapping):
            pairs = zip(found.get("language") or (), found.get("solution") or (), strict=False)
            found = [source for language, source in pairs if str(language).lower() in PYTHON]
        if isinstance(found, str):
            found = [found]
        if isinstance(found, list) and (
            sources := [_source(one) for one in found if isinstance(one, str) and one.strip()]
        ):
            return tuple(dict.fromkeys(sources))
    return ()


def _source(text: str) -> str:
    return program_of(text) or text


def _seconds(text: str) -> float:
    """Return the seconds of `2`, `2.0 seconds` and `2000 ms`; for an empty text the default of `Cases`."""
    number = _number(text, "time limit")
    if number is None:
        return Cases.time_s
    return number / 1000 if re.search(r"\bms\b|milli", text) else number


def _mib(text: str) -> int:
    """Return the MiB of `256`, `256 megabytes` and of a number of bytes."""
    number = _number(text, "memory limit")
    if number is None:
        return Cases.memory_mib
    unit = re.sub(r"[\d.\s]", "", text.lower())[:1] or ("b" if number > 1 << 16 else "m")
    return max(16, int(number * MIB.get(unit, 1)))


def _number(text: str, what: str) -> float | None:
    if not text or text.lower() == "none":
        return None
    number = re.match(r"\s*(\d+(?:\.\d+)?)", text)
    if number is None:
        raise ValueError(f"the {what} {text[:40]!r} is not a number")
    return float(number[1])
