"""From a row of a data file to a problem, whatever its columns are called.

    {"ID": "2024-I-1", "Problem": "Every morning ...", "Answer": 204}                        a number
    {"problem": "...", "solution": "... \\\\boxed{204}"}                                        only in the solution
    {"prompt": [{"role": "user", "content": "..."}], "reward_model": {"ground_truth": "73"}}  training rows
    {"question": "...", "answer": "... #### 72"}                                             behind four hashes

The first of the known columns that has something in it counts. The gold answer stays the raw text, leading zeros and LaTeX kept; a box
around the whole of it is taken off.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kgym.envs.known import integer_answer, year_of
from kgym.errors import DataError
from kgym.hookspecs import DatasetInfo
from kgym.types import Problem

QUESTION = ("problem", "question", "Problem", "Question", "extra_info.raw_problem", "prompt")
"""The raw problem before the prompt, which has somebody's instruction around it."""
GOLD = (
    "answer",
    "Answer",
    "expected_answer",
    "ground_truth",
    "reward_model.ground_truth",
    "final_answer",
    "gold_answer",
    "target",
)
SOLUTION = ("solution", "Solution", "reference_solution")
ID = ("unique_id", "ID", "id", "problem_idx", "index", "Problem Number")
LEVEL = ("level", "Level")
SUBJECT = ("subject", "Subject", "type", "problem_type")
HASHES = "####"

_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{3})+")
_BOX = re.compile(r"\\(?:boxed|framebox|fbox)\s*\{")


@dataclass(frozen=True)
class Row:
    """A row and where it stands, for messages: `line 17`."""

    where: str
    values: Mapping[str, Any]


def problems_of(rows: Iterable[Row], name: str, known: DatasetInfo | None = None) -> tuple[list[Problem], list[str]]:
    """Return the problems of a data set called `name`, their ids beginning with it, and what was left out, in words.

    A question that stands there twice is kept once, and rows of other years than the data set's are left out. Ids that are missing or not
    unique give way to hashes of the questions. Raises DataError, naming the first one, for rows without a question or a gold answer, for
    one question with two answers, and for answers that the data set cannot have.
    """
    problems: list[Problem] = []
    lines: list[str] = []
    first: dict[str, int] = {}
    notes, bad = [], []
    others: Counter[int] = Counter()
    for row in rows:
        if known is not None and known.year is not None and (year := year_of(row.values)) not in (None, known.year):
            others[year] += 1
            continue
        try:
            problem = _problem(row, None if known is None else known.max_answer)
        except DataError as error:
            bad.append(str(error))
            continue
        if (seen := first.get(problem.question)) is None:
            first[problem.question] = len(problems)
            problems.append(problem)
            lines.append(row.where)
        elif _same(problems[seen].gold, problem.gold):
            notes.append(f"{row.where}: the question of {lines[seen]} again, left out")
        else:
            bad.append(f"{row.where}: the question of {lines[seen]} with another answer, {problem.gold!r} and not {problems[seen].gold!r}")
    if bad:
        more = f" (and {len(bad) - 1} more bad rows)" if len(bad) > 1 else ""
        raise DataError(f"{bad[0]}{more}; mend the file, nothing was taken")
    if others:
        years = ", ".join(f"{count} of {year}" for year, count in sorted(others.items()))
        notes.append(f"rows of other years, left out: {years}")
    if len({problem.id for problem in problems}) < len(problems) or not all(problem.id for problem in problems):
        problems = [replace(problem, id=_digest(problem.question)) for problem in problems]
    return [replace(problem, id=f"{name}/{problem.id}") for problem in problems], notes


def _problem(row: Row, max_answer: int | None) -> Problem:
    """Return a problem whose id may yet be empty."""
    question = _text(row, QUESTION)
    if not question:
        raise DataError(f"{row.where}: no question; it is looked for in {', '.join(QUESTION)}")
    solution = _text(row, SOLUTION)
    gold = _text(row, GOLD)
    if HASHES in gold:
        working, gold = _at_hashes(gold)
        solution = solution or working
    if _BOX.match(gold) and gold.endswith("}") and len(_BOX.findall(gold)) == 1:
        gold = last_box(gold)
    gold = gold or last_box(solution) or (_at_hashes(solution)[1] if HASHES in solution else "")
    if not gold.strip():
        raise DataError(f"{row.where}: no answer; it is looked for in {', '.join(GOLD)}, and in a box at the end of {', '.join(SOLUTION)}")
    if max_answer is not None:
        digits = integer_answer(gold, max_answer)
        if digits is None:
            raise DataError(f"{row.where}: the answer {gold!r} is no integer from 0 to {max_answer}, as this data set has them")
        gold = digits
    try:
        f"{question}{gold}{solution}".encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{row.where}: half of a surrogate pair, {error.object[error.start]!r}, which is no character") from None
    return Problem(
        id=_text(row, ID),
        question=question,
        gold=gold.strip(),
        level=_level(_text(row, LEVEL)),
        subject=_text(row, SUBJECT),
        solution=solution,
        year=year_of(row.values) or 0,
    )


def _at_hashes(text: str) -> tuple[str, str]:
    """Return the working before the last `####` and the number behind it, which loses its thousands separators: 2,004 might be a list."""
    working, _, gold = (part.strip() for part in text.rpartition(HASHES))
    return working, gold.replace(",", "") if _THOUSANDS.fullmatch(gold) else gold


def last_box(text: str) -> str:
    r"""Return what the last box holds, "" if there is none or it is never closed.

    >>> last_box(r"so \boxed{1} and then \framebox{\frac{1}{2}}")
    '\\frac{1}{2}'
    """
    boxes = list(_BOX.finditer(text))
    if not boxes:
        return ""
    start, depth = boxes[-1].end(), 1
    for mark in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(mark.group(), 0)
        if depth == 0:
            return text[start : mark.start()]
    return ""


def _text(row: Row, columns: Sequence[str]) -> str:
    """Return the first of the columns that has something in it, as text."""
    return next((text for column in columns if (text := _as_text(_at(row.values, column), row, column))), "")


def _at(values: Mapping[str, Any], column: str) -> Any:
    if column in values:
        return values[column]
    value: Any = values
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _as_text(value: Any, row: Row, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):  # a column of numbers with gaps is read as floats; NaN is a gap
        return str(int(value)) if value.is_integer() else "" if value != value else repr(value)  # noqa: PLR0124
    if isinstance(value, list):
        return _of_list(value)
    raise DataError(f"{row.where}: {column} is {json.dumps(value, default=str)[:80]}, which is no text")


def _of_list(value: list[Any]) -> str:
    """Return what the user says last in a conversation; the entries of any other list."""
    if any(isinstance(item, Mapping) for item in value):
        said = [item.get("content") for item in value if isinstance(item, Mapping) and item.get("role") == "user"]
        return said[-1].strip() if said and isinstance(said[-1], str) else ""
    return ", ".join(str(item) for item in value)


def _same(one: str, other: str) -> bool:
    return one == other or (one.isdecimal() and other.isdecimal() and int(one) == int(other))


def _level(text: str) -> int:
    """Return 5 for `5` and `Level 5`; 0 for what is no level from 1 to 10."""
    number = re.fullmatch(r"(?:Level\s*)?([0-9]{1,2})", text)
    return int(number[1]) if number and 1 <= int(number[1]) <= 10 else 0


def _digest(question: str) -> str:
    return hashlib.sha1(question.encode(), usedforsecurity=False).hexdigest()[:16]
