"""Expressions written out: all that the signs ± and ∓ stand for, and determinants."""

from collections.abc import Iterator
from itertools import product

from kgym_plugins.verifiers.math.grammar.nodes import (
    Add,
    Call,
    Grid,
    MinusPlus,
    Mul,
    Neg,
    Node,
    PlusMinus,
    number,
    walk,
)
from kgym_plugins.verifiers.math.limits import PRODUCT_TERMS, LimitError

_LARGEST_DETERMINANT = 4
_MINUS_ONE = Neg((number(1),))


def signs(node: Node) -> list[Node]:
    """All expressions that the signs ± and ∓ stand for: each ± alone, all together where there is a ∓. Raises
    LimitError for too many.
    """
    places = [item for item in walk(node) if isinstance(item, PlusMinus | MinusPlus)]
    together = any(isinstance(item, MinusPlus) for item in places)
    free = 1 if together else len(places)
    if 2**free > PRODUCT_TERMS:
        raise LimitError(f"{len(places)} signs ±")
    found = []
    for choice in product((1, -1), repeat=free):
        numbered = iter(choice if not together else choice * len(places))
        found.append(_signed(node, numbered))
    unique: list[Node] = []
    for item in found:
        if item not in unique:
            unique.append(item)
    return unique


def _signed(node: Node, choices: "Iterator[int]") -> Node:
    if isinstance(node, PlusMinus | MinusPlus):
        sign = next(choices) * (1 if isinstance(node, PlusMinus) else -1)
        args = [_signed(arg, choices) for arg in node.args]
        last = args[-1] if sign > 0 else Neg((args[-1],))
        return last if len(args) == 1 else Add((args[0], last))
    if not node.args:
        return node
    return node.with_args(tuple(_signed(arg, choices) for arg in node.args))


def determinants(node: Node) -> Node:
    """Write determinants up to order four as sums of products."""
    if isinstance(node, Call) and node.value == "det" and isinstance(node.args[0], Grid):
        cells, order = node.args[0].args, node.args[0].value
        if order * order == len(cells) and order <= _LARGEST_DETERMINANT:
            return _determinant([cells[at : at + order] for at in range(0, len(cells), order)])
    return node.with_args(tuple(map(determinants, node.args))) if node.args else node


def _determinant(rows: list[tuple[Node, ...]]) -> Node:
    if len(rows) == 1:
        return rows[0][0]
    terms = []
    for column, cell in enumerate(rows[0]):
        minor = _determinant([row[:column] + row[column + 1 :] for row in rows[1:]])
        terms.append(Mul((cell, minor) if column % 2 == 0 else (_MINUS_ONE, cell, minor)))
    return Add(tuple(terms))
