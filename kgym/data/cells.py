"""The value of a column in a row, as text, from numbers, conversations, lists and JSON in a text.

"answer"                       the value of that column
"reward_model.ground_truth"    within a mapping, or within a text that is a JSON object
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kgym.errors import DataError

USER = ("user", "human")
ASSISTANT = ("assistant", "gpt", "model")


@dataclass(frozen=True)
class Row:
    """A row and its place in the file, for messages: `line 17`."""

    where: str
    values: Mapping[str, Any]


def first_text(row: Row, columns: Sequence[str], *, said_by: Sequence[str] = USER) -> str:
    """Return the text of the first column that is not empty; of a conversation the last message by one of `said_by`."""
    for column in _there(row, columns):
        if (value := at(row.values, column)) is not None and (text := _as_text(value, row, column, said_by)):
            return text
    return ""


def first_gold(row: Row, columns: Sequence[str]) -> tuple[str, bool]:
    """Return the gold answer of the first column that is not empty, and whether it was a text that is a JSON list.

    Raises DataError for several gold answers, since the problem may ask for one of them or for all.
    """
    for column in _there(row, columns):
        value = at(row.values, column)
        listed = _listed(value)
        if listed is not None and len(listed) > 1:
            raise DataError(
                f"{row.where}: {column} has {len(listed)} gold answers, {', '.join(listed)[:80]}, and a problem has "
                "one; write them as one text if the problem asks for all of them"
            )
        if listed:
            return listed[0].strip(), isinstance(value, str)
        if value is not None and listed is None and (text := _as_text(value, row, column, ASSISTANT)):
            return text, False
    return "", False


def _there(row: Row, columns: Sequence[str]) -> list[str]:
    """Return the columns that a row may have: most rows have few of the known ones."""
    values = row.values
    return [column for column, head in _heads(tuple(columns)) if column in values or head in values]


@lru_cache(maxsize=64)
def _heads(columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((column, column.partition(".")[0]) for column in columns)


def at(values: Mapping[str, Any], column: str) -> Any:
    """Return the value of a column, whose name may have dots; None if the row does not have it."""
    if column in values:
        return values[column]
    head, dot, rest = column.partition(".")
    if not dot or head not in values:
        return None
    value = values[head]
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        value = _parsed(value)
    return at(value, rest) if isinstance(value, Mapping) else None


def _listed(value: Any) -> list[str] | None:
    r"""Return the entries of a list, or of a text that is a JSON list of texts. None for anything else, since `[1, 2]`
    may be an interval. A null in a list does not count.

    >>> _listed('["\\\\frac{1}{2}"]'), _listed("[1, 2]"), _listed("5")
    (['\\frac{1}{2}'], None, None)
    """
    if isinstance(value, list) and not any(isinstance(entry, Mapping) for entry in value):
        return [str(entry) for entry in value if entry is not None]
    if not isinstance(value, str) or value.strip()[:1] != "[":
        return None
    entries = _parsed(value)
    return (
        entries if isinstance(entries, list) and entries and all(isinstance(entry, str) for entry in entries) else None
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _as_text(value: Any, row: Row, column: str, said_by: Sequence[str]) -> str:
    if isinstance(value, str):
        text = value.strip()
        if (
            text[:2] == "[{"
            and isinstance(turns := _parsed(text), list)
            and (said := _said(turns, said_by)) is not None
        ):
            return said
        return text
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):  # a column of numbers with gaps is read as floats; NaN is a gap
        return str(int(value)) if value.is_integer() else "" if value != value else repr(value)  # noqa: PLR0124
    if isinstance(value, list):
        said = _said(value, said_by)
        return ", ".join(map(str, value)) if said is None else said
    raise DataError(f"{row.where}: {column} is {json.dumps(value, default=str)[:80]}, which is not a text")


def _said(turns: list[Any], by: Sequence[str]) -> str | None:
    """Return the last message by one of the roles `by`, "" if there is none; None if it is not a conversation."""
    if not any(isinstance(turn, Mapping) for turn in turns):
        return None
    for turn in reversed(turns):
        if isinstance(turn, Mapping) and (turn.get("role") or turn.get("from")) in by:
            content = turn.get("content") or turn.get("value")
            return content.strip() if isinstance(content, str) else ""
    return ""
