"""Numbers of every kind, compared: with units, percent signs and currencies, in other bases, as ratios, residues and
times of day.

What an answer leaves out is forgiven, what it changes is not.
"""

import re
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, permutations

from kgym_plugins.verifiers.math.compare.table import Rule, compares, rule
from kgym_plugins.verifiers.math.grammar.nodes import (
    Call,
    Degree,
    Div,
    Mul,
    Node,
    Percent,
    Pow,
    Sym,
    canonical,
    number,
    symbols,
    walk,
)
from kgym_plugins.verifiers.math.numbers.exact import exact
from kgym_plugins.verifiers.math.numbers.jumps import WHOLE_LETTERS
from kgym_plugins.verifiers.math.numbers.scalars import same_scalar
from kgym_plugins.verifiers.math.phrases.numbers import DOZENS
from kgym_plugins.verifiers.math.phrases.units import ANGLE, MINUTE_OF_ARC, NO_UNIT, SECOND_OF_ARC, SYMBOLS, UNITS, Unit
from kgym_plugins.verifiers.math.strictness import allowed
from kgym_plugins.verifiers.math.values.types import (
    BaseNumber,
    Clock,
    Congruence,
    Ratio,
    Scalar,
    Value,
)

_PLACEHOLDER = "placeholder"

_NUMBERS = {
    made.name: made
    for made in (
        rule(
            "exact",
            "the same rational number; tiny and huge numbers are compared relatively",
            example=("1/2", "0.50"),
            counter=("1/3^{70}", "1/3^{71}"),
        ),
        rule(
            "identical",
            "the same expression, but for the order of sums and products",
            example=("x^2 + 2xy", "2xy + x^2"),
            counter=("2k + 2", "2n + 2"),
        ),
        rule(
            "rounded",
            "a decimal equals an exact value to the precision that it states, if it states four significant digits, in "
            "a gold answer three",
            example=(r"\frac{1}{3}", "0.3333"),
            counter=(r"\frac{1}{3}", "0.33"),
        ),
        rule(
            "numeric",
            "the same value at 40 digits; functions wherever both are defined over the reals, at a dozen points of "
            "both signs. `log` without a base is natural or decimal, the same on both sides",
            example=(r"2 \ln x", r"\ln x^2"),
            counter=("x", r"\sqrt{x^2}"),
        ),
        rule(
            "symbolic",
            "the same function by algebra, if no point gives both a value",
            example=("f(x) - f(x) + g(x)", "g(x)"),
            counter=("f(x) + g(x)", "f(x) + g(2x)"),
        ),
    )
}
PERCENT = rule("percent", "10 % is 0.1", example=("0.1", r"10\%"), counter=("25", "0.25"))
PERCENT_LEFT_OUT = rule(
    "percent left out",
    "10 % is 10, since the question has said percent; with the option `percent_left_out`",
    example=("10", r"10\%"),
    counter=("10", r"0.1\%"),
)
UNIT = rule(
    "unit",
    "another unit of the same kind is converted, one of another kind is wrong; so with money and with things that are "
    "counted. 90 degrees are pi/2",
    example=(r"1 \text{ m}", r"100 \text{ cm}"),
    counter=(r"1 \text{ m}", r"1 \text{ s}"),
)
UNIT_LEFT_OUT = rule(
    "unit left out",
    "a unit of the gold answer, or its degree sign, may be missing; with the option `unit_left_out`",
    example=(r"5 \text{ cm}", "5"),
    counter=(r"5 \text{ cm}", "50"),
)
RATIO = rule("ratio", "2:4 is 1:2 is 1/2", example=("2:4", "1:2"), counter=("2:4", "2:1"))
CONGRUENCE = rule(
    "congruence",
    "the same class of residues, or 7k + 3 for all its members; `x = 3` is one member and not the class",
    example=(r"x \equiv 10 \pmod 7", "7k + 3"),
    counter=(r"x \equiv 10 \pmod 7", "x = 3"),
)
RESIDUE = rule("residue", "a residue without its modulus", example=(r"3 \pmod 7", "3"), counter=(r"3 \pmod 7", "10"))
BASE = rule(
    "base",
    "digits and base; the bare digits do if the question names the base",
    example=("12_3", r"12_{\text{three}}"),
    counter=("12_3", "12_4"),
)
TIME = rule("time", "2:30 is 2:30 p.m. and 14:30", example=("2:30 p.m.", "14:30"), counter=("2:30 p.m.", "2:30 a.m."))


