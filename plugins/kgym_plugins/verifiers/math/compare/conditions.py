"""Values with a remark after them: it may be left out or added, and may not contradict that of the other side."""

from dataclasses import replace
from typing import get_args

from kgym_plugins.verifiers.math.compare.same import same
from kgym_plugins.verifiers.math.compare.table import Rule, compares, rule
from kgym_plugins.verifiers.math.grammar.nodes import Applied, Node, Sym, symbols
from kgym_plugins.verifiers.math.numbers.jumps import WHOLE_LETTERS
from kgym_plugins.verifiers.math.values.types import (
    Choice,
    Collection,
    Condition,
    Conditioned,
    Congruence,
    Equation,
    Opaque,
    Ordered,
    RealSet,
    Scalar,
    Value,
    Words,
)

CONDITION = rule(
    "condition",
    "a remark after a value may be left out or added: where it holds, what its letters stand for, why. Two that "
    "contradict are different",
    example=("2^{n-1}", r"2^{n-1} \text{ for all integers } n \ge 1"),
    counter=(r"2^{n-1}, n \ge 2", r"2^{n-1}, n \ge 1"),
)
_OTHERS = tuple(kind for kind in get_args(Value) if kind not in (Choice, Conditioned, Words, Opaque))


@compares((Conditioned, Conditioned), (Conditioned, _OTHERS), (_OTHERS, Conditioned))
def same_conditioned(gold: Value, answer: Value) -> Rule | None:
    """The same value, unless the remarks contradict each other."""
    one = gold.condition if isinstance(gold, Conditioned) else None
    other = answer.condition if isinstance(answer, Conditioned) else None
    left = gold.value if isinstance(gold, Conditioned) else gold
    right = answer.value if isinstance(answer, Conditioned) else answer
    if one and other:
        if (renamed := _renaming(one, other)) is not None:
            right = _renamed(right, *renamed)
        elif _contradict(one, other):
            return None
    elif (one and not _may_be_left_out(one, left)) or (other and _narrows(other, left)):
        return None
    if Congruence in (type(left), type(right)) and any(
        domain != "integers" for _, domain in (one or other or Condition()).domains
    ):
        return None  # the members of a class are of both signs
    return CONDITION if same(left, right) else None


def _may_be_left_out(condition: Condition, value: Value) -> bool:
    """Whether the gold answer's condition is that of its task; a part of a curve is another curve."""
    if condition.remark:
        return False
    curve = (
        isinstance(value, Equation)
        and not isinstance(value.left, Applied)
        and (not isinstance(value.left, Sym) or symbols(value.right))
    )
    return not curve or not isinstance(condition.formula, RealSet) or condition.formula.variable in WHOLE_LETTERS


def _narrows(condition: Condition, value: Value) -> bool:
    """Whether an answer's condition fixes a letter of the gold answer, or says of a letter that it has instead that
    it is whole.
    """
    letters = _letters(value)
    if not letters:
        return False
    if (
        isinstance(condition.formula, Equation)
        and isinstance(condition.formula.left, Sym)
        and condition.formula.left.value in letters
    ):
        return True
    return any(domain in ("integers", "naturals") and name not in letters for name, domain in condition.domains)


def _letters(value: Value) -> frozenset[str]:
    match value:
        case Scalar():
            return symbols(value.expression)
        case Equation():
            return symbols(value.left) | symbols(value.right)
    return frozenset()


def _contradict(one: Condition, other: Condition) -> bool:
    domains = dict(other.domains)
    if any(domains.get(name, domain) != domain for name, domain in one.domains):
        return True
    if one.remark and one.remark != other.remark:
        return True
    left, right = one.formula, other.formula
    if isinstance(left, RealSet) and isinstance(right, RealSet):
        if left.variable != right.variable:
            return False
        if left.variable in WHOLE_LETTERS:  # n > 1 is n >= 2
            left, right = replace(left, domain="integers"), replace(right, domain="integers")
    return left is not None and right is not None and same(left, right) is None


def _renaming(one: Condition, other: Condition) -> tuple[str, str] | None:
    """The letter of an answer that stands for the same numbers as another letter of the gold answer, and that
    letter.
    """
    if len(one.domains) != 1 or len(other.domains) != 1 or one.formula or other.formula or one.remark:
        return None
    ((new, domain),), ((old, answered),) = one.domains, other.domains
    return (old, new) if domain == answered and old != new else None


def _renamed(value: Value, old: str, new: str) -> Value:
    """Call a letter of a value something else; a value that has the new letter already stays as it is."""

    def rename(node: Node) -> Node:
        if isinstance(node, Sym):
            return Sym(new) if node.value == old else node
        return node.with_args(tuple(map(rename, node.args))) if node.args else node

    if isinstance(value, Scalar) and new not in symbols(value.expression):
        return replace(value, expression=rename(value.expression))
    if isinstance(value, Equation) and new not in symbols(value.left) | symbols(value.right):
        return replace(
            value, left=rename(value.left), right=rename(value.right), middle=tuple(map(rename, value.middle))
        )
    if isinstance(value, Collection | Ordered):
        return replace(value, items=tuple(_renamed(item, old, new) for item in value.items))
    if isinstance(value, RealSet) and not any(
        new in symbols(piece.low) | symbols(piece.high) for piece in value.pieces
    ):
        return replace(
            value,
            pieces=tuple(replace(piece, low=rename(piece.low), high=rename(piece.high)) for piece in value.pieces),
        )
    return value
