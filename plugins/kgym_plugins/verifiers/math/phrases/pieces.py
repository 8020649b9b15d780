r"""A function by cases in a sentence: "It is $x$ if $x \ge 0$ and $-x$ if $x < 0$.", with formulas as signs (`statements.FORMULA`)."""

import re
from collections.abc import Callable

from kgym_plugins.verifiers.math.phrases.numbers import number_from_words
from kgym_plugins.verifiers.math.phrases.statements import FORMULA
from kgym_plugins.verifiers.math.phrases.table import Phrase, Table

_VALUE = rf"(?<![a-z])(?:{FORMULA}|-?\d+(?:\.\d+)?|none|no|(?!(?:and|or|but|it|is|has|equals)\b)(?:minus\s+|negative\s+)?[a-z]+)"
_LETTER = (
    rf"(?:all\s+|every\s+|an?\s+)?(?:(?:even|odd)\s+{FORMULA}|{FORMULA}(?:\s+(?:is|are)\s+(?:an?\s+)?(?:even|odd|positive|negative|zero))?)"
)
_CONDITION = rf"(?:{_LETTER}|otherwise)"
_PIECE = rf"(?P<value>{_VALUE})(?:\s+[a-z]+){{0,3}}?,?\s+(?:(?:if|for|when|where|whenever)\s+(?P<condition>{_LETTER})|(?P<rest>otherwise))"
_PLAIN_PIECE = re.sub(r"\?P<\w+>", "?:", _PIECE)
_NEXT = r"(?:\s*[,;]\s*(?:and|or|but)?|\s+(?:and|but|or))\s*(?:it\s+(?:is|equals|has)\s+|(?:is|equals)\s+)?"
PIECES = Table(
    "values with conditions",
    "a sentence gives a value for each of several conditions",
    "whole",
    Phrase(
        rf"(?:[^.!?,;:]{{1,80}}?\s+(?:is|are|equals|has|have|takes\s+the\s+values?|gives)\s+)?(?P<pieces>{_PLAIN_PIECE}(?:{_NEXT}{_PLAIN_PIECE}){{1,5}})",
        "two or more values",
        "it is 1 for \ue000 and 0 for \ue001",
        "it is 1 for \ue000",
    ),
)
_SIGNS = {"positive": "> 0", "negative": "< 0", "zero": "= 0"}
_EACH = re.compile(_PIECE, re.IGNORECASE)
_NAMED = re.compile(r"\s*(?P<name>[A-Za-z]\(?[a-z]?\)?)\s*=\s*(?P<value>[^=<>]+)")


def cases_of(sentence: str, unmasked: Callable[[str], str]) -> str | None:
    """Return the cases that a sentence gives, as LaTeX; None if it gives none."""
    if (match := PIECES.whole(sentence)) is None:
        return None
    rows, names = list[str](), set[str]()
    for piece in _EACH.finditer(match["pieces"]):
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
    word = next((word for word in ("even", "odd", *_SIGNS) if re.search(rf"\b{word}\b", text, re.IGNORECASE)), "")
    if word in _SIGNS:
        return f"{letter} {_SIGNS[word]}"
    return rf"\text{{if }} {letter} \text{{ is {word}}}" if word else rf"\text{{if }} {letter}"