@compares((Scalar, Scalar))
def same_amount(gold: Scalar, answer: Scalar) -> Rule | None:
    """Numbers, with their units; dozens and pairs are so many things."""
    if found := _same_amount(gold, answer):
        return found
    if not gold.noun and not answer.noun:
        return None
    one, other = _one_by_one(gold), _one_by_one(answer)
    return None if one is gold and other is answer else _same_amount(one, other)


_GROUPS = {**DOZENS, "pair": 2, "pairs": 2}


def _one_by_one(value: Scalar) -> Scalar:
    """Dozens of things as so many things: 2 dozen eggs are 24 eggs."""
    group, _, noun = value.noun.partition(" ")
    size = _GROUPS.get(group)
    return value if size is None else replace(value, expression=Mul((value.expression, number(size))), noun=noun)


def _same_amount(gold: Scalar, answer: Scalar) -> Rule | None:
    if gold.unit.dimension or answer.unit.dimension:
        return _quantity(gold, answer)
    if gold.noun and answer.noun and not _same_noun(gold.noun, answer.noun):
        return None
    if bool(gold.percent) != bool(answer.percent):
        percent = gold.percent or answer.percent
        if same_scalar(gold.expression, answer.expression) and allowed("percent_left_out"):
            return PERCENT_LEFT_OUT
        left, right = (_percentage(item) if item.percent else item.expression for item in (gold, answer))
        return PERCENT if percent and same_scalar(left, right) else None
    if gold.percent != answer.percent:
        return PERCENT if same_scalar(_percentage(gold), _percentage(answer)) else None
    for expression in _constants_renamed(gold.expression, answer.expression):
        if (found := same_scalar(gold.expression, expression)) is not None:
            return _NUMBERS[found]
    return None


_CONSTANT = re.compile(r"[CcKkA-D]|[CcKkAa]_?\d")
_ARBITRARY = re.compile(r"C|[Cc]_?\d")
_FREE = frozenset("xtyzuvs") | {"theta", "phi", "r"}
"""Letters of which a formula with a constant of integration is a function."""


def _constants_renamed(gold: Node, answer: Node) -> list[Node]:
    """Call constants of integration as the gold answer does, in every order if there are two; the answer itself if
    there are none.
    """
    named, found = symbols(gold), symbols(answer)
    wanted, given = sorted(named - found), sorted(found - named)
    if not 0 < len(wanted) == len(given) <= 2 or not all(map(_CONSTANT.fullmatch, given)) or not named & _FREE:
        return [answer]
    indexed = all(name[-1].isdigit() for name in given)
    if not (
        all(map(_ARBITRARY.fullmatch, wanted))
        or [name.swapcase() for name in wanted] == given
        or (wanted == ["A", "B"] and indexed)
    ):
        return [answer]
    return [_replaced(answer, dict(zip(order, wanted, strict=True))) for order in permutations(given)]


def _replaced(node: Node, names: dict[str, str]) -> Node:
    if isinstance(node, Sym):
        return Sym(names.get(node.value, node.value))
    return node.with_args(tuple(_replaced(arg, names) for arg in node.args)) if node.args else node


def _percentage(value: Scalar) -> Node:
    return Percent((value.expression,), value.percent)


def _same_noun(one: str, other: str) -> bool:
    stems = [
        {word.rstrip(".").removesuffix("es").removesuffix("s").removesuffix("e") for word in noun.split()}
        for noun in (one, other)
    ]
    return bool(stems[0] & stems[1])


def _times(expression: Node, size: Fraction) -> Node:
    return expression if size == 1 else Mul((expression, number(size)))


