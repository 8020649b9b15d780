"""What is known of data sets by name, such as that `aime24` has 30 problems of 2024 with answers from 0 to 999; of any
other name nothing.

The records come from plugins (`kgym_components`); here is how rows are held to them.
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
    """Return what plugins say of data sets, by name."""
    return {name: info for name, info in registry().infos(DatasetInfo.kind).items() if isinstance(info, DatasetInfo)}


def year_of(values: Mapping[str, Any]) -> int | None:
    """Return the year of the examination that a row says it is from, None if it says none.

    >>> year_of({"url": "https://example.org/2023_AIME_II_Problems/Problem_4"}), year_of({"Year": 2024}), year_of({"id": 60})
    (2023, 2024, None)
    """
    for column in ("Year", "year"):
        if column in values and re.fullmatch(r"(?:19|20)[0-9]{2}(?:\.0)?", text := str(values[column])):
            return int(text[:4])
    for column in ("ID", "id", "url"):
        if column in values and (found := _EXAMINATION.search(str(values[column]))):
            return int(found[1])
    return None


def integer_answer(gold: str, max_answer: int) -> str | None:
    r"""Return the digits of an answer from 0 to `max_answer`, leading zeros kept; None if it is not such an answer.

    >>> integer_answer(r"$336^\circ$", 999), integer_answer("073", 999), integer_answer("1/2", 999), integer_answer("1000", 999)
    ('336', '073', None, None)
    """
    bare = _ORNAMENT.sub("", gold)
    return bare if re.fullmatch("[0-9]{1,18}", bare) and int(bare) <= max_answer else None
