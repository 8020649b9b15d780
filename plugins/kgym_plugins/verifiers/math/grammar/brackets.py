"""Groups, brackets and environments: tuples, sets, intervals, matrices, cases."""

from kgym_plugins.verifiers.math.grammar.cursor import Cursor
from kgym_plugins.verifiers.math.grammar.lists import listing
from kgym_plugins.verifiers.math.grammar.nodes import (
    Amount,
    Brackets,
    Builder,
    Call,
    CaseRows,
    Const,
    Grid,
    Listing,
    Node,
    Residue,
    Text,
    number,
)
from kgym_plugins.verifiers.math.grammar.pratt import SUM, expression, operand
from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.limits import SyntaxProblem
from kgym_plugins.verifiers.math.phrases.inside import AROUND_PARITY, BEFORE_CONDITION, OTHERWISE, PARITY


@operand("lb")
def _group(cursor: Cursor, token: Token) -> Node:
    if cursor.peek().kind == "rb":
        raise SyntaxProblem("an empty group")
    bars, cursor.bars = cursor.bars, 0
    cursor.enter()
    cursor.groups += 1
    node = listing(cursor)
    if cursor.is_op("|", ":"):  # {x | x > 2} in plain text
        cursor.at += 1
        node = Builder((node, listing(cursor)))
    cursor.leave()
    cursor.groups -= 1
    cursor.bars = bars
    cursor.expect("rb")
    return node


@operand("open")
def _bracket(cursor: Cursor, token: Token) -> Node:
    opening = token.value
    if opening in ("floor", "ceil"):
        inner = expression(cursor, SUM)
        cursor.expect("close")
        return Call((inner,), opening)
    cursor.enter()
    bars, cursor.bars = cursor.bars, 0
    in_set, cursor.in_set = cursor.in_set, opening == "{"
    node: Node
    if cursor.peek().kind == "close" and opening in ("{", "["):
        cursor.at += 1
        node = Const("empty")
    else:
        node = _inside(cursor, opening)
    cursor.bars, cursor.in_set = bars, in_set
    cursor.leave()
    return node


def _inside(cursor: Cursor, opening: str) -> Node:
    node = listing(cursor)
    if opening == "{" and cursor.is_op("|", ":"):
        cursor.at += 1
        condition = listing(cursor)
        cursor.expect("close")
        return Builder((node, condition))
    closing = cursor.next()
    if closing.kind != "close":
        raise SyntaxProblem(f"{opening} without its partner")
    if isinstance(node, Listing):
        return Brackets(node.args, (opening, closing.value))
    if opening in ("{", "<") or isinstance(node, Text | Amount):
        return Brackets((node,), (opening, closing.value))
    return node


@operand("begin")
def _environment(cursor: Cursor, token: Token) -> Node:
    name = token.value
    rows: list[list[Node]] = [[]]
    piecewise = name in ("cases", "dcases", "rcases")
    while True:
        token = cursor.peek()
        if token.kind == "end":
            cursor.at += 1
            break
        if token.kind == "row":
            cursor.at += 1
            rows.append([])
        elif token.kind == "amp":
            cursor.at += 1
        elif token.kind == "end of text":
            raise SyntaxProblem("an environment without its end")
        else:
            if piecewise and rows[-1] and (condition := _condition(cursor)) is not None:
                rows[-1].append(condition)
                continue
            rows[-1].append(listing(cursor, top=piecewise or name in ("aligned", "align")))
    rows = [row for row in rows if row]
    if not rows or len({len(row) for row in rows}) != 1:
        raise SyntaxProblem("rows of a matrix have different lengths")
    cells = tuple(cell for row in rows for cell in row)
    if piecewise and len(rows[0]) == 2:
        return CaseRows(cells)
    if piecewise or name in ("aligned", "align", "gathered", "split"):
        if len(rows[0]) != 1:
            raise SyntaxProblem("columns of formulas")
        return Listing(cells, frozenset({"and"})) if len(cells) > 1 else cells[0]
    matrix = Grid(cells, len(rows[0]))
    return Call((matrix,), "det") if name == "vmatrix" else matrix


def _condition(cursor: Cursor) -> Node | None:
    """`otherwise`; or nothing, and the word before a condition (`if x > 0`) is passed over."""
    while cursor.peek().kind == "word" and cursor.peek().value.lower() in BEFORE_CONDITION:
        cursor.at += 1
    if cursor.peek().kind == "word" and cursor.peek().value.lower() in OTHERWISE:
        cursor.at += 1
        while cursor.is_op(",", ";"):
            cursor.at += 1
        return Text("otherwise")
    return _parity(cursor)


def _parity(cursor: Cursor) -> Node | None:
    """`n even`, `n is odd`, `even n`: a condition on the remainder by two; None for any other condition."""
    end = cursor.at
    while end < len(cursor.tokens) and cursor.tokens[end].kind in ("word", "name", "op"):
        end += 1
    said = [token for token in cursor.tokens[cursor.at : end] if token.value.lower() not in AROUND_PARITY]
    words = [token.value.lower() for token in said if token.kind == "word"]
    names = [token.value for token in said if token.kind == "name"]
    if len(said) != 2 or len(names) != 1 or not words or words[0] not in PARITY:
        return None
    cursor.at = end
    return Residue((number(PARITY[words[0]]), number(2)), names[0])
