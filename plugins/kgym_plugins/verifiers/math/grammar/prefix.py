"""Operands: numbers, names, signs before an operand, LaTeX commands, powers."""

from kgym_plugins.verifiers.math.grammar.build import literal, only_expressions, root, transposed
from kgym_plugins.verifiers.math.grammar.cursor import Cursor
from kgym_plugins.verifiers.math.grammar.nodes import (
    ONE,
    Abs,
    Add,
    Amount,
    Brackets,
    Call,
    Const,
    Degree,
    Div,
    Dots,
    Factorial,
    Grid,
    MinusPlus,
    Mul,
    Neg,
    Node,
    Num,
    PlusMinus,
    Pow,
    Structure,
    Sym,
    number,
    symbols,
)
from kgym_plugins.verifiers.math.grammar.pratt import POWER, PRODUCT, SUM, expression, group, operand, prefix
from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.limits import SyntaxProblem
from kgym_plugins.verifiers.math.phrases.units import MINUTE_OF_ARC, ORDINALS, SECOND_OF_ARC, UNITS


@operand("num")
def _num(cursor: Cursor, token: Token) -> Node:
    return Num(literal(token.value))


@operand("name")
def _name(cursor: Cursor, token: Token) -> Node:
    if (
        cursor.peek().kind == "open"
        and cursor.peek(2).kind == "close"
        and ("dot_" in token.value or cursor.is_derived(token.value))
    ):
        cursor.pass_argument()
    if token.value in _CHOOSING and (chosen := _chosen(cursor, token.value)) is not None:
        return chosen
    return Const(token.value) if token.value in ("e", "i") else Sym(token.value)


_CHOOSING = frozenset("CAP")
_NUMBERS_OF_THINGS = frozenset("kmnprN")


def _chosen(cursor: Cursor, letter: str) -> Node | None:
    """`C_n^k`, `C_{10}^{3}`: combinations, and with A or P arrangements; None where the letter is a name with an
    index and a power.
    """
    if not cursor.is_op("_", "^"):
        return None
    begin = cursor.at
    found: dict[str, Node | None] = {}
    while cursor.is_op("_", "^") and len(found) < 2:
        sign = cursor.next().value
        found[sign] = _index(cursor)
    above, below = found.get("_"), found.get("^")
    if above is None or below is None or not _can_choose(above, below):
        cursor.at = begin
        return None
    combinations = Call((above, below), "binom")
    return combinations if letter == "C" else Mul((combinations, Factorial((below,), 1)))


def _index(cursor: Cursor) -> Node | None:
    """A group, a number or a letter; nothing is taken apart."""
    token = cursor.peek()
    if token.kind == "lb":
        return group(cursor) if cursor.peek(1).kind in ("num", "name", "word") and not cursor.peek(1).text else None
    if token.kind in ("num", "name"):
        cursor.at += 1
        return Num(literal(token.value)) if token.kind == "num" else Sym(token.value)
    return None


def _can_choose(above: Node, below: Node) -> bool:
    """Whether so many can be chosen: a letter with a small index and an exponent is a constant and its power."""
    if isinstance(above, Structure) or isinstance(below, Structure):
        return False
    if isinstance(above, Num):
        many = above.value.value
        if not isinstance(below, Num):
            return many > 2 and symbols(below) <= _NUMBERS_OF_THINGS and many.denominator == 1
        return many.denominator == 1 and below.value.value.denominator == 1 and 0 <= below.value.value <= many
    letters = symbols(above) | symbols(below)
    return bool(symbols(above)) and letters <= _NUMBERS_OF_THINGS and (isinstance(below, Num) or bool(symbols(below)))


@operand("const")
def _const(cursor: Cursor, token: Token) -> Node:
    return Const(token.value)


@operand("currency")
def _money(cursor: Cursor, token: Token) -> Node:
    return Amount((expression(cursor, PRODUCT),), (UNITS[token.value], ""))


@operand("word")
def _letters(cursor: Cursor, token: Token) -> Node:
    """A product of variables that is written as a word."""
    cursor.at -= 1
    if not cursor.starts_product():
        raise SyntaxProblem(f"the word {token.value!r} inside an expression")
    cursor.at += 1
    letters: list[Node] = [Const(c) if c in "ei" else Sym(c) for c in token.value]
    product = letters[0]
    if cursor.is_op("^"):  # xy^2 is x * y^2
        cursor.at += 1
        letters[-1] = raised(cursor, letters[-1])
    for letter in letters[1:]:
        product = Mul((product, letter))
    return product


@operand("op -")
def _negative(cursor: Cursor, token: Token) -> Node:
    inner = expression(cursor, PRODUCT)
    if isinstance(inner, Amount):
        return Amount((Neg(inner.args),), inner.value)
    if not isinstance(inner, Grid):
        only_expressions(inner)
    return Neg((inner,))


@operand("op +")
def _positive(cursor: Cursor, token: Token) -> Node:
    return expression(cursor, PRODUCT)


@operand("op pm", "op mp")
def _either_sign(cursor: Cursor, token: Token) -> Node:
    return (PlusMinus if token.value == "pm" else MinusPlus)((expression(cursor, PRODUCT),))


@operand("op |", "op ||")
def _absolute(cursor: Cursor, token: Token) -> Node:
    cursor.bars += 1
    inner = expression(cursor, SUM)
    cursor.bars -= 1
    if not cursor.is_op(token.value):
        raise SyntaxProblem("a bar without its partner")
    cursor.at += 1
    return Abs((inner,))


@operand("op ...")
def _dots(cursor: Cursor, token: Token) -> Node:
    return Dots()


@operand("op degree")
def _degree(cursor: Cursor, token: Token) -> Node:
    return Degree((ONE,))


