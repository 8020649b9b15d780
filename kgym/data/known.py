"""Known data sets: `aime24`, for example, has 30 problems of 2024 with answers from 0 to 999.

Plugins provide the records (`kgym_components`); this module checks rows against them.
"""

import re
from collections.abc import Mapping
from typing import Any

from kgym.hookspecs import DatasetInfo
from kgym.registry import registry

_EXAMINATION = re.compile(r"((?:19|20)[0-9]{2})[-_/ ](?:AIME|I{1,2}\b|[0-9])")
"""The year in an id `2024-I-1` or `1983-7`, or in an address `.../2024_AIME_I_Problems/Problem_1`."""
_ORNAMENT = re.compile(r"\$|\\[()]|\^\s*(?:\\circ|\{\s*\\circ\s*\})|°|\.0*$|\s|(?<=[0-9]),(?=[0-9]{3})")


def known_sets() -> dict[str, DatasetInfo]:
    """Return the records of data sets that plugins provide, by name."""
    return {name: info for name, info in registry().infos(DatasetInfo.kind).items() if isinstance(info, DatasetInfo)}


def year_of(values: Mapping[str, Any]) -> int | None:
    """Return the year of a row's examination, None if the row does not say it.

    >>> year_of({"url": "https://example.org/2023_AIME_II_Problems/Problem_4"}), year_of({"id": 60})
    (2023, None)
    >>> year_of({"Year": 2024})
    2024
    """
    for column in ("Year", "year"):
        if column in values and re.fullmatch(r"(?:19|20)[0-9]{2}(?:\.0)?", text := str(values[column])):
            return int(text[:4])
    for column in ("ID", "id", "url"):
        if column in values and (found := _EXAMINATION.search(str(values[column]))):
            return int(found[1])
    return None


def integer_answer(gold: str, max_answer: int) -> str | None:
    r"""Return the digits of an answer from 0 to `max_answer`, with leading zeros; None for any other answer.

    >>> integer_answer(r"$336^\circ$", 999), integer_answer("073", 999)
    ('336', '073')
    >>> integer_answer("1/2", 999), integer_answer("1000", 999)
    (None, None)
    """
    bare = _ORNAMENT.sub("", gold)
    return bare if re.fullmatch("[0-9]{1,18}", bare) and int(bare) <= max_answer else None
