"""Equations, chains of equalities, unsolved inequalities."""

import re
from itertools import pairwise

from kgym_plugins.verifiers.math.compare.same import same
from kgym_plugins.verifiers.math.compare.table import Rule, compares, rule
from kgym_plugins.verifiers.math.grammar.nodes import (
    Add,
    Amount,
    Applied,
    Brackets,
    Call,
    Const,
    Dots,
    Listing,
    MinusPlus,
    Mul,
    Neg,
    Node,
    Num,
    Percent,
    PlusMinus,
    Pow,
    Sym,
    canonical,
    symbols,
    walk,
)
from kgym_plugins.verifiers.math.limits import LimitError
from kgym_plugins.verifiers.math.numbers.exact import Undefined, stated
from kgym_plugins.verifiers.math.numbers.scalars import proportional
from kgym_plugins.verifiers.math.values.interpret import part
from kgym_plugins.verifiers.math.values.realsets import INFINITY, MINUS_INFINITY
from kgym_plugins.verifiers.math.values.types import (
    BaseNumber,
    Clock,
    Collection,
    Congruence,
    Equation,
    Inequality,
    Matrix,
    Opaque,
    Ordered,
    Piecewise,
    Ratio,
    RealSet,
    Scalar,
    Value,
    Words,
)

_FUNCTION_NAMES = frozenset("yfghpqFGHPQR") | {"phi", "psi", "Phi", "zeta"}
"""Names of functions that stand for any other; x(t) and y(t) are two coordinates."""
_OPPOSITE = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}
_NAMED = (
    Scalar,
    Inequality,
    RealSet,
    Ordered,
    Collection,
    Matrix,
    Piecewise,
    BaseNumber,
    Ratio,
    Clock,
    Congruence,
    Words,
    Opaque,
)
"""What may be the value of a name."""

IDENTICAL_EQUATIONS = rule(
    "identical equations",
    "equations with the same sides",
    example=("y = 2x + 3", "y = 3 + 2x"),
    counter=("y = 2x + 3", "y = 3x + 2"),
)
NAMED_VALUE = rule(
    "named value",
    r"`x = 3`, `f(x) = 2x`, `x \mapsto 2x` and a chain `x = 2 + 3 = 5`, whose sides must agree, are their value",
    example=("5", "x = 2 + 3 = 5"),
    counter=("5", "x = 2 + 4 = 5"),
)
CHAIN = rule(
    "chain",
    "a chain of expressions that are all equal is its last one",
    example=(r"-\cos 2x", r"\sin^2 x - \cos^2 x = -\cos 2x"),
    counter=(r"-\cos 2x", r"\sin^2 x + \cos^2 x = -\cos 2x"),
)
VALUE_OF_AN_EQUATION = rule(
    "value of an equation",
    "the value alone, where the gold answer names it",
    example=("y = 2x", "2x"),
    counter=("2x = 6", "3"),
)
EQUAL_SIDES = rule(
    "equal sides",
    "two named values are equal; the names must be the same, but for those of functions and the letters of their "
    "arguments",
    example=("f(x) = 2x", "g(t) = 2t"),
    counter=("x = 2", "z = 2"),
)
EQUATION = rule(
    "equation",
    "equations up to a factor that is not zero; an equation is not its solution",
    example=("2x + 4y = 3", "y = -x/2 + 3/4"),
    counter=("x = 3", "2x = 6"),
)
INEQUALITY = rule(
    "inequality",
    "unsolved inequalities, up to a factor",
    example=("2x + 2y < 4", "x + y < 2"),
    counter=("2x + 2y < 4", "x + y > 2"),
)


def _is_name(node: Node) -> bool:
    return isinstance(node, Sym | Applied)


def _named_value(equation: Equation) -> bool:
    """Whether the left side only names what the right side says: x, f(x), m + n, |AB|, but not 2x + 1."""
    if _is_name(equation.left):
        return isinstance(equation.left, Applied) or equation.left.value not in symbols(equation.right)
    if not symbols(equation.left) or symbols(equation.right):
        return False
    return _is_called(equation.left) or not _has_numbers(equation.left)


def _is_called(node: Node) -> bool:
    """Whether a product is a function of a number that has a letter no one knows as one: d(360). As a product it
    would be 360d.
    """
    return isinstance(node, Mul) and [type(arg) for arg in node.args] == [Sym, Num]


def _has_numbers(node: Node) -> bool:
    """Whether a left side computes with numbers, other than as exponents and arguments of functions."""
    if isinstance(node, Num | Const):
        return True
    if isinstance(node, Call):
        return node.value == "root" and _has_numbers(node.args[0])
    return any(map(_has_numbers, node.args[:1] if isinstance(node, Pow) else node.args))