# --- LaTeX commands ---------------------------------------------------------------------------------------------------


def argument(cursor: Cursor) -> Node:
    r"""Read one argument of a LaTeX command: a group, or the next digit, letter or command (`\frac12`)."""
    token = cursor.peek()
    if token.kind == "lb":
        return group(cursor)
    if token.kind == "num" and len(token.value) > 1 and token.value.isdigit():
        cursor.tokens[cursor.at] = token._replace(value=token.value[1:], space=False)
        return Num(literal(token.value[0]))
    if token.kind == "word" and len(token.value) > 1:
        cursor.tokens[cursor.at] = token._replace(
            kind="word" if len(token.value) > 2 else "name", value=token.value[1:], space=False
        )
        return Sym(token.value[0])
    return prefix(cursor)


@operand("cmd frac")
def _frac(cursor: Cursor, token: Token) -> Node:
    above, below = argument(cursor), argument(cursor)
    only_expressions(above, below)
    return Div((above, below))


@operand("cmd sqrt")
def _sqrt(cursor: Cursor, token: Token) -> Node:
    index = None
    if cursor.peek().kind == "open" and cursor.peek().value == "[":
        cursor.at += 1
        index = expression(cursor, SUM)
        cursor.expect("close")
    return root(argument(cursor), index)


@operand("cmd surd", "cmd cuberoot", "cmd fourthroot")
def _surd(cursor: Cursor, token: Token) -> Node:
    index = {"surd": 2, "cuberoot": 3, "fourthroot": 4}[token.value]
    return root(root_operand(cursor), number(index))


@operand("cmd binom")
def _binom(cursor: Cursor, token: Token) -> Node:
    return Call((argument(cursor), argument(cursor)), "binom")


@operand("cmd angle", "cmd triangle")
def _figure(cursor: Cursor, token: Token) -> Node:
    letters = cursor.next()
    if letters.kind not in ("name", "word"):
        raise SyntaxProblem(f"\\{token.value} without letters")
    return Sym(f"{token.value}_{letters.value}")


@operand("cmd")
def _not_evaluated(cursor: Cursor, token: Token) -> Node:
    raise SyntaxProblem(f"\\{token.value} is not evaluated")


def root_operand(cursor: Cursor) -> Node:
    """Read what is after a root sign of Unicode: the next operand, with its power but not with what it is multiplied
    by.
    """
    return group(cursor) if cursor.peek().kind == "lb" else expression(cursor, POWER)


def degrees(cursor: Cursor, base: Node) -> Node:
    r"""Make an angle in degrees, with the minutes and seconds that follow it: `37^\circ 30^{\prime}`."""
    total = base
    for marks, parts in (("'", 60), ("''", 3600)):
        grouped = cursor.peek().kind == "lb" and cursor.peek(2).kind == "rb"
        if cursor.peek(grouped).kind != "num" or not isinstance(base, Num):
            break
        begin, digits = cursor.at, cursor.peek(grouped)
        cursor.at += 3 if grouped else 1
        cursor.at += cursor.is_op("^")
        if _primes(cursor) != marks:
            cursor.at = begin
            continue
        total = Add((total, Div((Num(literal(digits.value)), number(parts)))))
    return Degree((total,))


def _primes(cursor: Cursor) -> str:
    r"""Take primes after `^`, in a group or not: `^{\prime\prime}`; if there are others in the group, nothing is
    taken.
    """
    begin = cursor.at
    grouped = cursor.peek().kind == "lb"
    cursor.at += grouped
    primes = ""
    while cursor.is_op("'", "''") and len(primes) < 3:
        primes += cursor.next().value
    if primes and (not grouped or cursor.peek().kind == "rb"):
        cursor.at += grouped
        return primes
    cursor.at = begin
    return ""


def raised(cursor: Cursor, base: Node) -> Node:
    """Read what is after `^`, and return the base with it: a power, degrees, a transposed matrix."""
    if cursor.is_op("circ", "degree"):
        cursor.at += 1
        return degrees(cursor, base)
    if (
        cursor.peek().kind == "lb"
        and cursor.peek(1).kind == "op"
        and cursor.peek(1).value in ("circ", "degree")
        and cursor.peek(2).kind == "rb"
    ):
        cursor.at += 3
        return degrees(cursor, base)
    if isinstance(base, Brackets | Grid) and cursor.peek().kind == "name" and cursor.peek().value == "T":
        cursor.at += 1
        return transposed(base)
    if base.value == "reals" and cursor.is_op("+", "-"):
        return Const("positives" if cursor.next().value == "+" else "negatives")
    word = cursor.peek(1) if cursor.peek().kind == "lb" else cursor.peek()
    if word.kind == "name" and word.text and word.value in ("o", "O"):
        cursor.at += 3 if cursor.peek().kind == "lb" else 1
        return Degree((base,))
    if word.kind == "word" and word.value.lower() in ORDINALS:
        cursor.at += 3 if cursor.peek().kind == "lb" else 1
        return base
    if primes := _primes(cursor):
        if isinstance(base, Num):
            return Amount((base,), (MINUTE_OF_ARC if primes == "'" else SECOND_OF_ARC, ""))
        if not isinstance(base, Sym):
            return base
        cursor.pass_argument()
        return Sym(base.value + primes)
    if cursor.is_op("-", "+"):
        sign = cursor.next().value
        exponent = expression(cursor, POWER)
        exponent = Neg((exponent,)) if sign == "-" else exponent
    elif cursor.is_op("*"):
        cursor.at += 1
        return Sym(f"{base.value}*")
    else:
        exponent = group(cursor) if cursor.peek().kind == "lb" else expression(cursor, POWER)
    only_expressions(base, exponent)
    return Pow((base, exponent))
