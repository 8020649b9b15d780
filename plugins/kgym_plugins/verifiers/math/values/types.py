"""Typed values: what the syntax tree of an answer stands for.

The type decides how it is compared: order counts in a tuple and not in a set, end points in an interval, a name in an equation.
"""

from dataclasses import dataclass

from kgym_plugins.verifiers.math.grammar.nodes import Node, canonical
from kgym_plugins.verifiers.math.numbers.exact import Undefined, exact
from kgym_plugins.verifiers.math.phrases.units import NO_UNIT, Unit


@dataclass(frozen=True)
class Scalar:
    """A number or an expression, with its unit."""

    expression: Node
    unit: Unit = NO_UNIT
    noun: str = ""
    """What is counted: `apples`."""
    percent: int = 0
    """100 if it is in percent."""


@dataclass(frozen=True)
class Equation:
    """left = right, where `middle` holds what stands between them in a chain: x = 2 + 3 = 5."""

    left: Node
    right: Node
    middle: tuple[Node, ...] = ()
    operators: tuple[str, ...] = ("=",)


@dataclass(frozen=True)
class Inequality:
    """left < right, with any of < <= !=, that is not solved for a variable."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Piece:
    """An interval; a single point has equal, closed ends."""

    low: Node
    high: Node
    low_closed: bool
    high_closed: bool


@dataclass(frozen=True)
class RealSet:
    """A union of intervals, in order; of a variable if it came from an inequality."""

    pieces: tuple[Piece, ...]
    variable: str = ""
    domain: str = ""
    """`integers`, `naturals` or `rationals` where only those are meant."""


@dataclass(frozen=True)
class Ordered:
    """A tuple, point, vector or list in brackets, or an interval where two real numbers allow that."""

    items: "tuple[Value, ...]"
    opening: str
    closing: str


@dataclass(frozen=True)
class Collection:
    """Several answers in any order: a set in braces, or a list without brackets."""

    items: "tuple[Value, ...]"
    braces: bool = False
    alternatives: bool = False
    """Joined by "or"."""


@dataclass(frozen=True)
class Assignments:
    """x = 1, y = 2."""

    items: "tuple[tuple[str, Value], ...]"


@dataclass(frozen=True)
class Matrix:
    """Rows of expressions."""

    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True)
class Piecewise:
    """A function defined by cases: values with their conditions."""

    cases: "tuple[tuple[Value, Value], ...]"


@dataclass(frozen=True)
class BaseNumber:
    """Digits in a base."""

    digits: str
    base: int


@dataclass(frozen=True)
class Ratio:
    """a : b, or more parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Clock:
    """A time of day: 2:30, perhaps with am or pm."""

    hours: int
    minutes: int
    seconds: int = 0
    half: str = ""


@dataclass(frozen=True)
class Congruence:
    """A residue class: 3 mod 7."""

    residue: Node
    modulus: Node


@dataclass(frozen=True)
class Choice:
    """A letter of a multiple-choice problem, perhaps with the text of that choice."""

    letter: str
    content: "Value | None" = None


@dataclass(frozen=True)
class Words:
    """Text, in the normal form of `phrases.normal_words`."""

    text: str


@dataclass(frozen=True)
class Opaque:
    """What the grammar does not know; equal only to the same text."""

    text: str


Value = (
    Scalar
    | Equation
    | Inequality
    | RealSet
    | Ordered
    | Collection
    | Assignments
    | Matrix
    | Piecewise
    | BaseNumber
    | Ratio
    | Clock
    | Congruence
    | Choice
    | Words
    | Opaque
)


def _number(expression: Node) -> str:
    try:
        value = exact(expression)
    except Undefined:
        value = None
    return canonical(expression) if value is None else str(value)


def normal(value: Value) -> str:
    """Text that says what was understood."""
    match value:
        case Scalar(expression, unit, noun, percent):
            name = "*".join(f"{base}^{power}" if power != 1 else base for base, power in unit.dimension)
            size = f"{unit.size}*" if name and unit.size != 1 else ""
            return _number(expression) + ("%" if percent else "") + (f" [{size}{name}]" if name else "") + (f" {noun}" if noun else "")
        case Equation(left, right):
            return f"{canonical(left)} = {canonical(right)}"
        case Inequality(operator, left, right):
            return f"{canonical(left)} {operator} {canonical(right)}"
        case RealSet(pieces, _, domain):
            text = " u ".join(
                f"{'[' if p.low_closed else '('}{canonical(p.low)}, {canonical(p.high)}{']' if p.high_closed else ')'}" for p in pieces
            )
            return f"{domain} in {text}" if domain else text
        case Ordered(items, opening, closing):
            return opening + ", ".join(map(normal, items)) + closing
        case Collection(items):
            return "{" + ", ".join(sorted(map(normal, items))) + "}"
        case Assignments(pairs):
            return ", ".join(f"{name} = {normal(item)}" for name, item in sorted(pairs, key=lambda pair: pair[0]))
        case Matrix(rows):
            return "[" + "; ".join(", ".join(map(canonical, row)) for row in rows) + "]"
        case Piecewise(cases):
            return "; ".join(f"{normal(item)} if {normal(condition)}" for item, condition in cases)
        case BaseNumber(digits, base):
            return f"{digits}_{base}"
        case Ratio(parts):
            return ":".join(map(canonical, parts))
        case Clock(hours, minutes, seconds, half):
            return f"{hours}:{minutes:02}" + (f":{seconds:02}" if seconds else "") + (f" {half}" if half else "")
        case Congruence(residue, modulus):
            return f"{canonical(residue)} mod {canonical(modulus)}"
        case Choice(letter, content):
            return letter + (f": {normal(content)}" if content else "")
        case Words(text) | Opaque(text):
            return text
