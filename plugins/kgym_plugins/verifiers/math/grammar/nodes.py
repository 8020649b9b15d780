"""The syntax tree of an answer: one small immutable node, its canonical text, and its free variables."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple


class Literal(NamedTuple):
    """A number as it was written: its exact value, the decimal places that it states (None if it is no decimal), and its digits."""

    value: Fraction
    places: int | None = None
    text: str = ""


class Node(NamedTuple):
    """A node: what it is, its operands, and whatever belongs to it.

    Expressions: num (value: Literal), sym (value: name), const (value: pi, e, i, oo, reals ...), add, mul, div, pow, neg,
    pm and mp (one or two operands), call (value: function), fact, abs, mod, percent, degree, dots.
    Structures: list (value: separators), seq (value: opening and closing bracket), rel (value: operators), union, inter, diff, builder,
    matrix (value: number of columns; operands row by row), ratio, base (value: digits and base), text (value: words),
    quantity (value: Unit and noun), congruence, opaque (value: tokens).
    """

    head: str
    args: "tuple[Node, ...]" = ()
    value: Any = None


def number(value: int | Fraction) -> Node:
    """Make an exact number."""
    return Node("num", (), Literal(Fraction(value)))


ZERO, ONE = number(0), number(1)
_COMMUTATIVE = frozenset({"add", "mul", "union", "inter"})


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything below it."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(top.args)


def depth(node: Node) -> int:
    """Height of a tree, without recursion."""
    deepest, level = 0, [node]
    while level:
        deepest += 1
        level = [arg for item in level for arg in item.args]
    return deepest


def symbols(node: Node) -> frozenset[str]:
    """Names of the variables in a tree, and of the functions that nobody knows (`$f`)."""
    return frozenset(item.value for item in walk(node) if item.head == "sym" or (item.head == "call" and item.value.startswith("$")))


def heads(node: Node) -> frozenset[str]:
    """All kinds of node in a tree."""
    return frozenset(item.head for item in walk(node))


def canonical(node: Node) -> str:
    """Text that is equal for trees that differ only in writing: order of sums and products, decimals against fractions."""
    head, args = node.head, node.args
    if head == "num":
        return str(node.value.value)
    if head in ("sym", "const"):
        return str(node.value)
    parts = [canonical(arg) for arg in _flat(node)]
    if head in _COMMUTATIVE:
        parts.sort()
    match head:
        case "add":
            return "(" + " + ".join(parts) + ")"
        case "mul":
            return "(" + "*".join(parts) + ")"
        case "div":
            return f"({parts[0]}/{parts[1]})"
        case "pow":
            return f"({parts[0]}^{parts[1]})"
        case "neg":
            return f"(-{parts[0]})"
        case "seq":
            return node.value[0] + ",".join(parts) + node.value[1]
        case "rel":
            return "".join(part + operator for part, operator in zip(parts, (*node.value, ""), strict=True))
        case "list":
            return ",".join(parts)
        case "text":
            return str(node.value)
    return f"{head}[{'' if node.value is None else node.value}]({','.join(parts)})" if args or node.value is not None else head


def _flat(node: Node) -> Iterator[Node]:
    """Operands, with sums inside sums and products inside products opened; minus signs pushed into sums."""
    if node.head not in _COMMUTATIVE:
        yield from node.args
        return
    stack = list(reversed(node.args))
    while stack:
        top = stack.pop()
        if top.head == node.head:
            stack.extend(reversed(top.args))
        else:
            yield top
