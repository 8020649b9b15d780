"""Answers that are told by their shape: choices, dates and times, digits in a base, yes or no, prose.

Each is a whole answer.
"""

import re

from kgym_plugins.verifiers.math.phrases.named import named
from kgym_plugins.verifiers.math.phrases.normal import normal_words
from kgym_plugins.verifiers.math.phrases.numbers import BASE_WORDS, counted, number_from_words
from kgym_plugins.verifiers.math.phrases.table import Digits, Formula, Letter, Meaning, Phrase, Table, Time, Word
from kgym_plugins.verifiers.math.phrases.units import unit_named

# --- choices ----------------------------------------------------------------------------------------------------------

_CONTENT = re.compile(r"(?!(?:and|or|nor)\b|[,;/&(=+^*<>-])\S", re.IGNORECASE)
_DASHED = re.compile(r"\A[^-]*-{1,3}\s*\}?\s*")
_LABEL = re.compile(r"[A-Ja-j]\s*[).:]\s*\}?\s*")


_AMOUNT = r"\d[\d.,/]*\s+(?!(?:if|for|when|where|or|and|mod|times|over|is|unless|with)\b)[a-z]{2,}(?!\s*-)"
"""A number and a word, of which a choice has several: 2 hours 40 minutes. Of one alone no one knows that it is not a
difference.
"""


def _letter(match: re.Match[str], text: str) -> Meaning | None:
    letter = match["letter"]
    return Letter(letter.upper()) if letter.isupper() or len(match[0].rstrip()) > 2 else None


def _with_content(match: re.Match[str], text: str) -> Meaning | None:
    if not (match["letter"].isupper() or match[0].startswith("(")) or not _CONTENT.match(match["content"]):
        return None
    label = _LABEL.search(text)  # the content is taken with its LaTeX
    content = text[label.end() :] if label else match["content"]
    return Letter(match["letter"].upper(), content.removeprefix("}").strip() or match["content"])


def _dashed(match: re.Match[str], text: str) -> Meaning | None:
    parts = match.groupdict()
    letter = parts["letter"] or parts["bare"]
    return Letter(letter, _DASHED.sub("", text).strip() or match["content"]) if letter.isupper() else None


CHOICES = Table(
    "choices",
    "the letter of a choice",
    "whole",
    Phrase(r"(?:option|choice)\s+\(?\s*(?P<letter>[A-Ja-j])\s*\)?", _letter, "option (C)", "option 3"),
    Phrase(r"\(\s*(?P<letter>[A-Ja-j])\s*\)", _letter, "(C)", "(x)"),
    Phrase(r"(?P<letter>[A-J])\s*[).:]", _letter, "C.", "c."),
    Phrase(
        r"\(?\s*(?P<letter>[A-J])\s*\)\s*-\s*(?P<content>(?s:.+))"
        r"|(?P<bare>[A-J])\s*-{1,3}\s+(?P<prose>[A-Za-z]{2}(?s:.*))",
        _dashed,
        "(D) - none of these",
        "D - x",
    ),
    Phrase(
        rf"\(?(?P<letter>[A-J])\)?\s+-{{1,3}}\s+(?P<content>{_AMOUNT}(?:(?:\s*,\s*|\s+)(?:and\s+)?{_AMOUNT})+)",
        _dashed,
        "D - 2 hours 40 minutes",
        "D - 2 hours",
    ),
    Phrase(
        r"(?:(?:option|choice|answer)\s+)?\(?\s*(?P<letter>[A-Ja-j])\s*[).:]\s*(?P<content>(?s:.*))",
        _with_content,
        "C. the third one",
        "C. and D.",
    ),
)

# --- dates and times --------------------------------------------------------------------------------------------------

_MONTH = (
    r"(?:(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
    r"(?:(?<=jan)uary|(?<=feb)ruary|(?<=mar)ch|(?<=apr)il|(?<=jun)e|(?<=jul)y|(?<=aug)ust|(?<=sep)t(?:ember)?"
    r"|(?<=oct)ober"
    r"|(?<=nov)ember|(?<=dec)ember)?\.?)"
)
_YEAR = r"(?:\s*,?\s+(?P<year>\d{4}))?"
_HALF = r"(?P<half>[ap])\.?\s?m\.?"


def _time(match: re.Match[str], text: str) -> Meaning | None:
    parts = match.groupdict()
    hours, minutes, seconds = (int(parts.get(name) or 0) for name in ("hours", "minutes", "seconds"))
    return Time(hours, minutes, seconds, (match["half"] or "").lower()) if hours <= 24 and minutes < 60 else None


def _date(match: re.Match[str], text: str) -> Meaning:
    return Word(" ".join(part for part in (match["month"].lower(), str(int(match["day"])), match["year"]) if part))


