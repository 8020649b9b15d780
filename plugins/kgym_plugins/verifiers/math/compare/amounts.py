"""Numbers of every kind, compared: with units, percent signs and currencies, in other bases, as ratios, residues and times of day.

The rules are documented in docs/verifier.md: what an answer leaves out is forgiven, what it changes is not.
"""

from fractions import Fraction

from kgym_plugins.verifiers.math.grammar.nodes import Node, canonical, number, symbols, walk
from kgym_plugins.verifiers.math.numbers.exact import exact
from kgym_plugins.verifiers.math.numbers.scalars import same_scalar
from kgym_plugins.verifiers.math.phrases.units import ANGLE, TEXT_ONLY, UNITS, Unit
from kgym_plugins.verifiers.math.values.types import (
    BaseNumber,
    Clock,
    Congruence,
    Ratio,
    Scalar,
    Value,
)

_PLACEHOLDER = "placeholder"


def same_amount(gold: Scalar, answer: Scalar) -> str | None:
    """Return the rule by which they are equal, or None."""
    if gold.unit.dimension or answer.unit.dimension:
        return _quantity(gold, answer)
    if gold.noun and answer.noun and not _same_noun(gold.noun, answer.noun):
        return None
    if bool(gold.percent) != bool(answer.percent):
        percent = gold.percent or answer.percent
        rule = same_scalar(gold.expression, answer.expression)
        if rule:
            return "percent"
        left, right = (_percentage(item) if item.percent else item.expression for item in (gold, answer))
        return "percent" if percent and same_scalar(left, right) else None
    if gold.percent != answer.percent:
        return "percent" if same_scalar(_percentage(gold), _percentage(answer)) else None
    return same_scalar(gold.expression, _constant_renamed(gold.expression, answer.expression))


def _constant_renamed(gold: Node, answer: Node) -> Node:
    """Call a constant of integration C, as the gold answer does."""
    extra = symbols(answer) - symbols(gold)
    if answer.head == "add" and symbols(gold) - symbols(answer) == {"C"} and extra <= {"c", "K", "k"} and len(extra) == 1:
        terms = [Node("sym", (), "C") if term.head == "sym" and term.value in extra else term for term in answer.args]
        return Node("add", tuple(terms))
    return answer


def _percentage(value: Scalar) -> Node:
    return Node("percent", (value.expression,), value.percent)


def _same_noun(one: str, other: str) -> bool:
    stems = [{word.rstrip(".").removesuffix("es").removesuffix("s").removesuffix("e") for word in noun.split()} for noun in (one, other)]
    return bool(stems[0] & stems[1])


def _times(expression: Node, size: Fraction) -> Node:
    return expression if size == 1 else Node("mul", (expression, number(size)))


def _quantity(gold: Scalar, answer: Scalar) -> str | None:
    """Amounts with units: a missing unit is forgiven, another one is converted, one of another kind is wrong."""
    one, other = gold.unit, answer.unit
    if not other.dimension and not answer.noun and (found := _letters_as_unit(answer, one)):
        return _quantity(gold, found)
    if not one.dimension and not gold.noun and (found := _letters_as_unit(gold, other)):
        return _quantity(found, answer)
    placeholder = [bool(unit.dimension) and all(name == _PLACEHOLDER for name, _ in unit.dimension) for unit in (one, other)]
    if one.dimension and other.dimension and not (any(placeholder) and not all(placeholder)):
        if one.dimension == other.dimension:
            if one.size == other.size:
                return "unit" if same_scalar(gold.expression, answer.expression) else None
            if one.offset or other.offset:
                return None
            return "unit" if same_scalar(_times(gold.expression, one.size), _times(answer.expression, other.size)) else None
        radians = {(("angle", 1),): True, (("radian", 1),): True}
        if one.dimension in radians and other.dimension in radians:
            return "unit" if same_scalar(_radians(gold), _radians(answer)) else None
        return None
    if (gold.noun and not one.dimension and other.dimension) or (answer.noun and not other.dimension and one.dimension):
        return None
    if same_scalar(gold.expression, answer.expression):
        return "unit"
    if {one.dimension, other.dimension} == {ANGLE, ()} and any(_in_radians(item.expression) for item in (gold, answer)):
        return "unit" if same_scalar(_radians(gold), _radians(answer)) else None
    return None


def _in_radians(node: Node) -> bool:
    """Whether a number without a unit is plainly an angle: it has pi, or is the value of an inverse function."""
    return "pi" in canonical(node) or any(item.head == "call" and item.value.startswith("a") for item in walk(node))


