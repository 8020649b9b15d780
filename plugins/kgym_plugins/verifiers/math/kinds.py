"""The kinds of answers, of which the last sentence has to say one: a number, a formula, a place, values, a property."""

import re
from fractions import Fraction

from kgym_plugins.verifiers.math.grammar.nodes import Sym, symbols
from kgym_plugins.verifiers.math.numbers.exact import Undefined, exact
from kgym_plugins.verifiers.math.phrases.named import INFINITELY_MANY
from kgym_plugins.verifiers.math.phrases.numbers import ORDINAL_WORDS
from kgym_plugins.verifiers.math.phrases.properties import property_of
from kgym_plugins.verifiers.math.reading import read  # noqa: F401  (for the example)
from kgym_plugins.verifiers.math.values.types import (
    Assignments,
    Clock,
    Collection,
    Conditioned,
    Equation,
    Ordered,
    Piecewise,
    RealSet,
    Scalar,
    Value,
    Words,
)

ORDINAL = re.compile(
    rf"\d(?:st|nd|rd|th)\b|\b(?:{ORDINAL_WORDS})\b|\b(?:tenths|hundredths|thousandths)\b|\}}?\$(?:st|nd|rd|th)\b",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"(?:per|an?|each|every|/) second\b")
_LETTER = re.compile(r"(?:(?:the\s+)?(?:option|choice|answer)\s+)?\(?[A-J]\)?")
_PLACE = re.compile(r"\d+ [a-z]+|(?:ten|hundred|thousand|million)ths(?: place)?")
_BASIS = frozenset({"hat_i", "hat_j", "hat_k"})
_WHOLE_NUMBERS = re.compile(r"(?:[a-z]+ ){0,2}integers|naturals")


def kind_of(text: str, value: Value) -> str:
    """Return the kind of an answer: a number, a formula, a place in an order, a quadrant, a property, none; "" for all
    others.

    >>> [kind_of(text, read(text)) for text in ("7 cm", "$x^2$", "the 5th", "Quadrant II", "isosceles", "Ann")]
    ['number', 'formula', 'ordinal', 'quadrant', 'property', '']
    """
    if _LETTER.fullmatch(text.strip("$ ")):
        return "choice"
    if isinstance(value, Collection) and not value.items:
        return "none"
    if isinstance(value, Words):
        if value.text.startswith(("quadrant ", "octant ")):
            return "quadrant"
        if _PLACE.fullmatch(value.text):
            return "ordinal"
        if value.text in ("yes", "no"):
            return "reply"
        if _WHOLE_NUMBERS.fullmatch(value.text) and "\\in" not in text:
            return "values"
        if value.text == INFINITELY_MANY:
            return "endless"
        return "property" if property_of(value.text) else ""
    if isinstance(value, Conditioned):
        return kind_of(text, value.value)
    if isinstance(value, Ordered | RealSet | Collection | Assignments):
        return "values"
    if isinstance(value, Piecewise) or "\\begin{cases}" in text:
        return "pieces"
    if isinstance(value, Clock):
        return "time"
    if isinstance(value, Scalar):
        if symbols(value.expression) and symbols(value.expression) <= _BASIS:
            return "values"
        if (worth := _worth(value)) is not None and worth.denominator > 1:
            return "number"
        if ORDINAL.search(_SECONDS.sub("", text)):
            return "ordinal" if not symbols(value.expression) else ""
        return "formula" if symbols(value.expression) else "number"
    if isinstance(value, Equation):
        if symbols(value.right) and symbols(value.right) <= _BASIS:
            return "values"
        return (
            "number"
            if (isinstance(value.left, Sym) or not symbols(value.left)) and not symbols(value.right)
            else "formula"
        )
    return ""


def _worth(value: Scalar) -> Fraction | None:
    try:
        return exact(value.expression)
    except Undefined:
        return None
