r"""Amounts in words and digits, as whole answers: a part of a whole, a ratio, a sign in words, a mixed number, a
place in an order.
"""

import re

from kgym_plugins.verifiers.math.phrases.numbers import ORDINAL_WORDS, counted, number_from_words, ordinal_from_words
from kgym_plugins.verifiers.math.phrases.table import Formula, Meaning, Phrase, Table, Word
from kgym_plugins.verifiers.math.phrases.units import unit_named

_DIGITS = r"\d{1,3}(?:(?:,|\{,\})\d{3}){1,5}|\d{1,18}"
_WORDS = r"[a-z]{3,12}(?:[ -][a-z]{2,12}){0,5}?"
_COUNTED = rf"(?:{_DIGITS})(?: [a-z]{{3,12}}){{0,2}}?|{_WORDS}"
"""A number, and what is counted."""


def _count(text: str) -> tuple[int, str] | None:
    """A whole number at the beginning, and the words after it."""
    if text[0].isdigit():
        digits, _, rest = text.partition(" ")
        return int(re.sub(r"\D", "", digits)), rest
    words = text.casefold().split()
    value, others = (number, []) if (number := number_from_words(words)) else counted(words) or (None, [])
    return (value[0], " ".join(others)) if value and value[1] == 1 and value[0] >= 0 and len(others) < 3 else None


def _chance(match: re.Match[str], text: str) -> Meaning | None:
    """A part of a whole: "6 in 3" is none, nor is 3 miles in 4 hours."""
    one, other = _count(match["part"]), _count(match["whole"])
    if one is None or other is None or not other[0] or one[0] > other[0] or " to " in f" {other[1]} ":
        return None  # 9 out of 12 simplifies to a half
    if match["of"].casefold() != "out of" and any(
        unit_named(things.split()[0]) for _, things in (one, other) if things
    ):
        return None
    return Formula(rf"\frac{{{one[0]}}}{{{other[0]}}}")


def _odds(match: re.Match[str], text: str) -> Meaning | None:
    """Three to four; "one to one" is a property of functions."""
    one, other = (number_from_words(match[name].casefold().split()) for name in ("one", "other"))
    if not one or not other or one[1] != 1 or other[1] != 1 or one == other:
        return None
    return Formula(f"{one[0]}:{other[0]}")


CHANCES = Table(
    "chances",
    "a part of a whole, as a fraction, or a ratio",
    "whole",
    Phrase(
        rf"(?:an? )?(?P<part>{_COUNTED}) (?P<of>in|out of|of)(?: every| each| the| all)? (?P<whole>{_COUNTED})",
        _chance,
        "1 in 6",
        "6 in 1",
    ),
    Phrase(
        r"(?P<one>[a-z]{3,9}(?:[ -][a-z]{3,9}){0,2}?) to (?P<other>[a-z]{3,9}(?:[ -][a-z]{3,9}){0,2})",
        _odds,
        "three to four",
        "one to one",
    ),
)


def _negative(match: re.Match[str], text: str) -> Meaning:
    return Formula(f"-{match['rest']}")


def _mixed(match: re.Match[str], text: str) -> Meaning | None:
    """A whole number and a part of one, perhaps with a unit: 3 and a half hours."""
    words = match["words"].casefold().split()
    value, rest = (number, []) if (number := number_from_words(words)) else counted(words) or (None, [])
    if value is None or not 0 < value[0] < value[1] or words[0] == "half":
        return None
    return Formula(
        rf"\frac{{{int(match['whole']) * value[1] + value[0]}}}{{{value[1]}}}"
        + (rf" \text{{ {' '.join(rest)}}}" if rest else "")
    )


_THINGS = (
    r"(?P<thing>places?|rows?|columns?|terms?|days?|positions?|floors?|grades?|weeks?|months?|years?|century|person"
    r"|students?|letters?|digits?|steps?|try|attempts?|bus|house|book|pages?|rounds?|games?|minutes?|hours?|numbers?"
    r"|element|item|child|car|box|derivatives?|powers?|primes?|runners?)"
)


def _place(match: re.Match[str], text: str) -> Meaning | None:
    """A place in an order, with what is ordered: third place, the 3rd row, row 3."""
    said = match["place"].casefold()
    if said.isdigit():
        place: int | None = int(said)
    elif (cardinal := number_from_words(said.split())) is not None:
        place = cardinal[0] if cardinal[1] == 1 else None
    else:
        place = ordinal_from_words(said.split())
    thing = match.groupdict().get("thing")
    return None if place is None else Formula(rf"{place} \text{{ {thing}}}" if thing else str(place))


def _digit(match: re.Match[str], text: str) -> Meaning:
    """A place of a digit: the hundreds place."""
    return Word(match["place"].casefold().replace("-", " "))


def _part_of_unit(match: re.Match[str], text: str) -> Meaning | None:
    """Half an hour, a quarter of a mile: a part of a unit."""
    part = number_from_words(match["part"].casefold().split())
    if not part or not _is_unit(match["unit"]):
        return None
    return Formula(rf"\frac{{{part[0]}}}{{{part[1]}}} \text{{ {match['unit']}}}")


