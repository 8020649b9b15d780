"""High-precision values of syntax trees, over the reals (with domains respected) or the complex numbers.

Magnitudes are looked at before anything is computed: an exponent tower is refused, not tried.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from typing import Any

import mpmath  # type: ignore[import-untyped]
from mpmath.ctx_mp import MPContext  # type: ignore[import-untyped]

from kgym_plugins.verifiers.math.grammar.nodes import (
    Abs,
    Add,
    Call,
    Const,
    Degree,
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
from kgym_plugins.verifiers.math.limits import EXPONENT_BITS, FACTORIAL, LimitError
from kgym_plugins.verifiers.math.numbers.exact import NOWHERE, Point, Undefined, exact
from kgym_plugins.verifiers.math.tables import name_list

_MAX_MAGNITUDE = 20_000
"""Binary exponent beyond which a number is not turned into an integer."""


class Deferred(Exception):
    """Floating point or algebra was asked for where only exact arithmetic is allowed."""


class _Local(threading.local):
    exact_only = False

    def __init__(self) -> None:
        self.context = MPContext()  # the precision of mpmath.mp belongs to anyone who imported it


_local = _Local()


@contextmanager
def exact_only() -> Iterator[None]:
    """Raise Deferred, in this thread, for everything that exact arithmetic does not decide."""
    _local.exact_only = True
    try:
        yield
    finally:
        _local.exact_only = False


def refuse_if_exact_only() -> None:
    """Raises Deferred inside `exact_only`."""
    if _local.exact_only:
        raise Deferred


class Evaluator:
    """Evaluates trees at one precision in one number field.

    `real`: roots and logarithms of negative numbers are undefined, odd roots are real. Otherwise principal values.
    `log_base`: what `log` without a base means, 0 for the natural logarithm.
    """

    def __init__(self, digits: int, *, real: bool = True, log_base: int = 0) -> None:
        refuse_if_exact_only()
        self.ctx = _local.context
        self.ctx.dps = digits
        self.real = real
        self.log_base = log_base

    def __call__(self, node: Node, point: Point = NOWHERE) -> Any:
        """Return an mpf or mpc. Raises Undefined outside the domain and LimitError for what is too large."""
        try:
            value = self._value(node, point)
        except (ZeroDivisionError, ValueError, OverflowError, TypeError) as error:
            if isinstance(error, LimitError):
                raise
            raise Undefined(str(error)) from error
        except mpmath.libmp.NoConvergence as error:
            raise Undefined(str(error)) from error
        if self.ctx.isnan(value):
            raise Undefined("not a number")
        return value

    def _value(self, node: Node, point: Point) -> Any:
        method = _VALUES.get(type(node))
        if method is None:
            raise Undefined(f"a {type(node).__name__.lower()} has no value")
        return method(self, node, point)

    def _symbol(self, node: Node, point: Point) -> Any:
        if node.value not in point:
            raise Undefined(node.value)
        return self.fraction(point[node.value])

    def _quotient(self, node: Node, point: Point) -> Any:
        below = self._value(node.args[1], point)
        if below == 0:
            raise Undefined("division by zero")
        return self._value(node.args[0], point) / below

    def _remainder(self, node: Node, point: Point) -> Any:
        left, right = (self._small(self._value(arg, point)) for arg in node.args)
        if right == 0:
            raise Undefined("remainder by zero")
        return left - right * self.ctx.floor(left / right)

    def fraction(self, value: Fraction) -> Any:
        """Return a rational number at the precision of the evaluator."""
        return (
            self.ctx.mpf(value.numerator) / value.denominator
            if value.denominator != 1
            else self.ctx.mpf(value.numerator)
        )

    def _constant(self, name: str) -> Any:
        match name:
            case "pi":
                return +self.ctx.pi
            case "e":
                return +self.ctx.e
            case "oo":
                return self.ctx.inf
            case "i" if not self.real:
                return self.ctx.mpc(0, 1)
        raise Undefined(name)

    def _magnitude(self, value: Any) -> int:
        magnitude = self.ctx.mag(value)
        return int(magnitude) if isinstance(magnitude, int) else 0  # of zero and infinity it is an infinite float

    def _small(self, value: Any) -> Any:
        if self._magnitude(value) > _MAX_MAGNITUDE:
            raise LimitError("a number too large for this function")
        return value

    def _bounded(self, value: Any, bits: int) -> Any:
        if self._magnitude(value) > bits:
            raise LimitError("an exponent beyond every bound")
        return value

    def _power(self, node: Node, point: Point) -> Any:
        ctx = self.ctx
        base_node, exponent_node = node.args
        base, exponent = self._value(base_node, point), self._value(exponent_node, point)
        self._bounded(exponent, EXPONENT_BITS)
        if self._magnitude(exponent) + max(0, abs(self._magnitude(base))).bit_length() > EXPONENT_BITS:
            raise LimitError("a power beyond every bound")
        if base == 0:
            if ctx.re(exponent) <= 0:
                raise Undefined("0 ** 0 or a division by zero")
            return base
        if self.real and base < 0 and not ctx.isint(exponent):
            fraction = exact(exponent_node)  # a constant: (-1)^n is defined at integers only
            if fraction is None or fraction.denominator % 2 == 0 or fraction.denominator > 99:
                raise Undefined("a root of a negative number")
            size = (-base) ** exponent
            return -size if fraction.numerator % 2 else size
        return base**exponent

    def _factorial(self, value: Any, step: int) -> Any:
        ctx = self.ctx
        if ctx.im(value) != 0 or abs(value) > FACTORIAL:
            raise LimitError("a factorial beyond every bound")
        if ctx.isint(value) and value < 0:
            raise Undefined("factorial of a negative integer")
        return ctx.factorial(value) if step == 1 else ctx.fac2(value)

    def _root(self, value: Any, index: Any) -> Any:
        ctx = self.ctx
        if index == 0:
            raise Undefined("root of index 0")
        negative = ctx.im(value) == 0 and ctx.re(value) < 0
        if negative and ctx.isint(index) and int(self._small(index)) % 2:
            return -((-ctx.re(value)) ** (1 / index))
        if negative and self.real:
            raise Undefined("an even root of a negative number")
        if value == 0:
            return value
        return ctx.sqrt(value) if index == 2 else value ** (1 / self._bounded(index, EXPONENT_BITS))

    def _logarithm(self, value: Any, base: Any = None) -> Any:
        if value == 0 or (self.real and value < 0):
            raise Undefined("logarithm of a number that is not positive")
        if base is None:
            return self.ctx.log(value)
        if base in {0, 1} or (self.real and base < 0):
            raise Undefined("a base of logarithms that is not positive")
        return self.ctx.log(value) / self.ctx.log(base)

    def _call(self, name: str, values: list[Any]) -> Any:
        ctx, first = self.ctx, values[0]
        if name == "root":
            return self._root(*values)
        if name == "log":
            return self._logarithm(
                first, values[1] if len(values) > 1 else ctx.mpf(self.log_base) if self.log_base else None
            )
        if name in ("ln", "lg"):
            return self._logarithm(first, ctx.mpf(10) if name == "lg" else None)
        if name == "binom":
            for value in values:
                if abs(value) > FACTORIAL:
                    raise LimitError("a binomial coefficient beyond every bound")
            return ctx.binomial(*values)
        if name in ("max", "min"):
            return (max if name == "max" else min)(values)
        if name in ("gcd", "lcm"):
            raise Undefined(name)
        function = _FUNCTIONS.get(name)
        if function is None:
            raise Undefined(f"{name} is unknown")
        if name in _BOUNDED_DOMAIN and self.real and not _BOUNDED_DOMAIN[name](first):
            raise Undefined(f"{name} outside its domain")
        return function(ctx, self._small(first))


def _by_name(name: str, ctx: Any, value: Any) -> Any:
    return getattr(ctx, name)(value)


def _snapped(ctx: Any, value: Any) -> Any:
    """Return the whole number that a value is, but for the error of computing it: ln 8 / ln 2 is 3."""
    nearest = ctx.nint(value)
    return nearest if abs(value - nearest) <= abs(value) * ctx.mpf(10) ** (8 - ctx.dps) else value


_VALUES: dict[type[Node], Callable[[Evaluator, Any, Point], Any]] = {
    Num: lambda self, node, point: self.fraction(node.value.value),
    Sym: Evaluator._symbol,
    Const: lambda self, node, point: self._constant(node.value),
    Add: lambda self, node, point: self.ctx.fsum(self._value(arg, point) for arg in node.args),
    Mul: lambda self, node, point: self.ctx.fprod(self._value(arg, point) for arg in node.args),
    Neg: lambda self, node, point: -self._value(node.args[0], point),
    Div: Evaluator._quotient,
    Pow: Evaluator._power,
    Abs: lambda self, node, point: abs(self._value(node.args[0], point)),
    Percent: lambda self, node, point: self._value(node.args[0], point) / node.value,
    Degree: lambda self, node, point: self._value(node.args[0], point) * self.ctx.pi / 180,
    Factorial: lambda self, node, point: self._factorial(self._value(node.args[0], point), node.value),
    Mod: Evaluator._remainder,
    Call: lambda self, node, point: self._call(node.value, [self._value(arg, point) for arg in node.args]),
}
"""What a node is worth at a point."""
_FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    **{
        name: partial(_by_name, name)
        for name in name_list(
            "sin cos tan cot sec csc sinh cosh tanh coth sech csch asin acos atan acot asec acsc asinh acosh atanh erf "
            "arg"
        )
    },
    "floor": lambda ctx, x: ctx.floor(_snapped(ctx, x)),
    "ceil": lambda ctx, x: ctx.ceil(_snapped(ctx, x)),
    "sgn": lambda ctx, x: ctx.sign(x),
    "Re": lambda ctx, x: ctx.re(x),
    "Im": lambda ctx, x: ctx.im(x),
    "cis": lambda ctx, x: ctx.cos(x) + ctx.mpc(0, 1) * ctx.sin(x),
}
_BOUNDED_DOMAIN: Mapping[str, Callable[[Any], bool]] = {
    "asin": lambda x: -1 <= x <= 1,
    "acos": lambda x: -1 <= x <= 1,
    "asec": lambda x: abs(x) >= 1,
    "acsc": lambda x: abs(x) >= 1,
    "acosh": lambda x: x >= 1,
    "atanh": lambda x: -1 < x < 1,
}
