"""Families of solutions: a letter that stands for all whole numbers, or arbitrary constants, named as one likes.

Only whole answers are families: the parts of `x = 2 + 5t, y = -1 - 3t` have one parameter together.
"""

import re
from dataclasses import replace
from itertools import permutations
from typing import NamedTuple

from kgym_plugins.verifiers.math.compare.same import same
from kgym_plugins.verifiers.math.compare.table import Rule, rule
from kgym_plugins.verifiers.math.grammar.nodes import (
    ONE,
    ZERO,
    Add,
    Applied,
    Const,
    Degree,
    Mul,
    Neg,
    Node,
    PlusMinus,
    Sym,
    has,
    number,
    symbols,
)
from kgym_plugins.verifiers.math.limits import LimitError
from kgym_plugins.verifiers.math.numbers.exact import Undefined, exact
from kgym_plugins.verifiers.math.numbers.scalars import same_scalar
from kgym_plugins.verifiers.math.trace import note
from kgym_plugins.verifiers.math.values.expand import signs
from kgym_plugins.verifiers.math.values.types import (
    Assignments,
    Collection,
    Conditioned,
    Equation,
    Ordered,
    Scalar,
    Value,
)

FAMILY = rule(
    "family",
    r"a letter for any whole number has any name and may be shifted: \(2 - 5k\) for \(2 + 5t\); the sets must be the "
    r"same",
    example=(r"x = k\pi, k \in \mathbb{Z}", r"x = \pi + n\pi, n \in \mathbb{Z}"),
    counter=(r"x = k\pi, k \in \mathbb{Z}", r"x = 2k\pi, k \in \mathbb{Z}"),
)
ARBITRARY_CONSTANTS = rule(
    "arbitrary constants",
    "arbitrary constants have any names, also in another order; a constant that is fixed, used twice or missing is "
    "another family",
    example=("y = C_1 e^x + C_2 e^{2x}", "y = C_1 e^{2x} + C_2 e^x"),
    counter=("y = C_1 e^x + C_2 e^{2x}", "y = C_1 e^{2x} + C_1 e^x"),
)
_WHOLE = frozenset("kmnjlt")
_UNKNOWN = frozenset("xyztuw") | {"theta", "alpha", "phi", "varphi", "beta"}
_INDEXED = re.compile(r"[Cc]_?\d")
_CONSTANT = re.compile(r"[CcKk]|[CcKk]_?\d")
_MOST_ITEMS = 8


class _Family(NamedTuple):
    """Members of a solution for each value of the parameter; several such solutions, if there are several."""

    names: tuple[str, ...]
    rows: tuple[tuple[Node, ...], ...]
    domains: dict[str, str]


def same_family(gold: Value, answer: Value) -> Rule | None:
    """Return the rule by which two whole answers are the same family of solutions."""
    if isinstance(gold, Collection | Assignments | Ordered | Equation | Scalar | Conditioned):
        one = _family(gold)
        other = _family(answer) if one is not None else None
        if one is not None and other is not None:
            found = _same_lattices(one, other) or _same_constants(gold, answer)
            if found:
                note("compare", f"{gold.normal()} and {answer.normal()}: the rule {found.name}")
            return found
    return None


def _family(value: Value) -> _Family | None:
    domains: dict[str, str] = {}
    if isinstance(value, Conditioned):
        if value.condition.formula or value.condition.remark:
            return None
        domains, value = dict(value.condition.domains), value.value
    names, columns = _columns(value)
    if not columns or not any(symbols(node) for row in columns for node in row):
        return None
    return _Family(names, columns, domains)


def _columns(value: Value) -> tuple[tuple[str, ...], tuple[tuple[Node, ...], ...]]:
    """The names that a solution has values for, and the values; nothing for what is not a solution."""
    match value:
        case Scalar():
            nodes = _expressions((value,))
            return ("",), tuple((choice,) for node in nodes for choice in _choices(node))
        case Equation(Sym(value=name), right, (), ("=",)) if name not in symbols(right):
            return (str(name),), tuple((choice,) for choice in _choices(right))
        case Equation(Applied(value=(name, _)), right, (), ("=",)):
            return (f"{name}()",), ((right,),)
        case Assignments(items) if len(items) <= _MOST_ITEMS:
            ordered = sorted(items, key=lambda pair: pair[0])
            nodes = _expressions(tuple(item for _, item in ordered))
            return tuple(name for name, _ in ordered), (nodes,) if nodes else ()
        case Ordered(items, opening, _) if opening in "(<" and 1 < len(items) <= _MOST_ITEMS:
            nodes = _expressions(items)
            return ("",) * len(items), (nodes,) if nodes else ()
        case Collection(items) if 1 < len(items) <= _MOST_ITEMS:
            found = [_columns(item) for item in items]
            if all(names in (("",), found[0][0]) for names, _ in found):
                return found[0][0], tuple(row for _, rows in found for row in rows)
    return (), ()