def _values(equation: Equation) -> list[Node] | None:
    """What the sides of a chain say the value is, the exact one first; None if they contradict each other."""
    sides = [*equation.middle, equation.right]
    operators = equation.operators[1:]
    if not symbols(equation.left) and not _is_name(equation.left):  # 2 + 3 = 5
        sides = [equation.left, *sides]
        operators = equation.operators
    letters = symbols(sides[-1])  # A = a b = 2 * 3 = 6
    known = [
        at for at, side in enumerate(sides) if at == len(sides) - 1 or not (_unknown(side) or symbols(side) - letters)
    ]
    operators = tuple(operators[at - 1] for at in known[1:])
    sides = [sides[at] for at in known]
    for (left, right), operator in zip(pairwise(sides), operators, strict=True):
        if isinstance(left, Brackets | Listing) or isinstance(right, Brackets | Listing):
            continue
        one, other = part(left), part(right)
        if isinstance(one, BaseNumber) and isinstance(other, BaseNumber):  # 12_7 = 9_10
            if int(one.digits, one.base) != int(other.digits, other.base):
                return None
            continue
        if isinstance(one, BaseNumber) or isinstance(other, BaseNumber):
            continue  # 1101_2 = 8 + 4 + 1
        if operator == "=" and same(one, other) is None and not _rounds(left, right):
            return None
        if operator == "~" and not _near(left, right):
            return None
    exact_sides = [
        side for position, side in enumerate(sides) if position == 0 or (*("=",), *operators)[position] == "="
    ]
    last = exact_sides[-1]
    if isinstance(last, Amount):  # v = 2 * 5 = 10 m/s
        sides = [side for side in sides if isinstance(side, Amount)]
    return [last, *(side for side in sides if side is not last)]


def _is_true_chain(equation: Equation) -> bool:
    """Whether a chain begins with an expression that it works out: every member is equal to the next one, for any
    letters.
    """
    sides = [equation.left, *equation.middle, equation.right]
    if set(equation.operators) != {"="} or canonical(equation.left) == canonical(equation.right):
        return False
    return all(same(part(left), part(right)) for left, right in pairwise(sides))


def _unknown(side: Node) -> bool:
    """Whether a side of a chain has a function that no one knows, as g(x + 2), or dots."""
    return any(isinstance(node, Dots) or (isinstance(node, Call) and node.value.startswith("$")) for node in walk(side))


def _rounds(left: Node, right: Node) -> bool:
    """Whether the right side is a decimal that rounds or cuts off the left one."""
    return stated(right) is not None and _near(left, right, exactly=True)


def _near(left: Node, right: Node, *, exactly: bool = False) -> bool:
    """Whether two sides of an approximate equality agree to the precision of the coarser, or to one in a hundred.

    `exactly`: the right side is a decimal after a sign of equality; it must have all its digits right, but for the
    last, which may be cut off instead of rounded.
    """
    # here, because mpmath is not needed for exact answers
    from kgym_plugins.verifiers.math.numbers.numeric import Evaluator  # noqa: PLC0415

    evaluator = Evaluator(30)
    try:
        one, other = evaluator(_bare(left)), evaluator(_bare(right))
    except (Undefined, LimitError):
        return False
    if exactly:
        decimal = stated(right)
        return decimal is not None and bool(
            abs(one - other) < evaluator.fraction(2 * decimal[1]) * (1 - evaluator.ctx.mpf(10) ** -9)
        )
    halves = [found[1] for found in (stated(_bare(left)), stated(_bare(right))) if found]
    tolerance = max([abs(one) / 100, *(evaluator.fraction(2 * half) for half in halves)])
    return bool(abs(one - other) <= tolerance)


def _bare(node: Node) -> Node:
    return node.args[0] if isinstance(node, Amount | Percent) else node


@compares((_NAMED, Equation))
def named_value(gold: Value, answer: Equation) -> Rule | None:
    """An answer that says `x =` before the value."""
    if symbols(answer.left) and not _named_value(answer):
        return CHAIN if same(gold, part(answer.right)) and _is_true_chain(answer) else None
    if isinstance(gold, Congruence) and gold.name and not symbols(answer.right):
        return None  # one member is not the class
    return NAMED_VALUE if any(same(gold, part(value)) for value in _values_of(answer, gold)) else None


def _values_of(answer: Equation, gold: Value) -> list[Node]:
    r"""The values of a named value; of `t \mapsto t^2`, with the letter of the gold answer."""
    values = _values(answer) or []
    nameless = isinstance(answer.left, Applied) and not answer.left.value[0] and answer.left.args
    letters = symbols(gold.expression) if isinstance(gold, Scalar) else frozenset()
    if not nameless or len(letters) != 1 or any(letters & symbols(value) for value in values):
        return values
    return [_renamed(value, {answer.left.args[0].value: next(iter(letters))}) for value in values]


@compares((Equation, _NAMED))
def value_of_an_equation(gold: Equation, answer: Value) -> Rule | None:
    """An answer that leaves out the name."""
    if symbols(gold.left) and not _named_value(gold):
        return None
    return VALUE_OF_AN_EQUATION if any(same(part(value), answer) for value in _values(gold) or []) else None


