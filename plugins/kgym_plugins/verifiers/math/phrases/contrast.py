"""A value that is said beside one that is rejected: `13 rather than 12`, `not 12 but 13`, `x = 7 (x = -1 is
extraneous)`.
"""

import re

from kgym_plugins.verifiers.math.phrases.numbers import NUMBER_WORDS
from kgym_plugins.verifiers.math.phrases.table import Formula, Meaning, Phrase, Table

_VALUE = re.compile(
    r"\b(?:" + "|".join(sorted(NUMBER_WORDS - {"one", "second", "third"})) + r")\b|\d|\\[a-zA-Z]|\$|\([A-J]\)|\A[A-J]\Z"
)
_VERB = re.compile(r"\b(?:is|are|was|were|does|do|can|could|will|would|should|must|has|have)\Z", re.IGNORECASE)
_NOT_WORTH = (
    r"(?:extraneous|rejected|invalid|not\s+(?:valid|allowed|possible|a\s+solution|in\s+the\s+domain)"
    r"|inadmissible|discarded"
    r"|excluded|impossible)"
)


def _said(match: re.Match[str], text: str) -> Meaning | None:
    """The value that is said, if both are values."""
    said, other = match["said"].rstrip(" ,;:"), match["other"]
    return Formula(said) if _VALUE.search(said) and _VALUE.search(other) and not _VERB.search(said) else None


CONTRAST = Table(
    "contrast",
    "the value is said, and another one rejected",
    "whole",
    Phrase(
        r"(?P<said>\S(?s:.{0,200}?))(?:\s*[,;:]|\s+[-–—])?\s+(?:rather\s+than|instead\s+of|as\s+opposed\s+to"
        r"|in\s+place\s+of|far\s+(?:below|above|from)"
        r"|and\s+(?:certainly\s+)?not|but\s+not|not)\s+(?P<other>(?s:.+))",
        _said,
        "13 rather than 12",
        "does not exist",
    ),
    Phrase(
        r"(?P<said>\S(?s:.{0,200}?))\s*\((?:and\s+)?(?:not|rather\s+than|instead\s+of)\s+"
        r"(?P<other>[^()]{1,60}(?:\([^()]*\))?[^()]{0,40})\)",
        _said,
        "4 (not 5)",
        "4 (and 5)",
    ),
    Phrase(
        r"(?:not|neither)\s+(?P<other>(?s:.{1,100}?))[,;]?\s+(?:but(?:\s+(?:rather|instead))?"
        r"|rather)\s+(?P<said>(?s:.+))",
        _said,
        "not 12 but 13",
        "12 but 13",
    ),
    Phrase(
        r"(?P<said>\S(?s:.{0,200}?))[,;]?\s*\((?P<other>(?:[^()]"
        r"|\([^()]*\)){1,160}?)\b" + _NOT_WORTH + r"\b[^()]{0,80}\)",
        _said,
        "$x = 7$ ($x = -1$ is extraneous)",
        "$x = 7$ ($x = 1$ is the other)",
    ),
)
_LOGIC = re.compile(r"\\(?:neg|lnot|land|lor)\b|\b[pq]\b")
REJECTING = re.compile(r"\b(?:not|rather\s+than|instead\s+of|as\s+opposed\s+to)\s*[$\\(]{0,3}\s*\Z", re.IGNORECASE)
"""What is before a box that holds a rejected value."""


def without_contrast(text: str) -> str:
    """Return the value that is said, without the one that is rejected.

    >>> without_contrast("13 rather than 12"), without_contrast("not 12 but 13"), without_contrast("13")
    ('13', '13', '13')
    """
    if len(text) > 400 or not re.search(r"[a-z]", text) or _LOGIC.search(text):
        return text
    found = CONTRAST.meaning(text)
    return getattr(found[1], "text", text) if found else text
