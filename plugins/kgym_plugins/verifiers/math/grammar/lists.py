"""Lists, relations, and items that begin with a word."""

from kgym_plugins.verifiers.math.grammar.amounts import sum_of_amounts, text_node, unit_phrase
from kgym_plugins.verifiers.math.grammar.cursor import Cursor
from kgym_plugins.verifiers.math.grammar.nodes import Amount, Applied, Listing, Node, Relation, Residue, Sym
from kgym_plugins.verifiers.math.grammar.pratt import SETS, expression
from kgym_plugins.verifiers.math.grammar.prefix import argument
from kgym_plugins.verifiers.math.grammar.tokens import tokenize
from kgym_plugins.verifiers.math.limits import SyntaxProblem
from kgym_plugins.verifiers.math.phrases.inside import CONNECTIVES

RELATIONS = frozenset({"=", "<", ">", "<=", ">=", "!=", "~", "===", "in", "notin"})
_CALLED = frozenset("fghFGHPQRSTpqruvwC") | {"zeta", "phi", "sigma", "tau", "Gamma", "psi", "Phi"}


def separator_at(cursor: Cursor) -> str | None:
    """Return the separator that comes, if one does."""
    token = cursor.peek()
    if token.kind == "op" and token.value in (",", ";", "and", "or"):
        return token.value
    if token.kind == "word" and token.value.lower() in CONNECTIVES:
        return token.value.lower()
    return None


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
                raise SyntaxProblem("a separator with nothing behind it")
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
    if top and cursor.peek().kind in ("word", "currency"):
        operands[-1] = _quantity(cursor, operands[-1])
    if cursor.peek().kind == "cmd" and cursor.peek().value == "pmod":
        cursor.at += 1
        modulus = argument(cursor)
        return Residue((operands[-1], modulus))
    if cursor.peek().kind == "open" and cursor.peek(1).kind in ("word", "fn") and cursor.peek(1).value.lower() == "mod":
        cursor.at += 2
        modulus = expression(cursor, SETS)
        cursor.expect("close")
        return Residue((operands[-1], modulus))
    return Relation(tuple(operands), tuple(operators)) if operators else operands[0]


def _applied(cursor: Cursor) -> Node | None:
    """`f(x) =`, `f^{-1}(x) =`, `P(A) =`: a function's name with its arguments, before a sign of equality."""
    if cursor.peek().kind != "name" or cursor.peek().value not in _CALLED:
        return None
    at = cursor.at + 1
    tokens = cursor.tokens
    while at < len(tokens) and tokens[at].value in ("^", "{", "-", "1", "}", "'", "_", "2", "n", "''"):
        at += 1
    if at >= len(tokens) or tokens[at].kind != "open":
        return None
    end = at
    while end < len(tokens) and tokens[end].kind != "close":
        end += 1
    if end + 1 >= len(tokens) or tokens[end + 1].kind != "op" or tokens[end + 1].value not in ("=", "~"):
        return None
    name = "".join(token.value for token in tokens[cursor.at : at])
    arguments = "".join(token.value for token in tokens[at + 1 : end])
    plain = tokens[at + 1].kind == "name" and end == at + 2
    cursor.at = end + 1
    return Applied((Sym(arguments),) if plain else (), (name, arguments))


def _words(cursor: Cursor) -> Node:
    """An item that begins with a word: a number in words, a name, a sentence."""
    begin = cursor.at
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
    """`one hundred and five`: an "and" inside a number."""
    before = cursor.tokens[cursor.at - 1].value.lower() if cursor.at > begin else ""
    return cursor.peek().value == "and" and before in ("hundred", "thousand", "million")


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
