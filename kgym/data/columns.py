"""From a row of a data file to a problem, for any names of its columns.

    {"ID": "2024-I-1", "Problem": "Every morning ...", "Answer": 204}                        a number
    {"problem": "...", "solution": "... \\\\boxed{204}"}                                        only in the solution
    {"prompt": [{"role": "user", "content": "..."}], "reward_model": {"ground_truth": "73"}}  training rows
    {"question": "...", "answer": "... #### 72"}                                             after four hashes

The first of the known columns that is not empty counts. The gold answer stays the raw text, with leading zeros and
LaTeX; only a box around the whole of it is removed.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kgym.data.cells import ASSISTANT, Row, at, first_gold, first_text
from kgym.data.known import integer_answer, year_of
from kgym.data.programs import COLUMNS, question_and_tests
from kgym.errors import DataError
from kgym.hookspecs import DatasetInfo
from kgym.types import Problem

QUESTION = (
    "problem",
    "question",
    "Problem",
    "Question",
    "extra_info.raw_problem",
    "prompt",
    "instruction",
    "messages",
    "conversations",
)
"""Columns with the raw problem, then those with the prompt, which adds a user's instruction."""
GOLD = (
    "answer",
    "Answer",
    "expected_answer",
    "ground_truth",
    "reward_model.ground_truth",
    "final_answer",
    "gold_answer",
    "target",
    "gt_answer",
    "verification_info.ground_truth",
    "info.ground_truth",
    "info.answer",
    "label",
)
SOLUTION = ("solution", "Solution", "reference_solution", "output", "response", "messages", "conversations")
ID = ("unique_id", "ID", "id", "problem_idx", "index", "Problem Number")
LEVEL = ("level", "Level")
SUBJECT = ("subject", "Subject", "type", "problem_type")
YEAR = ("Year", "year", "url")
HASHES = "####"

_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{3})+")
_BOX = re.compile(r"\\(?:boxed|framebox|fbox)\s*\{")


MOST_NOTES = 1000
"""Most rows left out that are reported one by one."""


@dataclass(frozen=True)
class Columns:
    """The columns of question and answer. If the user has named a column, only that one is read."""

    question: str | None = None
    answer: str | None = None

    @property
    def questions(self) -> Sequence[str]:
        """The columns of the question; the first that is not empty counts."""
        return QUESTION if self.question is None else (self.question,)

    @property
    def golds(self) -> Sequence[str]:
        """The columns of the gold answer."""
        return GOLD if self.answer is None else (self.answer,)

    def top(self) -> set[str]:
        """Return the names, before any dot, of all columns that are read."""
        names = (*self.questions, *self.golds, *SOLUTION, *ID, *LEVEL, *SUBJECT, *YEAR, *COLUMNS, "input")
        return {*names, *(name.partition(".")[0] for name in names)}


