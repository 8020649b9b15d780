"""Data sets that are known by name: where they are on the hub, how many problems they have, what their answers look like.

    aime24  30 problems of HuggingFaceH4/aime_2024; of a file with more years, those of 2024; answers 0 to 999

Of any other name nothing is assumed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_EXAMINATION = re.compile(r"((?:19|20)[0-9]{2})[-_/ ](?:AIME|I{1,2}\b|[0-9])")
"""The year in an id `2024-I-1` or `1983-7`, or in an address `.../2024_AIME_I_Problems/Problem_1`."""
_ORNAMENT = re.compile(r"\$|\\[()]|\^\s*(?:\\circ|\{\s*\\circ\s*\})|°|\.0*$|\s")
_EXAMINATION_ANSWER = re.compile(r"0*[0-9]{1,3}")


@dataclass(frozen=True)
class KnownSet:
    """What is known of a data set."""

    hub: tuple[str, ...]
    """Its repositories on the hub, joined in this order."""
    problems: int
    year: int | None = None
    """Rows that say that they are of another year are left out; rows that say none are not."""
    splits: tuple[str, ...] = ()
    """Which of several splits of a repository is meant: the first of these that it has."""
    configs: tuple[str, ...] = field(default=())
    """Which of several configurations of a repository is meant: the first of these that it has; without one, all of them."""
    examination: bool = False
    """Answers are integers from 0 to 999."""


def _aime(year: int, *hub: str) -> KnownSet:
    return KnownSet(hub=hub, problems=30, year=year, examination=True)


KNOWN = {
    "aime24": _aime(2024, "HuggingFaceH4/aime_2024"),
    "aime25": _aime(2025, "MathArena/aime_2025"),
    "aime26": _aime(2026, "MathArena/aime_2026"),
    "math500": KnownSet(hub=("HuggingFaceH4/MATH-500",), problems=500, splits=("math500",)),
    "gsm8k": KnownSet(hub=("openai/gsm8k",), problems=1319, configs=("main",)),
}


def year_of(values: Mapping[str, Any]) -> int | None:
    """Return the year of the examination that a row says it is from, None if it says none.

    >>> year_of({"url": "https://example.org/2023_AIME_II_Problems/Problem_4"}), year_of({"Year": 2024}), year_of({"id": 60})
    (2023, 2024, None)
    """
    for column in ("Year", "year"):
        if re.fullmatch(r"(?:19|20)[0-9]{2}(?:\.0)?", text := str(values.get(column, ""))):
            return int(text[:4])
    for column in ("ID", "id", "url"):
        if found := _EXAMINATION.search(str(values.get(column, ""))):
            return int(found[1])
    return None


def examination_answer(gold: str) -> str | None:
    r"""Return the digits of an answer from 0 to 999, leading zeros kept; None if it is no such answer.

    >>> examination_answer(r"$336^\circ$"), examination_answer("073"), examination_answer("1/2")
    ('336', '073', None)
    """
    bare = _ORNAMENT.sub("", gold)
    return bare if _EXAMINATION_ANSWER.fullmatch(bare) else None