def _quantity(gold: Scalar, answer: Scalar) -> Rule | None:
    """Amounts with units: a missing unit is forgiven, another one is converted, one of another kind is wrong."""
    one, other = gold.unit, answer.unit
    if not other.dimension and not answer.noun and (found := _letters_as_unit(answer, one)):
        return _quantity(gold, found)
    if not one.dimension and not gold.noun and (found := _letters_as_unit(gold, other)):
        return _quantity(found, answer)
    placeholder = [
        bool(unit.dimension) and all(name == _PLACEHOLDER for name, _ in unit.dimension) for unit in (one, other)
    ]
    if one.dimension and other.dimension and not (any(placeholder) and not all(placeholder)):
        if one.dimension == other.dimension:
            counted_per = all(power < 0 for _, power in one.dimension) and gold.noun and answer.noun
            if counted_per and not _same_noun(gold.noun, answer.noun):
                return None  # apples per day and oranges per day
            if one.size == other.size:
                return UNIT if same_scalar(gold.expression, answer.expression) else None
            if one.offset or other.offset:
                return None
            return (
                UNIT if same_scalar(_times(gold.expression, one.size), _times(answer.expression, other.size)) else None
            )
        radians = {(("angle", 1),): True, (("radian", 1),): True}
        if one.dimension in radians and other.dimension in radians:
            return UNIT if same_scalar(_radians(gold), _radians(answer)) else None
        return None
    if (gold.noun and not one.dimension and other.dimension) or (answer.noun and not other.dimension and one.dimension):
        return None
    if not one.dimension and other in (MINUTE_OF_ARC, SECOND_OF_ARC):
        return None  # 42' is not 42
    if same_scalar(gold.expression, answer.expression):
        if other.dimension or placeholder[0]:
            return UNIT
        return UNIT_LEFT_OUT if allowed("unit_left_out") else None
    if {one.dimension, other.dimension} == {ANGLE, ()} and any(_in_radians(item.expression) for item in (gold, answer)):
        return UNIT if same_scalar(_radians(gold), _radians(answer)) else None
    return None


def _in_radians(node: Node) -> bool:
    """Whether a number without a unit is plainly an angle: it has pi, or is the value of an inverse function."""
    return "pi" in canonical(node) or any(isinstance(item, Call) and item.value.startswith("a") for item in walk(node))


def _radians(value: Scalar) -> Node:
    return Degree((value.expression,)) if value.unit.dimension == ANGLE else value.expression


def _letter_unit(name: str) -> Unit | None:
    """The unit that a variable is, if it is one."""
    return UNITS.get(name) or SYMBOLS.get(name)


def _letters_as_unit(value: Scalar, wanted: Unit) -> Scalar | None:
    """`9.8 m/s^2` without `\\text`: if all variables of a product are names of units and the unit is the wanted
    kind, they are units.
    """
    if not symbols(value.expression) or not all(map(_letter_unit, symbols(value.expression))):
        return None
    unit = Unit(())
    numbers: list[Node] = []

    def collect(node: Node, power: int) -> bool:
        nonlocal unit
        if isinstance(node, Mul):
            return all(collect(arg, power) for arg in node.args)
        if isinstance(node, Div):
            return collect(node.args[0], power) and collect(node.args[1], -power)
        if isinstance(node, Pow) and isinstance(node.args[0], Sym):
            exponent = exact(node.args[1])
            if exponent is None or exponent.denominator != 1 or abs(exponent) > 4:
                return False
            unit = unit.times(_letter_unit(node.args[0].value) or NO_UNIT, power * int(exponent))
            return True
        if isinstance(node, Sym):
            unit = unit.times(_letter_unit(node.value) or NO_UNIT, power)
            return True
        if symbols(node):
            return False
        numbers.append(node if power > 0 else Pow((node, number(-1))))
        return True

    if not collect(value.expression, 1) or unit.dimension != wanted.dimension:
        return None
    return Scalar(Mul(tuple(numbers)) if len(numbers) > 1 else numbers[0] if numbers else number(1), unit)


