"""The last resort: a bounded symbolic proof that a difference is zero.

Trees become sympy objects by constructors alone; no text ever reaches sympy's parser.
"""

from collections.abc import Callable
from typing import Any

import sympy

from kgym_plugins.verifiers.math.grammar.nodes import Node, walk
from kgym_plugins.verifiers.math.limits import EXACT_BITS, SYMBOLIC_NODES

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
    "asin": sympy.asin, "acos": sympy.acos, "atan": sympy.atan, "acot": sympy.acot, "sinh": sympy.sinh, "cosh": sympy.cosh,
    "tanh": sympy.tanh,
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
    head, args = node.head, node.args
    match head:
        case "num":
            value = node.value.value
            return sympy.Rational(value.numerator, value.denominator)
        case "sym":
            return sympy.Symbol(node.value, real=True)
        case "const":
            constants = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I}  # no infinity: simplify may never return from cos(oo*t)
            if node.value in constants:
                return constants[node.value]
        case "add":
            return sympy.Add(*map(_build, args))
        case "mul":
            return sympy.Mul(*map(_build, args))
        case "neg":
            return sympy.Mul(-1, _build(args[0]))
        case "div":
            return sympy.Mul(_build(args[0]), sympy.Pow(_build(args[1]), -1))
        case "pow":
            base, exponent = _build(args[0]), _build(args[1])
            if exponent.is_number and not (exponent.is_Rational and abs(exponent) <= _MAX_EXPONENT):
                raise _TooHard
            if base.is_Rational and exponent.is_Rational and max(abs(base.p), base.q).bit_length() * abs(exponent) > EXACT_BITS:
                raise _TooHard
            return sympy.Pow(base, exponent)
        case "abs":
            return sympy.Abs(_build(args[0]))
        case "percent":
            return _build(args[0]) / node.value
        case "degree":
            return _build(args[0]) * sympy.pi / 180
        case "fact" if node.value == 1:
            operand = _build(args[0])
            if operand.is_number and not _small_integer(operand):
                raise _TooHard
            return sympy.factorial(operand)
        case "call":
            if node.value == "root":
                return sympy.Pow(_build(args[0]), sympy.Pow(_build(args[1]), -1))
            if node.value in _FUNCTIONS:
                operands = [_build(arg) for arg in args]
                if node.value in _GROWING and any(operand.is_number and not _small_integer(operand) for operand in operands):
                    raise _TooHard
                return _FUNCTIONS[node.value](*operands)
            if node.value.startswith("$"):
                return sympy.Function(node.value[1:])(*map(_build, args))
    raise _TooHard