def _expressions(items: tuple[Value, ...]) -> tuple[Node, ...]:
    plain = [
        item
        for item in items
        if isinstance(item, Scalar) and not item.unit.dimension and not item.noun and not item.percent
    ]
    return tuple(item.expression for item in plain) if len(plain) == len(items) else ()


def _choices(node: Node) -> list[Node]:
    return signs(node) if has(node, PlusMinus) else [node]


# --- whole numbers ----------------------------------------------------------------------------------------------------


def _same_lattices(gold: _Family, answer: _Family) -> Rule | None:
    """The same sets of numbers or points, with one parameter each that runs through all whole numbers."""
    one, other = _parameter(gold), _parameter(answer)
    if not one or not other or len(gold.rows) != len(answer.rows) or len(gold.names) != len(answer.names):
        return None
    if any(name and again and name != again for name, again in zip(gold.names, answer.names, strict=True)):
        return None
    if not _is_set(gold, answer, one, other):
        return None
    left = list(answer.rows)
    for row in gold.rows:
        found = next((again for again in left if _same_progression(row, one, again, other)), None)
        if found is None:
            return None
        left.remove(found)
    return FAMILY


def _parameter(family: _Family) -> str:
    """The one letter of all values, if it stands for any whole number."""
    names = frozenset[str]().union(*(symbols(node) for row in family.rows for node in row))
    name = next(iter(names)) if len(names) == 1 else ""
    domain = family.domains.get(name, "integers" if name in _WHOLE else "")
    return name if domain == "integers" else ""


def _is_set(gold: _Family, answer: _Family, one: str, other: str) -> bool:
    """Whether all values together are asked for, and not the one that belongs to a number: 2n - 1 is the n-th odd
    number.
    """
    if one in gold.domains:
        return True
    if len(gold.names) > 1:
        return bool(gold.names[0]) or other in answer.domains
    named = gold.names[0] or answer.names[0]
    period = any(
        isinstance(item, Degree) or item == Const("pi") for row in gold.rows for node in row for item in _flat(node)
    )
    return period and (named in _UNKNOWN or other in answer.domains) and one in "kmn"


def _flat(node: Node) -> list[Node]:
    return [node, *(item for arg in node.args for item in _flat(arg))]


def _same_progression(gold: tuple[Node, ...], name: str, answer: tuple[Node, ...], again: str) -> bool:
    """Whether a + b k and c + d n are the same points: d is b or -b, and c - a is a whole multiple of b, the same in
    every place.
    """
    first, second = _linear(gold, name), _linear(answer, again)
    if first is None or second is None:
        return False
    (begin, step), (start, stride) = first, second
    if not _equal(step, stride) and not _equal(step, tuple(Neg((node,)) for node in stride)):
        return False
    place = next((at for at, node in enumerate(step) if same_scalar(ZERO, node) is None), None)
    if place is None:
        return False
    count = _whole_quotient(Add((start[place], Neg((begin[place],)))), step[place])
    if count is None:
        return False
    moved = tuple(Add((one, Mul((number(count), other)))) for one, other in zip(begin, step, strict=True))
    return _equal(moved, start)


def _linear(nodes: tuple[Node, ...], name: str) -> tuple[tuple[Node, ...], tuple[Node, ...]] | None:
    """What nodes are at zero, and how much they grow with each step; None if they do not grow evenly."""
    begin = tuple(_put(node, name, ZERO) for node in nodes)
    step = tuple(Add((_put(node, name, ONE), Neg((start,)))) for node, start in zip(nodes, begin, strict=True))
    line = tuple(Add((start, Mul((grows, Sym(name))))) for start, grows in zip(begin, step, strict=True))
    try:
        return (begin, step) if all(same_scalar(node, again) for node, again in zip(nodes, line, strict=True)) else None
    except Undefined:
        return None


def _equal(one: tuple[Node, ...], other: tuple[Node, ...]) -> bool:
    return all(same_scalar(left, right) is not None for left, right in zip(one, other, strict=True))