@compares((Ratio, (Ratio, Clock, Scalar)), ((Clock, Scalar), Ratio))
def same_ratio(gold: Value, answer: Value) -> Rule | None:
    """Parts up to a common factor."""
    one, other = _parts(gold), _parts(answer)
    if one is None or other is None or len(one) != len(other):
        return None
    scale = [Mul((left, other[0])) for left in one], [Mul((right, one[0])) for right in other]
    return RATIO if all(same_scalar(left, right) for left, right in zip(*scale, strict=True)) else None


def _parts(value: Value) -> tuple[Node, ...] | None:
    if isinstance(value, Ratio):
        return value.parts
    if isinstance(value, Clock):
        return tuple(number(part) for part in (value.hours, value.minutes))
    if isinstance(value, Scalar) and not value.unit.dimension:
        return (value.expression, number(1))
    return None


@compares((Congruence, Congruence))
def same_congruence(gold: Congruence, answer: Congruence) -> Rule | None:
    """The same class for the same modulus, of the same number."""
    if gold.name and answer.name and gold.name != answer.name:
        return None
    if not same_scalar(gold.modulus, answer.modulus):
        return None
    modulus = exact(gold.modulus)
    one, other = exact(gold.residue), exact(answer.residue)
    if one is None or other is None or not modulus:
        return CONGRUENCE if same_scalar(gold.residue, answer.residue) else None
    return CONGRUENCE if (one - other) % modulus == 0 else None


@compares((Congruence, Scalar), (Scalar, Congruence))
def same_residue(gold: Value, answer: Value) -> Rule | None:
    """A residue without its modulus, or all members of the class with a letter that stands for whole numbers."""
    congruence, rest = (gold, answer) if isinstance(gold, Congruence) else (answer, gold)
    assert isinstance(congruence, Congruence)
    assert isinstance(rest, Scalar)
    if same_scalar(congruence.residue, rest.expression):
        return RESIDUE
    return CONGRUENCE if _members(rest.expression, congruence) else None


def _members(expression: Node, congruence: Congruence) -> bool:
    """Whether a formula such as 7k + 3, with whole k, has the members of a class as its values, all of them."""
    names = symbols(expression)
    modulus, residue = exact(congruence.modulus), exact(congruence.residue)
    if len(names) != 1 or not names <= WHOLE_LETTERS | {"t"} or not modulus or residue is None:
        return False
    (name,) = names
    values = [exact(expression, {name: Fraction(at)}) for at in range(-3, 4)]
    if any(value is None for value in values):
        return False
    first, *rest = [value for value in values if value is not None]
    step = rest[0] - first
    return (
        abs(step) == abs(modulus) and (first - residue) % modulus == 0 and all(b - a == step for a, b in pairwise(rest))
    )


@compares((BaseNumber, BaseNumber))
def same_based(gold: BaseNumber, answer: BaseNumber) -> Rule | None:
    """The same digits in the same base."""
    return BASE if gold == answer else None


@compares((BaseNumber, Scalar), (Scalar, BaseNumber))
def base_ten(gold: Value, answer: Value) -> Rule | None:
    """Digits in base ten are a number."""
    based, rest = (gold, answer) if isinstance(gold, BaseNumber) else (answer, gold)
    assert isinstance(based, BaseNumber)
    assert isinstance(rest, Scalar)
    return BASE if based.base == 10 and exact(rest.expression) == int(based.digits) else None


@compares((Clock, Clock))
def same_clock(gold: Clock, answer: Clock) -> Rule | None:
    """Times of day, where one side may leave out which half of the day it is."""
    if (gold.minutes, gold.seconds) != (answer.minutes, answer.seconds):
        return None
    if gold.half and answer.half and gold.half != answer.half:
        return None
    if (gold.half and answer.half) or not (gold.half or answer.half):
        return TIME if gold.hours == answer.hours else None
    named, bare = (gold, answer) if gold.half else (answer, gold)
    hours = named.hours % 12 + (12 if named.half == "p" else 0)
    return TIME if bare.hours in (named.hours, hours) else None