@compares((Equation, Equation))
def two_equations(gold: Equation, answer: Equation) -> Rule | None:
    """Two named values, or two curves."""
    if canonical(gold.left) == canonical(answer.left) and canonical(gold.right) == canonical(answer.right):
        return IDENTICAL_EQUATIONS
    if _is_name(gold.left) and _is_name(answer.left) and _named_value(gold) and _named_value(answer):
        if not _same_name(gold.left, answer.left):
            if symbols(gold.right) and symbols(answer.right):
                return _same_curve(gold, answer)
            return None
        return _equal_sides(gold, answer)
    if _is_name(gold.left) and _named_value(gold) and not symbols(gold.right) and not _solved_alike(gold, answer):
        return None  # the answer x = 3 needs more than the equation 2x = 6
    return _same_curve(gold, answer)


_PARTS = re.compile(r"(\^-1|'+)+\Z")
_LEIBNIZ = re.compile(r"d(\w)/d\w\Z")


def _same_name(gold: Node, answer: Node) -> bool:
    """Whether two left sides name the same: y is y(x), a_n is a(n), and any function may be called f; but no
    derivative or inverse is f.
    """
    (one, of_one), (other, of_other) = (
        (str(node.value), "") if isinstance(node, Sym) else node.value for node in (gold, answer)
    )
    if of_one and of_other and of_one != of_other and re.search(r"\d", of_one + of_other):
        return False  # f(2) and f(3)
    if not one or not other:
        return True  # x -> 2x has no name
    one, other = _LEIBNIZ.sub(r"\1'", one), _LEIBNIZ.sub(r"\1'", other)
    if other in (one, f"{one}_{of_one}") or one == f"{other}_{of_other}":
        return True
    stems = {_PARTS.sub("", one), _PARTS.sub("", other)}
    return len(stems) == 2 and stems <= _FUNCTION_NAMES  # f' is not f, but it may be called g


def _solved_alike(gold: Equation, answer: Equation) -> bool:
    return canonical(gold.left) == canonical(answer.left) and not symbols(answer.right)


def _equal_sides(gold: Equation, answer: Equation) -> Rule | None:
    left, right = _values(gold), _values(answer)
    if not left or not right:
        return None
    if isinstance(gold.left, Applied) and isinstance(answer.left, Applied):
        old, new = (node.value[1].split(",") for node in (answer.left, gold.left))
        if old != new and len(old) == len(new) and not symbols(right[0]) & (set(new) - set(old)):
            names = dict(zip(old, new, strict=True))
            right = [_renamed(side, names) for side in right]
    return EQUAL_SIDES if any(same(part(one), part(other)) for one in left for other in right) else None


def _renamed(node: Node, names: dict[str, str]) -> Node:
    if isinstance(node, Sym):
        return Sym(names.get(node.value, node.value))
    return node.with_args(tuple(_renamed(arg, names) for arg in node.args))


def _difference(equation: Equation | Inequality) -> Node:
    left = equation.left
    if isinstance(left, Applied) and ("'" in left.value[0] or "dot_" in left.value[0]):
        left = Sym(left.value[0])  # y''(t) on one side alone is y'' as well
    return Add((left, Neg((equation.right,))))


def _same_curve(gold: Equation, answer: Equation) -> Rule | None:
    """Equations up to a factor that is not zero."""
    if len(gold.operators) > 1 or len(answer.operators) > 1:
        return None
    one, other = _difference(gold), _difference(answer)
    if symbols(one) != symbols(other):
        return None
    if any(isinstance(item, PlusMinus | MinusPlus) for tree in (one, other) for item in walk(tree)):
        return None
    return EQUATION if proportional(one, other) is not None else None


@compares((Inequality, Inequality), (Inequality, RealSet), (RealSet, Inequality))
def same_inequality(gold: Value, answer: Value) -> Rule | None:
    """Inequalities that are not solved for a variable."""
    gold, answer = as_inequality(gold), as_inequality(answer)
    if not isinstance(gold, Inequality) or not isinstance(answer, Inequality):
        return None
    one, other = _difference(gold), _difference(answer)
    if symbols(one) != symbols(other):
        return None
    sign = proportional(one, other)
    if sign is None:
        return None
    operator = answer.operator if sign > 0 else _OPPOSITE[answer.operator]
    return INEQUALITY if operator == gold.operator else None


def as_inequality(value: Value) -> Value:
    """Half a line of a variable whose end has variables, back to the inequality."""
    if not isinstance(value, RealSet) or not value.variable or len(value.pieces) != 1:
        return value
    (piece,) = value.pieces
    name = Sym(value.variable)
    if not symbols(piece.low) | symbols(piece.high):
        return value  # a solved inequality is not the unsolved one
    if piece.low == MINUS_INFINITY:
        return Inequality("<=" if piece.high_closed else "<", name, piece.high)
    if piece.high == INFINITY:
        return Inequality(">=" if piece.low_closed else ">", name, piece.low)
    return value
