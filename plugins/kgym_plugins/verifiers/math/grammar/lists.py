"""Lists, relations, and items that begin with a word."""

import re

from kgym_plugins.verifiers.math.grammar.amounts import sum_of_amounts, text_node, unit_phrase
from kgym_plugins.verifiers.math.grammar.cursor import Cursor
from kgym_plugins.verifiers.math.grammar.nodes import (
    Add,
    Amount,
    Applied,
    Listing,
    MinusPlus,
    Mod,
    Neg,
    Node,
    PlusMinus,
    Relation,
    Residue,
    Sym,
)
from kgym_plugins.verifiers.math.grammar.pratt import SETS, expression
from kgym_plugins.verifiers.math.grammar.prefix import argument
from kgym_plugins.verifiers.math.grammar.tokens import tokenize
from kgym_plugins.verifiers.math.limits import SyntaxProblem
from kgym_plugins.verifiers.math.phrases.conditions import CONDITIONS
from kgym_plugins.verifiers.math.phrases.inside import CONNECTIVES
from kgym_plugins.verifiers.math.phrases.numbers import DOZENS, SCALES, part_ahead

RELATIONS = frozenset({"=", "<", ">", "<=", ">=", "!=", "~", "===", "in", "notin"})
_CALLED = frozenset("fghFGHPQRSTpqruvwC") | {"zeta", "phi", "sigma", "tau", "Gamma", "psi", "Phi"}
_MARKS = ("^", "{", "-", "1", "}", "'", "_", "2", "n", "''")
"""What may be between the name of a function and its arguments: f^{-1}, f'', T_{3}."""
_ARGUMENTS = frozenset("xtnrszhkuvy") | {"theta"}
"""Letters that make any letter before them in brackets a function: y(x), a(n)."""


def separator_at(cursor: Cursor) -> str | None:
    """Return the separator that comes, if one does."""
    token = cursor.peek()
    if token.kind == "op" and token.value in (",", ";", "and", "or"):
        return token.value
    if token.kind == "word" and token.value.lower() in CONNECTIVES:
        return CONNECTIVES[token.value.lower()]
    return None


def separator_before(cursor: Cursor) -> bool:
    """Whether a comma or semicolon was taken last."""
    token = cursor.peek(-1)
    return token.kind == "op" and token.value in (",", ";")


def listing(cursor: Cursor, top: bool = False) -> Node:
    """Read items between separators; one item alone is itself."""
    items: list[Node] = []
    separators: set[str] = set()
    while True:
        while separator := separator_at(cursor):
            separators.add(separator)
            cursor.at += 1
        if closing(cursor):
            if items and not top:
                raise SyntaxProblem("a separator with nothing after it")
            break
        items.append(_item(cursor, top))
        if not separator_at(cursor):
            break
    if not items:
        raise SyntaxProblem("nothing between the brackets")
    return items[0] if len(items) == 1 else Listing(tuple(items), frozenset(separators))


def closing(cursor: Cursor) -> bool:
    """Whether what comes closes what is open."""
    token = cursor.peek()
    return token.kind in ("close", "rb", "end of text", "end", "amp", "row") or (cursor.bars > 0 and cursor.is_op("|"))


def _item(cursor: Cursor, top: bool) -> Node:
    if cursor.peek().kind == "word" and not cursor.starts_product():
        return _words(cursor)
    left = called if (called := _applied(cursor)) is not None else expression(cursor, SETS)
    operands, operators = [left], []
    while cursor.peek().kind == "op" and cursor.peek().value in RELATIONS:
        operators.append(cursor.next().value)
        if cursor.peek().kind == "word" and not cursor.starts_product():
            operands.append(_words(cursor))
        else:
            operands.append(expression(cursor, SETS))
    if top and (cursor.peek().kind in ("word", "currency") or cursor.unit_quotient_ahead()):
        operands[-1] = _quantity(cursor, operands[-1])
    if cursor.peek().kind == "cmd" and cursor.peek().value == "pmod":
        cursor.at += 1
        modulus = argument(cursor)
        return _residue(operands, operators, modulus)
    if cursor.peek().kind == "open" and cursor.peek(1).kind in ("word", "fn") and cursor.peek(1).value.lower() == "mod":
        cursor.at += 2
        modulus = expression(cursor, SETS)
        cursor.expect("close")
        return _residue(operands, operators, modulus)
    if operators == ["==="] and (parts := _remainder(operands[-1])):  # x \\equiv 2 + 3 \\bmod 7
        return _residue([operands[0], parts[0]], operators, parts[1])
    return Relation(tuple(operands), tuple(operators)) if operators else operands[0]