def _unit_and_part(match: re.Match[str], text: str) -> Meaning | None:
    """An hour and a half, two miles and a quarter."""
    many, part = (number_from_words(match[name].casefold().split()) for name in ("many", "part"))
    many = (1, 1) if match["many"].casefold() in ("a", "an") else many
    if not many or not part or many[1] != 1 or not 0 < part[0] < part[1] or not _is_unit(match["unit"]):
        return None
    return Formula(rf"\frac{{{many[0] * part[1] + part[0]}}}{{{part[1]}}} \text{{ {match['unit']}}}")


def _is_unit(word: str) -> bool:
    return len(word) > 2 and unit_named(word) is not None


def _exactly(match: re.Match[str], text: str) -> Meaning | None:
    rest = match["rest"]
    words = rest.casefold().split()
    return Formula(rest) if rest[0].isdigit() or number_from_words(words) or counted(words) else None


def _all_of(match: re.Match[str], text: str) -> Meaning | None:
    many = number_from_words([match["many"].casefold()])
    return Formula(str(many[0])) if many and many[1] == 1 else None


def _many_parts(match: re.Match[str], text: str) -> Meaning | None:
    part = number_from_words(["one", match["part"].casefold().removesuffix("s")])
    return Formula(rf"\frac{{{match['many']}}}{{{part[1]}}}") if part and part[1] != 4 else None


MIXED = Table(
    "amounts that begin with digits",
    "a mixed number, a part, a place in an order",
    "whole",
    Phrase(
        r"(?P<whole>\d{1,9}) and (?P<above>\d{1,4})/(?P<below>\d{1,4})",
        r"\g<whole> \\frac{\g<above>}{\g<below>}",
        "2 and 3/4",
        "2 and 3",
    ),
    Phrase(r"(?P<whole>\d{1,9}) and (?P<words>[a-z]+(?:[ -][a-z]+){0,4})", _mixed, "3 and a half", "3 and one"),
    Phrase(r"(?P<many>\d{1,6}) (?P<part>[a-z]{5,12}ths|thirds)", _many_parts, "2 thirds", "2 months"),
    Phrase(rf"(?P<place>\d{{1,9}})(?:st|nd|rd|th) {_THINGS}", _place, "3rd row", "3 rows"),
)
QUANTITIES = Table(
    "amounts",
    "a number with its sign in words, a part of a unit, a place in an order",
    "whole",
    Phrase(
        r"(?:minus|negative) (?P<rest>(?:\d|\.\d|\\[a-z]|\$|\(|√|[a-z]\b(?! [a-z]))(?s:.*))",
        _negative,
        "minus 3",
        "minus signs",
    ),
    Phrase(
        r"(?P<part>(?:an? |one )?half|(?:an?|one|two|three)[ -][a-z]{5,8})(?: of)?(?: an?)? (?P<unit>[a-z]{3,12})",
        _part_of_unit,
        "half an hour",
        "half an apple",
    ),
    Phrase(
        r"(?P<many>an?|[a-z]{3,9}) (?P<unit>[a-z]{3,12}) and (?P<part>(?:an?|one|two|three)[ -][a-z]{4,8})",
        _unit_and_part,
        "an hour and a half",
        "an hour and a bit",
    ),
    Phrase(
        r"(?:exactly|just|only|precisely|a total of) (?P<rest>\S(?s:.*))", _exactly, "exactly seven", "exactly as many"
    ),
    Phrase(
        r"an? (?P<rest>(?:dozen|hundred|thousand|million) [a-z]{3,12}(?: [a-z]{2,12}){0,3})",
        r"one \g<rest>",
        "a dozen eggs",
        "a dozen",
    ),
    Phrase(r"(?:a |one )?baker'?s dozen", "13", "a baker's dozen", "a baker"),
    Phrase(r"(?P<many>[a-z]{3,9}) of (?:them|these|those)", _all_of, "seven of them", "most of them"),
    Phrase(r"the (?P<place>\d{1,9})(?:st|nd|rd|th)(?: one)?", _place, "the 5th", "the 5"),
    Phrase(
        r"(?:in )?(?:the )?"
        rf"(?P<place>\d{{1,9}}(?=st |nd |rd |th )|(?:[a-z]{{3,9}}[ -]){{0,3}}(?:{ORDINAL_WORDS}))(?:(?<=\d)\w\w)? "
        rf"{_THINGS}",
        _place,
        "the 3rd row",
        "the row",
    ),
    Phrase(
        r"(?:in )?(?:the )?(?P<place>ones|tens|(?:ten-?)?(?:thousand|hundred)s|millions"
        r"|tenths|(?:ten-?|hundred-?)?(?:thousand|hundred)ths|millionths)(?:'| place|'? digit| position)",
        _digit,
        "the thousandths place",
        "the thousandth place",
    ),
    Phrase(
        rf"(?:in )?(?:the )?{_THINGS} (?:number )?(?P<place>\d{{1,9}}|[a-z]{{3,9}}(?:-[a-z]{{3,5}})?)",
        _place,
        "row 7",
        "row seats",
    ),
)
