"""Typed values: what the syntax tree of an answer stands for.

The type decides how it is compared: order counts in a tuple and not in a set, end points in an interval, a name in an
equation.
"""

from dataclasses import dataclass

from kgym_plugins.verifiers.math.grammar.nodes import Node, canonical
from kgym_plugins.verifiers.math.numbers.exact import Undefined, exact
from kgym_plugins.verifiers.math.phrases.units import NO_UNIT, Unit


def number_text(expression: Node) -> str:
    """Return a number as a fraction if it is one, and the canonical text of any other expression."""
    try:
        value = exact(expression)
    except Undefined:
        value = None
    return canonical(expression) if value is None else str(value)


@dataclass(frozen=True)
class Scalar:
    """A number or an expression, with its unit."""

    expression: Node
    unit: Unit = NO_UNIT
    noun: str = ""
    """What is counted: `apples`."""
    percent: int = 0
    """100 if it is in percent."""

    def normal(self) -> str:
        """Return text that says what was understood."""
        words = [number_text(self.expression) + ("%" if self.percent else "")]
        words += [f"[{self.unit}]"] if self.unit.dimension else []
        return " ".join([*words, self.noun] if self.noun else words)


@dataclass(frozen=True)
class Equation:
    """left = right, where `middle` holds what is between them in a chain: x = 2 + 3 = 5."""

    left: Node
    right: Node
    middle: tuple[Node, ...] = ()
    operators: tuple[str, ...] = ("=",)

    def normal(self) -> str:
        """Return text that says what was understood."""
        return f"{canonical(self.left)} = {canonical(self.right)}"


@dataclass(frozen=True)
class Inequality:
    """left < right, with any of < <= !=, that is not solved for a variable."""

    operator: str
    left: Node
    right: Node

    def normal(self) -> str:
        """Return text that says what was understood."""
        return f"{canonical(self.left)} {self.operator} {canonical(self.right)}"


@dataclass(frozen=True)
class Piece:
    """An interval; a single point has equal, closed ends."""

    low: Node
    high: Node
    low_closed: bool
    high_closed: bool

    def normal(self) -> str:
        """Return text that says what was understood."""
        low, high = canonical(self.low), canonical(self.high)
        return f"{'[' if self.low_closed else '('}{low}, {high}{']' if self.high_closed else ')'}"


@dataclass(frozen=True)
class RealSet:
    """A union of intervals, in order; of a variable if it came from an inequality."""

    pieces: tuple[Piece, ...]
    variable: str = ""
    domain: str = ""
    """`integers`, `naturals` or `rationals` where only those are meant."""

    def normal(self) -> str:
        """Return text that says what was understood."""
        text = " u ".join(piece.normal() for piece in self.pieces)
        return f"{self.domain} in {text}" if self.domain else text


@dataclass(frozen=True)
class Ordered:
    """A tuple, point, vector or list in brackets, or an interval where two real numbers allow that."""

    items: "tuple[Value, ...]"
    opening: str
    closing: str

    def normal(self) -> str:
        """Return text that says what was understood."""
        return self.opening + ", ".join(item.normal() for item in self.items) + self.closing


@dataclass(frozen=True)
class Collection:
    """Several answers in any order: a set in braces, or a list without brackets."""

    items: "tuple[Value, ...]"
    braces: bool = False
    alternatives: bool = False
    """Joined by "or"."""

    def normal(self) -> str:
        """Return text that says what was understood."""
        return "{" + ", ".join(sorted(item.normal() for item in self.items)) + "}"


@dataclass(frozen=True)
class Assignments:
    """x = 1, y = 2."""

    items: "tuple[tuple[str, Value], ...]"

    def normal(self) -> str:
        """Return text that says what was understood."""
        return ", ".join(f"{name} = {item.normal()}" for name, item in sorted(self.items, key=lambda pair: pair[0]))


@dataclass(frozen=True)
class Matrix:
    """Rows of expressions."""

    rows: tuple[tuple[Node, ...], ...]

    def normal(self) -> str:
        """Return text that says what was understood."""
        return "[" + "; ".join(", ".join(map(canonical, row)) for row in self.rows) + "]"


@dataclass(frozen=True)
class Piecewise:
    """A function defined by cases: values with their conditions."""

    cases: "tuple[tuple[Value, Value], ...]"

    def normal(self) -> str:
        """Return text that says what was understood."""
        return "; ".join(f"{item.normal()} if {condition.normal()}" for item, condition in self.cases)


@dataclass(frozen=True)
class BaseNumber:
    """Digits in a base."""

    digits: str
    base: int

    def normal(self) -> str:
        """Return text that says what was understood."""
        return f"{self.digits}_{self.base}"


@dataclass(frozen=True)
class Ratio:
    """a : b, or more parts."""

    parts: tuple[Node, ...]

    def normal(self) -> str:
        """Return text that says what was understood."""
        return ":".join(map(canonical, self.parts))


@dataclass(frozen=True)
class Clock:
    """A time of day: 2:30, perhaps with am or pm."""

    hours: int
    minutes: int
    seconds: int = 0
    half: str = ""

    def normal(self) -> str:
        """Return text that says what was understood."""
        seconds = f":{self.seconds:02}" if self.seconds else ""
        return f"{self.hours}:{self.minutes:02}{seconds}" + (f" {self.half}" if self.half else "")


@dataclass(frozen=True)
class Congruence:
    """A residue class: 3 mod 7."""

    residue: Node
    modulus: Node
    name: str = ""
    """Of the number that is in the class: x in `x \\equiv 3 \\pmod 7`."""

    def normal(self) -> str:
        """Return text that says what was understood."""
        return f"{canonical(self.residue)} mod {canonical(self.modulus)}"


@dataclass(frozen=True)
class Conditioned:
    """A value with a remark on it: where it holds, or what its letters stand for."""

    value: "Value"
    condition: "Condition"

    def normal(self) -> str:
        """Return text that says what was understood."""
        return f"{self.value.normal()} where {self.condition.normal()}"


@dataclass(frozen=True)
class Condition:
    """What is said after a value: `n \\ge 2`, `k \\in \\mathbb{Z}`, or words."""

    domains: tuple[tuple[str, str], ...] = ()
    """Letters with the numbers that they stand for: `integers`, `naturals`, `rationals`, `reals`."""
    formula: "Value | None" = None
    """A relation that has to hold."""
    remark: str = ""
    """Anything else."""

    def normal(self) -> str:
        """Return text that says what was understood."""
        parts = [f"{name} in {domain}" for name, domain in self.domains]
        parts += [self.formula.normal()] if self.formula else []
        return ", ".join([*parts, self.remark] if self.remark else parts)


@dataclass(frozen=True)
class Choice:
    """A letter of a multiple-choice problem, perhaps with the text of that choice."""

    letter: str
    content: "Value | None" = None

    def normal(self) -> str:
        """Return text that says what was understood."""
        return self.letter + (f": {self.content.normal()}" if self.content else "")


@dataclass(frozen=True)
class Words:
    """Text, in the normal form of `phrases.normal_words`."""

    text: str

    def normal(self) -> str:
        """Return text that says what was understood."""
        return self.text


@dataclass(frozen=True)
class Opaque:
    """What the grammar does not know; equal only to the same text."""

    text: str

    def normal(self) -> str:
        """Return text that says what was understood."""
        return self.text


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
    | Conditioned
    | Choice
    | Words
    | Opaque
)
