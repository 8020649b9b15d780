r"""A function by cases in a sentence: "It is $x$ if $x \ge 0$ and $-x$ if $x < 0$.", with formulas as signs
(`statements.FORMULA`).
"""

import re
from collections.abc import Callable

from kgym_plugins.verifiers.math.phrases.numbers import number_from_words
from kgym_plugins.verifiers.math.phrases.statements import FORMULA
from kgym_plugins.verifiers.math.phrases.table import Phrase, Table

_VALUE = (
    rf"(?<![a-z])(?:{FORMULA}|-?\d+(?:\.\d+)?|none|no"
    r"|(?!(?:and|or|but|it|is|has|equals)\b)(?:minus\s+|negative\s+)?[a-z]+)"
)
_SIGN = rf"(?:{FORMULA}|(?<![A-Za-z])[a-zA-Z](?![A-Za-z]))"
_KIND = r"(?:even|odd|positive|negative|zero)"
_LETTER = rf"(?:all\s+|every\s+|an?\s+)?(?:{_KIND}\s+{_SIGN}|{_SIGN}\s+(?:(?:is|are)\s+(?:an?\s+)?)?{_KIND}|{FORMULA})"
_CONDITION = rf"(?:{_LETTER}|otherwise)"
_PIECE = (
    rf"(?P<value>{_VALUE})(?:\s+[a-z]+){{0,3}}?,?\s+"
    rf"(?:(?:if|for|when|where|whenever)\s+(?P<condition>{_LETTER})|(?P<rest>otherwise|elsewhere))"
)
_PLAIN_PIECE = re.sub(r"\?P<\w+>", "?:", _PIECE)
_NEXT = r"(?:\s*[,;]\s*(?:and|or|but)?|\s+(?:and|but|or))\s*(?:it\s+(?:is|equals|has)\s+|(?:is|equals)\s+)?"
_IF = r"(?:if|for|when|where|whenever)"
_THEN = (
    r",?\s+(?:(?:then\s+)?(?:we\s+(?:get|have|obtain)|it\s+(?:is|equals|has)"
    r"|(?:the|its)\s+(?:value|answer|expression|sum|result)\s+(?:is|equals)|there\s+(?:is|are)"
    rf"|(?:{FORMULA}|[a-z]\(?[a-z]?\)?)\s*(?:is|equals|=)|this\s+(?:is|gives|equals)|is|equals|then)\s+)?"
)
_FIRST = (
    rf"(?:and\s+|but\s+|while\s+|whereas\s+)?(?:{_IF}\s+(?P<condition>{_LETTER})|(?P<rest>otherwise))"
    rf"(?:{_THEN})(?P<value>{_VALUE})(?:\s+[a-z]+){{0,2}}"
)
_PLAIN_FIRST = re.sub(r"\?P<\w+>", "?:", _FIRST)
PIECES = Table(
    "values with conditions",
    "a sentence gives a value for each of several conditions",
    "whole",
    Phrase(
        r"(?:in\s+(?:summary|total|short),?\s+|altogether,?\s+|(?:so|thus|hence|therefore),?\s+)?"
        r"(?:[^.!?,;:]{1,80}?\s+(?:is|are|equals|has|have|takes\s+the\s+values?|gives)\s+)?"
        rf"(?P<pieces>{_PLAIN_PIECE}(?:{_NEXT}{_PLAIN_PIECE}){{1,5}})",
        "two or more values",
        "it is 1 for \ue000 and 0 for \ue001",
        "it is 1 for \ue000",
    ),
    Phrase(
        rf"(?:so\s+|thus\s+|hence\s+|therefore,?\s+)?(?P<first>{_PLAIN_FIRST}(?:\s*[,;]?\s+{_PLAIN_FIRST}){{1,5}})",
        "the conditions first",
        "for \ue000 it is 1, for \ue001 it is 0",
        "for \ue000 it is 1",
    ),
)
_BARE = re.compile(r"(?<![A-Za-z])(?!a\b(?=\s+[a-z]))[A-Za-z](?![A-Za-z])")
_SIGNS = {"positive": "> 0", "negative": "< 0", "zero": "= 0"}
_EACH = {"pieces": re.compile(_PIECE, re.IGNORECASE), "first": re.compile(_FIRST, re.IGNORECASE)}
_NAMED = re.compile(r"\s*(?P<name>[^=<>]{1,40}?)\s*=\s*(?P<value>[^=<>]+)")


def cases_of(sentence: str, unmasked: Callable[[str], str]) -> str | None:
    """Return the cases that a sentence gives, as LaTeX; None if it gives none."""
    if (match := PIECES.whole(sentence)) is None:
        return None
    rows, names = list[str](), set[str]()
    order = "pieces" if "pieces" in match.groupdict() else "first"
    for piece in _EACH[order].finditer(match[order]):
        value = _value(piece["value"], unmasked)
        if value is None:
            return None
        if named := _NAMED.fullmatch(value):
            names.add(re.sub(r"\s", "", named["name"]))
            value = named["value"]
        else:
            names.add("")
        rows.append(f"{value} & {_condition(piece['condition'] or '', unmasked)}")
    if len(rows) < 2 or len(names - {""}) > 1:
        return None
    return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}"


def _value(text: str, unmasked: Callable[[str], str]) -> str | None:
    if re.fullmatch(FORMULA, text):
        return unmasked(text).strip("$ ").removeprefix("\\(").removesuffix("\\)")
    if text[-1].isdigit():
        return text
    if text.casefold() in ("none", "no"):
        return "0"
    number = number_from_words(text.casefold().split())
    return str(number[0]) if number and number[1] == 1 else None


def _condition(text: str, unmasked: Callable[[str], str]) -> str:
    if not text:
        return r"\text{otherwise}"
    formula = re.search(FORMULA, text)
    letter = unmasked(formula[0]).strip("$ ").removeprefix("\\(").removesuffix("\\)") if formula else ""
    if not formula and (bare := _BARE.search(text)):
        letter = bare[0]
    word = next((word for word in ("even", "odd", *_SIGNS) if re.search(rf"\b{word}\b", text, re.IGNORECASE)), "")
    if word in _SIGNS:
        return f"{letter} {_SIGNS[word]}"
    return rf"\text{{if }} {letter} \text{{ is {word}}}" if word else rf"\text{{if }} {letter}"