TIMES = Table(
    "dates and times",
    "a date or a time of day",
    "whole",
    Phrase(
        r"(?P<hours>\d{1,2})(?:\s*:\s*|\s*h\s*)(?P<minutes>\d{2})(?::(?P<seconds>\d{2}))?"
        rf"\s*(?:{_HALF})?(?:\s*o'clock)?",
        _time,
        "2:30 p.m.",
        "2:300",
    ),
    Phrase(rf"(?P<hours>\d{{1,2}})\s*(?:{_HALF}|o'clock)", _time, "3 pm", "3 cm"),
    Phrase(rf"{_MONTH}\s+(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?{_YEAR}\.?", _date, "March 14th, 2015", "March"),
    Phrase(
        rf"(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}{_YEAR}\.?",
        _date,
        "14 March",
        "14 marbles",
    ),
)

# --- digits in a base -------------------------------------------------------------------------------------------------

_PREFIXES = {"x": 16, "b": 2, "o": 8}


def _in_base(match: re.Match[str], text: str) -> Meaning | None:
    word = match["below"] or match["named"]
    base = int(word) if word.isdigit() else BASE_WORDS.get(word.lower())
    return Digits(re.sub(r"\s", "", match["digits"]), base) if base else None


def _prefixed(match: re.Match[str], text: str) -> Meaning:
    return Digits(match["digits"], _PREFIXES[match["kind"].lower()])


BASES = Table(
    "bases",
    "digits in a base",
    "whole",
    Phrase(
        r"\(?\s*(?P<digits>[0-9A-Fa-f][0-9A-Fa-f\s]*)\)?\s*(?:_\s*\{?\s*\(?(?:base\s*)?(?P<below>[0-9]{1,2}"
        r"|[a-z]+)\)?\s*\}?"
        r"|\(?\s*(?:in\s+)?base[\s-]*\(?(?P<named>[0-9]{1,2}|[a-z]+)\)?)",
        _in_base,
        "212 in base three",
        "212 in base camp",
    ),
    Phrase(r"0(?P<kind>[xXbBoO])(?P<digits>[0-9A-Fa-f]+)", _prefixed, "0x1F", "0q1F"),
    flags=0,
)

# --- words ------------------------------------------------------------------------------------------------------------

_JOINED = re.compile(
    r"\b(?:and|or|union|infinity|per|over|root|squared|times|plus|minus|pi|mod|percent)\b", re.IGNORECASE
)
"""Words that join or compute: what has one is not a name."""


def _reply(match: re.Match[str], text: str) -> Meaning | None:
    found = named(match[1])
    return found and found[1]


def _noun(match: re.Match[str], text: str) -> Meaning | None:
    return None if _JOINED.search(match[0]) or _is_amount(match[0]) or named(match[0]) else Word(normal_words(match[0]))


_RATE = frozenset({"a", "an", "per", "each", "every", "in", "for"})


def _is_amount(text: str) -> bool:
    """Whether a number in words counts one thing or has a unit: two dozen eggs, sixty miles an hour.

    Two distinct real roots are not two complex roots: what has more words than that is text.
    """
    found = counted(text.casefold().split())
    if found is None:
        return False
    (_, below), rest = found
    if below != 1 and text[:2].casefold() == "a ":
        return False  # a half plane
    return len(rest) == 1 or unit_named(rest[0]) is not None or rest[1] in _RATE


def _said_twice(match: re.Match[str], text: str) -> Meaning | None:
    words, digits = (match[1], match[2]) if match[1] else (match[4], match[3])
    if not number_from_words(words.casefold().split()):
        return None
    found = named(words)
    return found[1] if found and found[1] == Formula(str(int(digits))) else Word(normal_words(match[0]))


def _prose(match: re.Match[str], text: str) -> Meaning | None:
    return None if _JOINED.search(match[0]) or _is_amount(match[0]) else Word(normal_words(match[0]))


REPLIES = Table(
    "replies",
    "yes or no, names of things, a number said twice",
    "whole",
    Phrase(r"(yes|no|true|false)\s*[,.;:]\s+[a-z](?s:.*)", _reply, "Yes, it converges", "Yesterday, it rained"),
    Phrase(r"(?:a|an|the) [A-Za-z]{3}[A-Za-z -]*", _noun, "a regular hexagon", "a square or a circle"),
    Phrase(
        r"([A-Za-z][A-Za-z -]{1,60}?)\s*\((-?\d{1,12})\)|(-?\d{1,12})\s*\(([A-Za-z][A-Za-z -]{1,60})\)",
        _said_twice,
        "seven (7)",
        "f(7)",
    ),
)
PROSE = Table(
    "prose",
    "three words or more that name something",
    "whole",
    Phrase(r"(?=.*[A-Za-z]{4})[A-Za-z'-]+(?: [A-Za-z'-]+){2,}", _prose, "the point of tangency", "one and a half"),
)
