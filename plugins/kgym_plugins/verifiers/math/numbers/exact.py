"""Exact rational arithmetic on syntax trees, bounded in the size of its numbers."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from kgym_plugins.verifiers.math.grammar.nodes import (
    Abs,
    Add,
    Call,
    Div,
    Factorial,
    Mod,
    Mul,
    Neg,
    Node,
    Num,
    Percent,
    Pow,
    Sym,
)
from kgym_plugins.verifiers.math.limits import EXACT_BITS, EXACT_FACTORIAL

Point = Mapping[str, Fraction]
NOWHERE: Point = {}


class Undefined(ArithmeticError):
    """Division by zero, or a function outside its domain."""


def exact(node: Node, point: Point = NOWHERE) -> Fraction | None:
    """Return the rational value of a tree, or None if it is irrational, unknown or too long to write down.

    Raises Undefined for a division by zero.
    """
    if isinstance(node, Num):
        return node.value.value
    if isinstance(node, Sym):
        return point.get(node.value)
    apply = _APPLY.get(type(node))
    if apply is None:
        return None
    values = []
    for arg in node.args:
        value = exact(arg, point)
        if value is None:
            return None
        values.append(value)
    result = apply(node, values)
    if result is not None and max(result.numerator.bit_length(), result.denominator.bit_length()) > EXACT_BITS:
        return None
    return result


def _product(node: Node, values: list[Fraction]) -> Fraction:
    product = Fraction(1)
    for value in values:
        product *= value
    return product


def _quotient(node: Node, values: list[Fraction]) -> Fraction:
    if values[1] == 0:
        raise Undefined("division by zero")
    return values[0] / values[1]


def _remainder(node: Node, values: list[Fraction]) -> Fraction:
    if values[1] == 0:
        raise Undefined("remainder by zero")
    return values[0] % values[1]


def power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """base ** exponent if it is rational and short enough. Raises Undefined for 0 ** -1."""
    if exponent.denominator != 1:
        if exponent.denominator > 64:
            return None
        rooted = root(base, exponent.denominator)
        return None if rooted is None else power(rooted, Fraction(exponent.numerator))
    if base == 0 and exponent <= 0:
        raise Undefined("0 ** 0 or a division by zero")
    if base in (0, 1, -1):
        return base ** (int(exponent % 2) if base == -1 else min(int(exponent), 1))
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent) > EXACT_BITS:
        return None
    return base ** int(exponent)


def root(value: Fraction, index: int) -> Fraction | None:
    """The real root of a rational number if it is rational; odd roots of negative numbers are negative."""
    if value < 0:
        if index % 2 == 0:
            return None
        positive = root(-value, index)
        return None if positive is None else -positive
    above, below = _integer_root(value.numerator, index), _integer_root(value.denominator, index)
    return None if above is None or below is None else Fraction(above, below)


def _integer_root(value: int, index: int) -> int | None:
    if value < 2:
        return value
    if index == 2:
        found = math.isqrt(value)
    elif value.bit_length() <= index:
        return None
    else:
        low, high = 1, 1 << (value.bit_length() // index + 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if middle**index <= value else (low, middle - 1)
        found = low
    return found if found**index == value else None


def _factorial(value: Fraction, step: int) -> Fraction | None:
    if value.denominator != 1 or not 0 <= value <= EXACT_FACTORIAL:
        return None
    return Fraction(math.prod(range(int(value), 0, -step)))


def _call(name: str, values: list[Fraction]) -> Fraction | None:
    integers = [int(value) for value in values] if all(value.denominator == 1 for value in values) else None
    match name:
        case "root":
            index = values[1]
            if index.denominator == 1 and 0 < index <= 64:
                return root(values[0], int(index))
            return None
        case "binom" if integers and 0 <= integers[0] <= EXACT_FACTORIAL and integers[1] >= 0:
            return Fraction(math.comb(*integers))
        case "floor":
            return Fraction(math.floor(values[0]))
        case "ceil":
            return Fraction(math.ceil(values[0]))
        case "max":
            return max(values)
        case "min":
            return min(values)
        case "gcd" if integers:
            return Fraction(math.gcd(*integers))
        case "lcm" if integers:
            return Fraction(math.lcm(*integers))
        case "sgn":
            return Fraction((values[0] > 0) - (values[0] < 0))
        case "log" if len(values) == 2:
            return _logarithm(*values)
        case "lg":
            return _logarithm(values[0], Fraction(10))
    return None


def _logarithm(value: Fraction, base: Fraction) -> Fraction | None:
    """An integer logarithm; others are left to floating point."""
    if value <= 0 or base <= 0 or base == 1:
        return None
    if base < 1:
        found = _logarithm(value, 1 / base)
        return None if found is None else -found
    sign, at, count = (1, value, 0) if value >= 1 else (-1, 1 / value, 0)
    while at > 1 and count < 200:
        at, count = at / base, count + 1
    return Fraction(sign * count) if at == 1 else None


def stated(node: Node) -> tuple[Fraction, Fraction, int] | None:
    """Of a decimal as written: its value, half a unit of its last place, and its significant digits; None if it is not
    a decimal.

    `3.14` is (3.14, 0.005, 3); signs, percent signs and powers of ten around it are seen through (`6.02 \\times
    10^{23}`).
    """
    args = node.args
    if isinstance(node, Num):
        literal = node.value
        if literal.places is None:
            return None
        digits = literal.text.partition("e")[0].partition("E")[0].replace(".", "").lstrip("0")
        return literal.value, Fraction(1, 2) / Fraction(10) ** literal.places, len(digits)
    if isinstance(node, Neg):
        inner = stated(args[0])
        return None if inner is None else (-inner[0], inner[1], inner[2])
    if isinstance(node, Percent):
        inner = stated(args[0])
        return None if inner is None else (inner[0] / node.value, inner[1] / node.value, inner[2])
    if isinstance(node, Mul) and len(args) == 2:
        inner, factor = stated(args[0]), args[1]
        if inner is None or not isinstance(factor, Pow | Num):
            return None
        scale = exact(factor)
        if scale is None or not ((isinstance(factor, Pow) and exact(factor.args[0]) == 10) or scale == 10):
            return None
        return inner[0] * scale, inner[1] * scale, inner[2]
    return None


_APPLY: dict[type[Node], Callable[[Node, list[Fraction]], Fraction | None]] = {
    Add: lambda node, values: sum(values, Fraction(0)),
    Neg: lambda node, values: -values[0],
    Mul: _product,
    Div: _quotient,
    Pow: lambda node, values: power(*values),
    Abs: lambda node, values: abs(values[0]),
    Percent: lambda node, values: values[0] / int(node.value),
    Factorial: lambda node, values: _factorial(values[0], int(node.value)),
    Mod: _remainder,
    Call: lambda node, values: _call(str(node.value), values),
}
"""What a node is worth, given the values of its operands."""
