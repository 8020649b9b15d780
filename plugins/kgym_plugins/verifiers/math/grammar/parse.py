"""Stage 4: the text of an answer to its syntax tree."""

from kgym_plugins.verifiers.math.grammar import brackets, functions, infix
from kgym_plugins.verifiers.math.grammar.arrows import mapping
from kgym_plugins.verifiers.math.grammar.cursor import Cursor
from kgym_plugins.verifiers.math.grammar.lists import listing
from kgym_plugins.verifiers.math.grammar.nodes import Node, depth
from kgym_plugins.verifiers.math.grammar.tokens import Token, tokenize
from kgym_plugins.verifiers.math.limits import TREE_DEPTH, LimitError, SyntaxProblem

MODULES = (brackets, functions, infix)
"""They fill the tables of `pratt.py`."""


def parse(text: str, *, thousands: bool = True) -> Node:
    """Return the tree of an answer. Raises SyntaxProblem for what the grammar does not know, LimitError beyond the
    limits.
    """
    return parse_tokens(tokenize(text, thousands=thousands))


def parse_tokens(tokens: list[Token]) -> Node:
    """Return the tree of all tokens; as `parse`."""
    node = mapping(tokens)
    if node is None:
        cursor = Cursor(tokens)
        node = listing(cursor, top=True)
        if cursor.at < len(tokens):
            raise SyntaxProblem(f"{cursor.peek().value!r} is left over")
    if depth(node) > TREE_DEPTH:
        raise LimitError(f"an answer nested deeper than {TREE_DEPTH}")
    return node
