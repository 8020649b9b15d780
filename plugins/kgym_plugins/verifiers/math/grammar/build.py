"""Making nodes: numbers from their digits, roots, products, and the check that operands are numbers."""

import re
from fractions import Fraction

from kgym_plugins.verifiers.math.grammar.nodes import (
    Amount,
    Based,
    Brackets,
    Call,
    Grid,
    Literal,
    Mul,
    Node,
    Num,
    Structure,
    Sym,
    number,
)
from kgym_plugins.verifiers.math.limits import DIGITS, LimitError, SyntaxProblem

ONE_LITERAL = Num(Literal(Fraction(1), None, "1"))
_NUMBER = re.compile(r"(\d*)(?:\.(\d*)(?:\((\d+)\))?)?(?:[eE]([+-]?\d+))?\Z")


def literal(text: str) -> Literal:
    """Read digits: `12`, `0.50`, `.5`, `0.1(6)` (repeating), `1e-3`. Raises LimitError for too many digits."""
    if len(text) > DIGITS:
        raise LimitError(f"a number of more than {DIGITS} digits")
    match = _NUMBER.match(text)
    if match is None:
        raise SyntaxProblem(f"{text!r} is not a number")
    whole, places, block, exponent = match.groups()
    shift = int(exponent or 0)
    if abs(shift) > DIGITS:
        raise LimitError(f"an exponent of more than {DIGITS}")
    value = Fraction(int((whole or "0") + (places or "")), 10 ** len(places or ""))
    if block:
        value += Fraction(int(block), (10 ** len(block) - 1) * 10 ** len(places or ""))
        return Literal(value, None, text)
    value *= Fraction(10) ** shift
    return Literal(value, len(places) - shift if places else None, text)


def based(digits: str, base: int) -> Node:
    """Make a number in another base. Raises SyntaxProblem if a digit does not belong to it."""
    digits = digits.upper().lstrip("0") or "0"
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits):
        raise SyntaxProblem(f"{digits} is not a number in base {base}")
    return Based((), (digits, base))


def root(inner: Node, index: Node | None) -> Node:
    """Make a root; of index two unless another is given."""
    only_expressions(inner)
    return Call((inner, index if index is not None else number(2)), "root")


def transposed(node: Node) -> Node:
    """Transpose a matrix; a point becomes a column."""
    if isinstance(node, Brackets):
        return Grid(node.args, 1)
    columns = node.value
    rows = len(node.args) // columns
    return Grid(tuple(node.args[row * columns + column] for column in range(columns) for row in range(rows)), rows)


def product(left: Node, right: Node) -> Node:
    """Make a product, flat so that a long one is not a deep one; or call a function that no one knows."""
    if isinstance(left, Grid) or isinstance(right, Grid):
        return Mul((left, right))
    if isinstance(left, Amount) or isinstance(right, Amount):
        raise SyntaxProblem("a product with an amount of money")
    if isinstance(right, Brackets) and isinstance(left, Sym):
        if left.value == "C" and len(right.args) == 2:
            return Call(right.args, "binom")
        return Call(right.args, f"${left.value}")
    only_expressions(left, right)
    return Mul((*left.args, right) if isinstance(left, Mul) else (left, right))


def only_expressions(*nodes: Node) -> None:
    """Raise SyntaxProblem if one of the operands is not a number or expression."""
    for node in nodes:
        if isinstance(node, Structure):
            raise SyntaxProblem(f"a {type(node).__name__.lower()} where a number was expected")
