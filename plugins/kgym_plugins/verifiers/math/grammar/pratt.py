"""A Pratt parser: operands by the tokens that begin them, operators by their signs, each in a table that other modules
fill.

Linear in the tokens, bounded in depth, and it computes nothing. Binding powers, loosest first: lists; relations; union,
intersection and difference; ratios; sums; products, also by juxtaposition; powers and what is after an operand (`!`,
`%`, degrees).
"""

from collections.abc import Callable

from kgym_plugins.verifiers.math.grammar.cursor import Cursor
from kgym_plugins.verifiers.math.grammar.nodes import Node
from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.limits import SyntaxProblem

SETS, RATIO, SUM, PRODUCT, PREFIX, POWER, POSTFIX = 15, 18, 20, 30, 35, 50, 60

Operand = Callable[[Cursor, Token], Node]
Operator = Callable[[Cursor, Node, str], Node | None]
OPERANDS: dict[str, Operand] = {}
"""What reads an operand, by the kind of the token that begins it, which has been taken; of a sign by "op" and the
sign.
"""
OPERATORS: dict[str, tuple[int, Operator]] = {}
"""Of a token after an operand, which has been taken: how strongly it binds, and what reads the rest."""
FALLBACK: list[Callable[[Cursor, Node, int], Node | None]] = []
"""What reads an operand that follows another without a sign; nothing is taken before."""


def operand(*names: str) -> Callable[[Operand], Operand]:
    """Put a function into OPERANDS."""

    def put(function: Operand) -> Operand:
        OPERANDS.update(dict.fromkeys(names, function))
        return function

    return put


def operator(power: int, *names: str) -> Callable[[Operator], Operator]:
    """Put a function into OPERATORS. Where it returns None, the token is not an operator here, and is not taken."""

    def put(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(names, (power, function)))
        return function

    return put


def key(token: Token) -> str:
    """The key of a token in the tables."""
    return f"{token.kind} {token.value.lower()}" if token.kind in ("op", "word", "cmd", "fn") else token.kind


def prefix(cursor: Cursor) -> Node:
    """Read one operand. Raises SyntaxProblem where none is."""
    token = cursor.next()
    read = OPERANDS.get(key(token)) or OPERANDS.get(token.kind)
    if read is None:
        raise SyntaxProblem(f"{token.value or token.kind!r} where an operand was expected")
    return read(cursor, token)


def expression(cursor: Cursor, power: int) -> Node:
    """Read an expression of operators that bind at least as strongly as `power`."""
    cursor.enter()
    left = prefix(cursor)
    while (longer := _longer(cursor, left, power)) is not None:
        left = longer
    cursor.leave()
    return left


def _longer(cursor: Cursor, left: Node, power: int) -> Node | None:
    token = cursor.peek()
    found = OPERATORS.get(key(token))
    if found is not None and power <= found[0]:
        cursor.at += 1
        node = found[1](cursor, left, token.value)
        if node is not None:
            return node
        cursor.at -= 1
    return next((node for read in FALLBACK if (node := read(cursor, left, power)) is not None), None)


def group(cursor: Cursor) -> Node:
    """Read a group in LaTeX's braces, which come next."""
    return OPERANDS["lb"](cursor, cursor.next())
