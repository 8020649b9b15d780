"""The last resort: a bounded symbolic proof that a difference is zero.

Trees become sympy objects by constructors alone; no text ever reaches sympy's parser.
"""

from collections.abc import Callable
from typing import Any

import sympy

from kgym_plugins.verifiers.math.grammar.nodes import (
    Abs,
    Add,
    Call,
    Const,
    Degree,
    Div,
    Factorial,
    Mul,
    Neg,
    Node,
    Num,
    Percent,
    Pow,
    Sym,
    walk,
)
from kgym_plugins.verifiers.math.limits import EXACT_BITS, SYMBOLIC_NODES

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
    "asin": sympy.asin, "acos": sympy.acos, "atan": sympy.atan, "acot": sympy.acot,
    "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh,
    "ln": sympy.log, "floor": sympy.floor, "ceil": sympy.ceiling, "sgn": sympy.sign, "gcd": sympy.gcd, "lcm": sympy.lcm,
    "binom": sympy.binomial, "max": sympy.Max, "min": sympy.Min, "Re": sympy.re, "Im": sympy.im,
}  # fmt: skip
_GROWING = frozenset({"binom", "gcd", "lcm", "floor", "ceil"})
_MAX_EXPONENT = 200


class _TooHard(Exception):
    pass


def same_symbolically(one: Node, other: Node) -> bool:
    """Whether sympy simplifies the difference to zero; False also if it is too long to try."""
    if sum(1 for _ in walk(one)) + sum(1 for _ in walk(other)) > SYMBOLIC_NODES:
        return False
    try:
        difference = _build(one) - _build(other)
        return bool(sympy.expand(difference) == 0) or bool(sympy.simplify(difference) == 0)
    except (_TooHard, TypeError, ValueError, AttributeError, NotImplementedError, ArithmeticError, RecursionError):
        return False


def _small_integer(value: Any) -> bool:
    return bool(value.is_Integer and abs(value) <= _MAX_EXPONENT)


def _build(node: Node) -> Any:
    build = _BUILD.get(type(node))
    if build is None:
        raise _TooHard
    return build(node)


_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I}
"""No infinity: simplify may never return from cos(oo*t)."""


def _constant(node: Node) -> Any:
    if node.value not in _CONSTANTS:
        raise _TooHard
    return _CONSTANTS[node.value]


def _power(node: Node) -> Any:
    base, exponent = map(_build, node.args)
    if exponent.is_number and not (exponent.is_Rational and abs(exponent) <= _MAX_EXPONENT):
        raise _TooHard
    if base.is_Rational and exponent.is_Rational and max(abs(base.p), base.q).bit_length() * abs(exponent) > EXACT_BITS:
        raise _TooHard
    return sympy.Pow(base, exponent)


def _factorial(node: Node) -> Any:
    operand = _build(node.args[0])
    if node.value != 1 or (operand.is_number and not _small_integer(operand)):
        raise _TooHard
    return sympy.factorial(operand)


def _call(node: Node) -> Any:
    operands = [_build(arg) for arg in node.args]
    if node.value == "root":
        return sympy.Pow(operands[0], sympy.Pow(operands[1], -1))
    if node.value.startswith("$"):
        return sympy.Function(node.value[1:])(*operands)
    if node.value not in _FUNCTIONS:
        raise _TooHard
    if node.value in _GROWING and any(operand.is_number and not _small_integer(operand) for operand in operands):
        raise _TooHard
    return _FUNCTIONS[node.value](*operands)


_BUILD: dict[type[Node], Callable[[Node], Any]] = {
    Num: lambda node: sympy.Rational(node.value.value.numerator, node.value.value.denominator),
    Sym: lambda node: sympy.Symbol(node.value, real=True),
    Const: _constant,
    Add: lambda node: sympy.Add(*map(_build, node.args)),
    Mul: lambda node: sympy.Mul(*map(_build, node.args)),
    Neg: lambda node: sympy.Mul(-1, _build(node.args[0])),
    Div: lambda node: sympy.Mul(_build(node.args[0]), sympy.Pow(_build(node.args[1]), -1)),
    Pow: _power,
    Abs: lambda node: sympy.Abs(_build(node.args[0])),
    Percent: lambda node: _build(node.args[0]) / node.value,
    Degree: lambda node: _build(node.args[0]) * sympy.pi / 180,
    Factorial: _factorial,
    Call: _call,
}