def _put(node: Node, name: str, value: Node) -> Node:
    if isinstance(node, Sym):
        return value if node.value == name else node
    return node.with_args(tuple(_put(arg, name, value) for arg in node.args)) if node.args else node


def _whole_quotient(difference: Node, step: Node) -> int | None:
    """The whole number nearest to a quotient, which is the only one that it can be."""
    # here, because mpmath is not needed for exact answers
    from kgym_plugins.verifiers.math.numbers.numeric import Evaluator  # noqa: PLC0415

    try:
        above, below = exact(difference), exact(step)
        if above is not None and below:
            return round(above / below)
        evaluator = Evaluator(30)
        return int(evaluator.ctx.nint(evaluator.ctx.re(evaluator(difference) / evaluator(step))))
    except (Undefined, LimitError, OverflowError, ValueError):
        return None


# --- arbitrary constants ----------------------------------------------------------------------------------------------


def _same_constants(gold: Value, answer: Value) -> Rule | None:
    """The same formula after a change of the names of constants."""
    (left, declared), (right, given) = _bare(gold), _bare(answer)
    if (
        not isinstance(left, Scalar | Equation)
        or not isinstance(right, Scalar | Equation)
        or "integers" in given.values()
    ):
        return None
    free = {
        name
        for name in _letters(left) & _letters(right)
        if name not in declared and name not in given and not _CONSTANT.fullmatch(name)
    }
    wanted, found = sorted(_letters(left) - free), sorted(_letters(right) - free)
    if not free or not 0 < len(wanted) == len(found) <= 3:
        return None
    known = all(
        declared.get(name) == "reals" or _INDEXED.fullmatch(name) or _CONSTANT.fullmatch(name) for name in wanted
    )
    if not known or not all(given.get(name) == "reals" or _INDEXED.fullmatch(name) for name in found):
        return None
    for order in permutations(wanted):
        if order != tuple(found) and same(left, _renamed(right, dict(zip(found, order, strict=True)))):
            return ARBITRARY_CONSTANTS
    return None


def same_unasked(gold: Value, answer: Value, question: str) -> Rule | None:
    """The same formula after a change of the names of letters that the question does not have: f(x) = cx is f(x) =
    kx.
    """
    (left, declared), (right, given) = _bare(gold), _bare(answer)
    if not isinstance(left, Scalar | Equation) or not isinstance(right, Scalar | Equation):
        return None
    if not question or not {*declared.values(), *given.values()} <= {"reals"}:
        return None
    asked = _asked_letters(question)
    free = (_letters(left) | _letters(right)) & asked
    wanted, found = sorted(_letters(left) - asked), sorted(_letters(right) - asked)
    if (
        not free
        or wanted == found
        or not 0 < len(wanted) == len(found) <= 3
        or not all(map(_PARAMETER.fullmatch, wanted + found))
    ):
        return None
    for order in permutations(wanted):
        if same(left, _renamed(right, dict(zip(found, order, strict=True)))):
            return ARBITRARY_CONSTANTS
    return None


_PARAMETER = re.compile(r"[a-dkmA-DKM](?:_\w)?")
_FORMULAS = re.compile(r"\$([^$]{1,400})\$|\\[(\[](.{1,400}?)\\[)\]]", re.DOTALL)


def _asked_letters(question: str) -> frozenset[str]:
    """All letters in the formulas of a question; where it has none, all letters that are alone."""
    formulas = [match[1] or match[2] for match in _FORMULAS.finditer(question)]
    if not formulas:
        return frozenset(re.findall(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", question)) - {"a", "A", "I"}
    return frozenset(
        letter for formula in formulas for letter in re.sub(r"\\[A-Za-z]+", " ", formula) if letter.isalpha()
    )


def _bare(value: Value) -> tuple[Value, dict[str, str]]:
    return (value.value, dict(value.condition.domains)) if isinstance(value, Conditioned) else (value, {})


def _letters(value: Scalar | Equation) -> frozenset[str]:
    return symbols(value.expression) if isinstance(value, Scalar) else symbols(value.right)


def _renamed(value: Scalar | Equation, names: dict[str, str]) -> Value:
    if isinstance(value, Scalar):
        return replace(value, expression=_called(value.expression, names))
    return replace(
        value, right=_called(value.right, names), middle=tuple(_called(node, names) for node in value.middle)
    )


def _called(node: Node, names: dict[str, str]) -> Node:
    if isinstance(node, Sym):
        return Sym(names.get(node.value, node.value))
    return node.with_args(tuple(_called(arg, names) for arg in node.args)) if node.args else node
