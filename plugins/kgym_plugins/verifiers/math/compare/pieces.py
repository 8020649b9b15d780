r"""Functions by cases: the same cases, or the same values wherever they could differ.

A function by cases is also compared with a formula (`|x|`, `\max(x, 0)`, `\lfloor n/2 \rfloor`): at whole and broken
numbers, at the ends of all conditions, and close to them on both sides.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from kgym_plugins.verifiers.math.compare.same import same
from kgym_plugins.verifiers.math.compare.table import Rule, compares, rule
from kgym_plugins.verifiers.math.grammar.nodes import Node, Sym, number, symbols
from kgym_plugins.verifiers.math.numbers.exact import Undefined, exact
from kgym_plugins.verifiers.math.numbers.jumps import WHOLE_LETTERS
from kgym_plugins.verifiers.math.numbers.numeric import Evaluator
from kgym_plugins.verifiers.math.numbers.scalars import same_scalar
from kgym_plugins.verifiers.math.values.realsets import INFINITY, MINUS_INFINITY
from kgym_plugins.verifiers.math.values.types import Congruence, Equation, Piecewise, RealSet, Scalar, Value, Words

_OTHERWISE = Words("otherwise")
_MOST_CASES = 12
_DIGITS = 30
_CLOSE = Fraction(1, 1009)
_WHOLE = tuple(map(Fraction, range(1, 25)))
_REAL = tuple(Fraction(value, 2) for value in range(-13, 14)) + tuple(
    Fraction(value, 3) for value in (-31, -22, -7, -1, 1, 4, 20, 40)
)

CASES = rule(
    "cases",
    'values with their conditions, in any order; "otherwise" is the one condition that is left over',
    example=(
        r"\begin{cases} x & x > 0 \\ 0 & x \le 0 \end{cases}",
        r"\begin{cases} 0 & x \le 0 \\ x & \text{otherwise} \end{cases}",
    ),
    counter=(
        r"\begin{cases} x & x > 0 \\ 0 & x \le 0 \end{cases}",
        r"\begin{cases} x & x \le 0 \\ 0 & x > 0 \end{cases}",
    ),
)
PIECES = rule(
    "pieces",
    "a function by cases has the same values as another, or as a formula, at whole and broken numbers and at and near "
    "the ends of all conditions",
    example=("|x|", r"\begin{cases} x & x \ge 0 \\ -x & x < 0 \end{cases}"),
    counter=("|x|", r"\begin{cases} x & x > 0 \\ -x & x < 0 \end{cases}"),
)


class Unclear(ValueError):
    """A condition or a value that cannot be looked at point by point."""


@compares((Piecewise, Piecewise))
def same_cases(gold: Piecewise, answer: Piecewise) -> Rule | None:
    """Cases in any order, or the same values everywhere."""
    if len(gold.cases) == len(answer.cases) and _matched(gold, answer):
        return CASES
    return same_pieces(gold, answer)


def _matched(gold: Piecewise, answer: Piecewise) -> bool:
    """Whether the cases are the same; "otherwise" stands for the one condition that is left over."""
    rest, unmatched = list(answer.cases), list[tuple[Value, Value]]()
    for value, condition in gold.cases:
        found = next((case for case in rest if same(condition, case[1]) and same(value, case[0])), None)
        if found is None:
            unmatched.append((value, condition))
        else:
            rest.remove(found)
    if not unmatched:
        return True
    left_over = len(unmatched) == 1 and _OTHERWISE in (unmatched[0][1], rest[0][1])
    return left_over and same(unmatched[0][0], rest[0][0]) is not None


@compares((Scalar, Piecewise), (Piecewise, Scalar))
def same_pieces(gold: Value, answer: Value) -> Rule | None:
    """The same value, or none, at every point that is looked at."""
    functions = (gold, answer)
    try:
        name = _variable(functions)
        ends = [end for function in functions if isinstance(function, Piecewise) for end in _ends(function)]
        for point in _points(name, ends):
            one, other = (_value(function, name, point) for function in functions)
            if (one is None) != (other is None):
                return None
            if one is not None and other is not None and same_scalar(one, other) is None:
                return None
    except Unclear:
        return None
    return PIECES


def _variable(functions: tuple[Value, ...]) -> str:
    """The one letter of all conditions, which a formula has as well."""
    names: set[str] = set()
    for function in functions:
        if isinstance(function, Piecewise):
            if len(function.cases) > _MOST_CASES:
                raise Unclear
            for value, condition in function.cases:
                if not isinstance(value, Scalar) or value.unit.dimension or value.noun:
                    raise Unclear
                names |= {_letter(condition)} - {""}
    if len(names) != 1:
        raise Unclear
    (name,) = names
    return name


def _letter(condition: Value) -> str:
    match condition:
        case RealSet(_, variable, "") if variable:
            return variable
        case Congruence(_, _, name) if name:
            return name
        case Equation(Sym(value=name), right, (), ("=",)) if not symbols(right):
            return str(name)
        case Words("otherwise"):
            return ""
    raise Unclear


def _ends(function: Piecewise) -> Iterator[Node]:
    """The points at which a condition begins or ends."""
    for _, condition in function.cases:
        if isinstance(condition, Equation):
            yield condition.right
        elif isinstance(condition, RealSet):
            for piece in condition.pieces:
                yield from (end for end in (piece.low, piece.high) if end not in (INFINITY, MINUS_INFINITY))


def _points(name: str, ends: list[Node]) -> Iterator[Node]:
    """The ends, points close to them, and ordinary points; of letters for whole numbers only whole ones."""
    whole = name in WHOLE_LETTERS
    values = dict.fromkeys(_WHOLE if whole else _REAL)
    yield from ends
    for end in ends:
        if symbols(end):
            raise Unclear
        if (value := exact(end)) is not None:
            near = (-1, 1) if whole else (-2, -1, -_CLOSE, _CLOSE, 1, 2)
            values |= dict.fromkeys(value + step for step in near)
    yield from (number(value) for value in values if not whole or value.denominator == 1)


def _value(function: Value, name: str, point: Node) -> Node | None:
    """What a function is at a point; None where it has no value."""
    if isinstance(function, Piecewise):
        rest: Value | None = None
        for value, condition in function.cases:
            if condition == _OTHERWISE:
                rest = value
            elif _holds(condition, point):
                return _at(value, name, point)
        return None if rest is None else _at(rest, name, point)
    return _at(function, name, point)


def _at(value: Value, name: str, point: Node) -> Node | None:
    assert isinstance(value, Scalar)
    node = _put(value.expression, name, point)
    if symbols(node):
        return node
    try:
        if exact(node) is None:
            Evaluator(_DIGITS)(node)
    except Undefined:
        return None
    return node


def _put(node: Node, name: str, point: Node) -> Node:
    if isinstance(node, Sym):
        return point if node.value == name else node
    return node.with_args(tuple(_put(arg, name, point) for arg in node.args)) if node.args else node


def _holds(condition: Value, point: Node) -> bool:
    match condition:
        case Equation(_, right, _, _):
            return same_scalar(right, point) is not None
        case Congruence(residue, modulus, _):
            of_point, of_class, size = exact(point), exact(residue), exact(modulus)
            if of_point is None or of_class is None or not size:
                raise Unclear
            return (of_point - of_class) % size == 0
        case RealSet(pieces, _, _):
            return any(_between(point, piece.low, piece.high, piece.low_closed, piece.high_closed) for piece in pieces)
    raise Unclear


def _between(point: Node, low: Node, high: Node, low_closed: bool, high_closed: bool) -> bool:
    below = low == MINUS_INFINITY or (low_closed if _same(low, point) else _number(low) < _number(point))
    above = high == INFINITY or (high_closed if _same(high, point) else _number(point) < _number(high))
    return bool(below and above)


def _same(end: Node, point: Node) -> bool:
    one, other = exact(end), exact(point)
    if one is not None and other is not None:
        return one == other
    return one is None and other is None and same_scalar(end, point) is not None


def _number(node: Node) -> Any:
    if (value := exact(node)) is not None:
        return value
    try:
        evaluator = Evaluator(_DIGITS)
        return Fraction(str(evaluator(node)))
    except (Undefined, ValueError) as problem:
        raise Unclear from problem