class _Notes:
    """Notes about rows; beyond `MOST_NOTES` only their number."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = 0
        self.listed = 0
        """Gold answers that were JSON lists of one text."""
        self.others: Counter[int] = Counter()
        """Rows of other years."""

    def add(self, line: str) -> None:
        if len(self.lines) < MOST_NOTES:
            self.lines.append(line)
        else:
            self._more += 1

    def finished(self) -> list[str]:
        """Return the lines, sums first."""
        sums = []
        if self.listed:
            sums.append(f"answers that were a JSON list of one text, replaced by the text: {self.listed}")
        if self.others:
            years = ", ".join(f"{count} of {year}" for year, count in sorted(self.others.items()))
            sums.append(f"rows of other years, left out: {years}")
        if self._more:
            sums.append(
                f"{len(self.lines) + self._more} rows that repeat a question, left out; the first {len(self.lines)}:"
            )
        return sums + self.lines


class Found(NamedTuple):
    """The problems of the rows of a data set."""

    problems: list[Problem]
    notes: list[str]
    """Which rows were left out, in words."""
    places: list[str]
    """The row of each problem: `mine.jsonl line 4`."""


def problems_of(
    rows: Iterable[Row], name: str, known: DatasetInfo | None = None, columns: Columns | None = None
) -> Found:
    """Return the problems of a data set called `name`, whose ids begin with it, and notes about rows left out.

    A repeated question is kept once, and rows of other years than the data set's are left out. If ids are missing or
    not unique, they are replaced by hashes of the questions. Raises DataError, naming the first row, for rows without a
    question or a gold answer, for one question with two answers, and for answers that the data set cannot have.
    """
    columns = columns or Columns()
    found: list[dict[str, Any]] = []
    lines: list[str] = []
    first: dict[str, int] = {}
    notes = _Notes()
    bad, n_bad = "", 0
    for row in rows:
        if known is not None and known.year is not None and (year := year_of(row.values)) not in (None, known.year):
            notes.others[year] += 1
            continue
        try:
            fields, listed = _fields(row, columns, None if known is None else known.max_answer)
            if (seen := first.get(fields["question"])) is not None and not same_gold(
                old := found[seen]["gold"], fields["gold"]
            ):
                raise DataError(
                    f"{row.where}: has the question of {lines[seen]} with another answer, {fields['gold']!r} "
                    f"instead of {old!r}"
                )
        except DataError as error:
            bad, n_bad = bad or str(error), n_bad + 1
            continue
        notes.listed += listed
        if seen is None:
            first[fields["question"]] = len(found)
            found.append(fields)
            lines.append(row.where)
        else:
            notes.add(f"{row.where}: the question of {lines[seen]} again, left out")
    if bad:
        more = f" (and {n_bad - 1} more bad rows)" if n_bad > 1 else ""
        raise DataError(f"{bad}{more}; fix the file; nothing was added")
    ids = {fields["id"] for fields in found}
    hashed = len(ids) < len(found) or "" in ids
    for fields in found:
        fields["id"] = f"{name}/{_digest(fields['question']) if hashed else fields['id']}"
    return Found([Problem(**fields) for fields in found], notes.finished(), lines)


def _fields(row: Row, columns: Columns, max_answer: int | None) -> tuple[dict[str, Any], bool]:
    """Return the fields of a problem, whose id may still be empty, and whether its gold answer was a JSON list of one
    text.
    """
    if columns == Columns() and (found := question_and_tests(row)) is not None:
        level, subject = _level(first_text(row, LEVEL)), first_text(row, SUBJECT)
        return {
            "id": first_text(row, ID),
            "question": found[0],
            "gold": found[1],
            "level": level,
            "subject": subject,
        }, False
    question = first_text(row, columns.questions)
    if not question:
        raise DataError(
            f"{row.where}: no question; the columns searched are "
            f"{', '.join(columns.questions)}{_remedy(row, '--question-column')}"
        )
    if (
        "instruction" in row.values
        and question == at(row.values, "instruction")
        and (more := first_text(row, ("input",)))
    ):
        question = f"{question}\n{more}"
    solution = first_text(row, SOLUTION, said_by=ASSISTANT)
    gold, listed = first_gold(row, columns.golds)
    if HASHES in gold:
        working, gold = _at_hashes(gold)
        solution = solution or working
    if _BOX.match(gold) and gold.endswith("}") and len(_BOX.findall(gold)) == 1:
        gold = last_box(gold)
    if columns.answer is None:
        gold = gold or last_box(solution) or (_at_hashes(solution)[1] if HASHES in solution else "")
    if not gold.strip():
        boxes = "" if columns.answer else f", and in a box at the end of {', '.join(SOLUTION)}"
        raise DataError(
            f"{row.where}: no answer; the columns searched are "
            f"{', '.join(columns.golds)}{boxes}{_remedy(row, '--answer-column')}"
        )
    if max_answer is not None:
        digits = integer_answer(gold, max_answer)
        if digits is None:
            raise DataError(
                f"{row.where}: the answer {gold!r} is not an integer from 0 to {max_answer}, which this data set "
                "requires"
            )
        gold = digits
    name, subject = first_text(row, ID), first_text(row, SUBJECT)
    try:
        f"{name}{question}{gold}{solution}{subject}".encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{row.where}: {error.object[error.start]!r} is half of a surrogate pair, not a character"
        ) from None
    fields = {
        "id": name,
        "question": question,
        "gold": gold.strip(),
        "level": _level(first_text(row, LEVEL)),
        "subject": subject,
        "solution": solution,
        "year": year_of(row.values) or 0,
    }
    return fields, listed


def _remedy(row: Row, option: str) -> str:
    names = ", ".join(map(str, row.values))[:200]
    return f"; the row has {names}: name one with {option}" if names else ""


def _at_hashes(text: str) -> tuple[str, str]:
    """Return the working before the last `####` and the number after it, without thousands separators, since 2,004
    might be read as a list.
    """
    working, _, gold = (part.strip() for part in text.rpartition(HASHES))
    return working, gold.replace(",", "") if _THOUSANDS.fullmatch(gold) else gold


def last_box(text: str) -> str:
    r"""Return the content of the last box, "" if there is none or it is never closed.

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


def same_gold(one: str, other: str) -> bool:
    """Whether two gold answers are the same text, or the same whole number with other leading zeros."""
    return one == other or (one.isdecimal() and other.isdecimal() and one.lstrip("0") == other.lstrip("0"))


def _level(text: str) -> int:
    """Return 5 for `5` and `Level 5`; 0 if it is not a level from 1 to 10."""
    number = re.fullmatch(r"(?:Level\s*)?([0-9]{1,2})", text)
    return int(number[1]) if number and 1 <= int(number[1]) <= 10 else 0


def _digest(question: str) -> str:
    return hashlib.sha1(question.encode(), usedforsecurity=False).hexdigest()[:16]
