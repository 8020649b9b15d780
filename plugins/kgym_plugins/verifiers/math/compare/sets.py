"""Sets of real numbers, from intervals, inequalities and collections of points."""

from kgym_plugins.verifiers.math.compare.equations import as_inequality, same_inequality
from kgym_plugins.verifiers.math.compare.table import Rule, compares, rule
from kgym_plugins.verifiers.math.grammar.nodes import symbols
from kgym_plugins.verifiers.math.values.interpret import as_set, interval
from kgym_plugins.verifiers.math.values.realsets import Unordered, same_set, union
from kgym_plugins.verifiers.math.values.types import Collection, Ordered, RealSet, Value

INTERVAL = rule(
    "interval",
    "the same set of real numbers, as an interval, an inequality, in words or without points; end points count, and "
    "the integers of an interval are not the interval",
    example=(r"(-\infty, 5]", "x is at most 5"),
    counter=(r"(-\infty, 5]", r"x < 5"),
)


@compares((RealSet, (RealSet, Collection, Ordered)), ((Collection, Ordered), RealSet))
def same_real_set(gold: Value, answer: Value) -> Rule | None:
    """Sets of real numbers, piece by piece."""
    left, right = as_set(_united(gold)), as_set(_united(answer))
    if left is None or right is None:
        return None
    try:
        if same_set(left, right):
            return INTERVAL
    except Unordered:
        return None
    if left.variable and right.variable and _has_symbols(left) and _has_symbols(right):
        return (
            same_inequality(gold, answer)
            if as_inequality(gold) is not gold and as_inequality(answer) is not answer
            else None
        )
    return None


def _united(value: Value) -> Value:
    """Intervals with commas between them, as a union."""
    if isinstance(value, Collection) and not value.braces and value.items:
        pieces = [interval(item) for item in value.items]
        if all(piece is not None for piece in pieces):
            return RealSet(union([piece for piece in pieces if piece is not None]))
    return value


def _has_symbols(value: RealSet) -> bool:
    """Whether an end point has variables."""
    return any(symbols(piece.low) | symbols(piece.high) for piece in value.pieces)