def _radians(value: Scalar) -> Node:
    return Node("degree", (value.expression,)) if value.unit.dimension == ANGLE else value.expression


def _letters_as_unit(value: Scalar, wanted: Unit) -> Scalar | None:
    """`9.8 m/s^2` without `\\text`: if all variables of a product are names of units and the unit is the wanted kind, they are units."""
    if not symbols(value.expression) or not all(name in UNITS or name in TEXT_ONLY for name in symbols(value.expression)):
        return None
    unit = Unit(())
    numbers: list[Node] = []

    def collect(node: Node, power: int) -> bool:
        nonlocal unit
        if node.head == "mul":
            return all(collect(arg, power) for arg in node.args)
        if node.head == "div":
            return collect(node.args[0], power) and collect(node.args[1], -power)
        if node.head == "pow" and node.args[0].head == "sym":
            exponent = exact(node.args[1])
            if exponent is None or exponent.denominator != 1 or abs(exponent) > 4:
                return False
            unit = unit.times(UNITS[node.args[0].value], power * int(exponent))
            return True
        if node.head == "sym":
            unit = unit.times(UNITS[node.value], power)
            return True
        if symbols(node):
            return False
        numbers.append(node if power > 0 else Node("pow", (node, number(-1))))
        return True

    if not collect(value.expression, 1) or unit.dimension != wanted.dimension:
        return None
    return Scalar(Node("mul", tuple(numbers)) if len(numbers) > 1 else numbers[0] if numbers else number(1), unit)


def same_ratio(gold: Value, answer: Value) -> str | None:
    """Return the rule by which they are equal, or None."""
    one, other = _parts(gold), _parts(answer)
    if one is None or other is None or len(one) != len(other):
        return None
    scale = [Node("mul", (left, other[0])) for left in one], [Node("mul", (right, one[0])) for right in other]
    return "ratio" if all(same_scalar(left, right) for left, right in zip(*scale, strict=True)) else None


def _parts(value: Value) -> tuple[Node, ...] | None:
    if isinstance(value, Ratio):
        return value.parts
    if isinstance(value, Clock):
        return tuple(number(part) for part in (value.hours, value.minutes))
    if isinstance(value, Scalar) and not value.unit.dimension:
        return (value.expression, number(1))
    return None


def same_congruence(gold: Value, answer: Value) -> str | None:
    """Return the rule by which they are equal, or None."""
    if isinstance(gold, Congruence) and isinstance(answer, Congruence):
        modulus = exact(gold.modulus)
        if modulus is None or modulus == 0:
            return "identical" if gold == answer else None
        if not same_scalar(gold.modulus, answer.modulus):
            return None
        residues = exact(gold.residue), exact(answer.residue)
        return "congruence" if None not in residues and (residues[0] - residues[1]) % modulus == 0 else None  # type: ignore[operator]
    if isinstance(gold, Congruence) and isinstance(answer, Scalar):
        return "residue" if same_scalar(gold.residue, answer.expression) else None
    if isinstance(answer, Congruence) and isinstance(gold, Scalar):
        return "residue" if same_scalar(gold.expression, answer.residue) else None
    return None


def same_based(gold: Value, answer: Value) -> str | None:
    """Return the rule by which they are equal, or None."""
    if isinstance(gold, BaseNumber) and isinstance(answer, BaseNumber):
        return "base" if gold == answer else None
    number_, rest = (gold, answer) if isinstance(gold, BaseNumber) else (answer, gold)
    assert isinstance(number_, BaseNumber)
    if number_.base == 10 and isinstance(rest, Scalar):
        return "base" if exact(rest.expression) == int(number_.digits) else None
    return None


def same_clock(gold: Value, answer: Value) -> str | None:
    """Return the rule by which they are equal, or None."""
    if not isinstance(gold, Clock) or not isinstance(answer, Clock):
        return None
    if (gold.minutes, gold.seconds) != (answer.minutes, answer.seconds):
        return None
    if gold.half and answer.half and gold.half != answer.half:
        return None
    if (gold.half and answer.half) or not (gold.half or answer.half):
        return "time" if gold.hours == answer.hours else None
    named, bare = (gold, answer) if gold.half else (answer, gold)
    hours = named.hours % 12 + (12 if named.half == "p" else 0)
    return "time" if bare.hours in (named.hours, hours) else None