def _residue(operands: list[Node], operators: list[str], modulus: Node) -> Node:
    """Make a residue class, of a number that has a name if one is said to be congruent or equal to it."""
    named = len(operands) == 2 and isinstance(operands[0], Sym) and operators[0] in ("===", "=")
    return Residue((operands[-1], modulus), operands[0].value if named else None)


def _remainder(node: Node) -> tuple[Node, Node] | None:
    """Take the modulus from the end of a residue: `mod` binds as a product does."""
    if isinstance(node, Mod):
        return node.args[0], node.args[1]
    if isinstance(node, Neg) and (parts := _remainder(node.args[0])):
        return Neg((parts[0],)), parts[1]
    if isinstance(node, Add | PlusMinus | MinusPlus) and (parts := _remainder(node.args[-1])):
        return node.with_args((*node.args[:-1], parts[0])), parts[1]
    return None


def _applied(cursor: Cursor) -> Node | None:
    """`f(x) =`, `f^{-1}(x) =`, `P(A) =`: a function's name with its arguments, before a sign of equality."""
    if cursor.peek().kind != "name":
        return None
    at = cursor.at + 1
    tokens = cursor.tokens
    while at < len(tokens) and (
        tokens[at].value in _MARKS or (tokens[at].kind == "num" and tokens[at - 1].value in ("_", "{"))
    ):
        at += 1
    if at >= len(tokens) or tokens[at].kind != "open":
        return None
    end = at
    while end < len(tokens) and tokens[end].kind != "close":
        end += 1
    if end + 1 >= len(tokens) or tokens[end + 1].kind != "op" or tokens[end + 1].value not in ("=", "~"):
        return None
    name = "".join(token.value for token in tokens[cursor.at : at] if token.kind not in ("lb", "rb"))
    name = re.sub(r"\^('+)", r"\1", name)  # f^{\prime} is f'
    arguments = "".join(token.value for token in tokens[at + 1 : end])
    plain = tokens[at + 1].kind == "name" and end == at + 2
    letter = tokens[cursor.at].value
    if letter not in _CALLED and not (plain and tokens[at + 1].value in _ARGUMENTS - {letter}):
        return None
    cursor.at = end + 1
    return Applied((Sym(arguments),) if plain else (), (name, arguments))


def _words(cursor: Cursor) -> Node:
    """An item that begins with a word: a number in words, a name, a sentence."""
    begin = cursor.at
    if begin and separator_before(cursor) and CONDITIONS.pattern.match(cursor.peek().value):
        raise SyntaxProblem("a condition where an item was expected")
    while not closing(cursor) and not (separator_at(cursor) and not _inside_words(cursor, begin)):
        cursor.at += 1
    node = text_node(cursor.tokens[begin : cursor.at], _formula)
    if node is None:
        raise SyntaxProblem("words and formulas in one item")
    return node


def _formula(text: str) -> Node:
    """The tree of a formula that words stand for."""
    return listing(Cursor(tokenize(text)), top=True)


def _inside_words(cursor: Cursor, begin: int) -> bool:
    """`one hundred and five`, `two and a half`: an "and" inside a number."""
    before = cursor.tokens[cursor.at - 1].value.lower() if cursor.at > begin else ""
    if cursor.peek().value != "and":
        return False
    ahead = [cursor.peek(place).value.lower() for place in range(1, 4)]
    return before in SCALES or before in DOZENS or part_ahead(ahead)


def _quantity(cursor: Cursor, node: Node) -> Node:
    begin, braces = cursor.at, 0
    while not (braces == 0 and (closing(cursor) or separator_at(cursor))) and cursor.peek().kind != "end of text":
        if braces == 0 and cursor.peek().kind == "num" and cursor.peek(-1).value != "^":
            break
        token = cursor.next()
        braces += (token.kind in ("lb", "open")) - (token.kind in ("rb", "close"))
    amount = unit_phrase(node, cursor.tokens[begin : cursor.at]) if cursor.at > begin else node
    if isinstance(amount, Amount) and cursor.peek().kind == "num":  # 1 hour 30 minutes
        return sum_of_amounts(amount, _quantity(cursor, expression(cursor, SETS)))
    return amount
