"""Parts of the plane and of space by their numbers: quadrants and octants.

All ways to name one have the same normal form: `quadrant 3`, `quadrants 1, 3`.
"""

import re

from kgym_plugins.verifiers.math.phrases.numbers import number_from_words, ordinal_from_words
from kgym_plugins.verifiers.math.phrases.table import Meaning, Phrase, Table, Word

ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6, "vii": 7, "viii": 8}
_MOST = {"quadrant": 4, "octant": 8}
_NUMBER = (
    r"(?:[1-8](?:\^?\{?(?:st|nd|rd|th)\}?)?|[ivIV]{1,4}|one|two|three|four|five|six|seven|eight"
    r"|first|second|third|fourth|fifth|sixth|seventh|eighth)"
)
_SEVERAL = rf"{_NUMBER}(?:(?: quadrant)?(?:, and |, | and | or | & )(?:the )?{_NUMBER})*"
_WHERE = (
    r"(?:(?!(?:.*\b)?(?:not|no|neither|nor)\b)[A-Za-z][A-Za-z ]{0,40} (?:is|lies|falls|ends|terminates)(?: located)?"
    r" (?:in )?|in )?(?:the )?"
)


def _numbered(match: re.Match[str], text: str) -> Meaning | None:
    kind = (match.groupdict().get("kind") or "quadrant").casefold()
    places = sorted({number_of(word) for word in re.findall(rf"\b{_NUMBER}", match["places"])})
    if not places or places[0] < 1 or places[-1] > _MOST[kind]:
        return None
    return Word(f"{kind} {', '.join(map(str, places))}")


def number_of(word: str) -> int:
    """Read the number of a quadrant; 0 for other words.

    >>> number_of("III"), number_of("3rd"), number_of("third"), number_of("three"), number_of("x")
    (3, 3, 3, 3, 0)
    """
    word = word.casefold()
    if word[:1].isdigit():
        return int(word[0]) if not word[1:2].isdigit() else 0
    if word in ROMAN:
        return ROMAN[word]
    cardinal = number_from_words([word])
    return cardinal[0] if cardinal and cardinal[1] == 1 else ordinal_from_words([word]) or 0


QUADRANTS = Table(
    "quadrants",
    "a part of the plane or of space, by its number",
    "whole",
    Phrase(
        rf"{_WHERE}(?P<places>{_SEVERAL}) (?P<kind>quadrant|octant)s?",
        _numbered,
        "the first quadrant",
        "the first quadratic",
    ),
    Phrase(rf"{_WHERE}(?P<kind>quadrant|octant)s? (?P<places>{_SEVERAL})", _numbered, "Quadrant III", "Quadrant IX"),
    Phrase(r"Q ?-?(?P<places>[1-4]|[IV]{1,3})", _numbered, "QIII", "Q9"),
)
