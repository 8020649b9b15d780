"""Operators between operands and after them, and operands side by side."""

from kgym_plugins.verifiers.math.grammar.build import based, only_expressions, product
from kgym_plugins.verifiers.math.grammar.cursor import Cursor
from kgym_plugins.verifiers.math.grammar.nodes import (
    Add,
    Amount,
    Brackets,
    Call,
    Degree,
    Div,
    Factorial,
    Intersection,
    MinusPlus,
    Mod,
    Neg,
    Node,
    Num,
    Parts,
    Percent,
    PlusMinus,
    Structure,
    Sym,
    Union,
    Without,
    number,
)
from kgym_plugins.verifiers.math.grammar.pratt import (
    FALLBACK,
    POSTFIX,
    POWER,
    PRODUCT,
    RATIO,
    SETS,
    SUM,
    expression,
    operator,
    prefix,
)
from kgym_plugins.verifiers.math.grammar.prefix import degrees, raised
from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.limits import SyntaxProblem
from kgym_plugins.verifiers.math.phrases.numbers import BASE_WORDS
from kgym_plugins.verifiers.math.phrases.units import MINUTE_OF_ARC, SECOND_OF_ARC

_FUNCTION_NAMES = frozenset("fghFGHP")
_SET_OPERATORS = {"cup": Union, "cap": Intersection, "setminus": Without}


@operator(SUM, "op +", "op -", "op pm", "op mp")
def _sum(cursor: Cursor, left: Node, sign: str) -> Node:
    right = expression(cursor, SUM + 1)
    if sign == "-" and isinstance(right, Brackets) and (isinstance(left, Brackets | Union) or left.value == "reals"):
        return Without((left, right))
    only_expressions(left, right)
    if sign in ("pm", "mp"):
        return (PlusMinus if sign == "pm" else MinusPlus)((left, right))
    right = Neg((right,)) if sign == "-" else right
    # sums are flat, so that a long one is not a deep one; one in parentheses stays a term
    return Add((*left.args, right) if isinstance(left, Add) else (left, right))


@operator(PRODUCT, "op *")
def _product(cursor: Cursor, left: Node, sign: str) -> Node:
    return product(left, expression(cursor, PRODUCT + 1))


@operator(PRODUCT, "op /")
def _quotient(cursor: Cursor, left: Node, sign: str) -> Node | None:
    if cursor.unit_ahead():
        return None  # $5 / lb
    right = expression(cursor, PRODUCT + 1)
    only_expressions(left, right)
    return Div((left, right))


@operator(POWER, "op ^")
def _power(cursor: Cursor, left: Node, sign: str) -> Node:
    return raised(cursor, left)


@operator(POSTFIX, "op !")
def _factorial(cursor: Cursor, left: Node, sign: str) -> Node:
    double = cursor.is_op("!") and not cursor.peek().space
    cursor.at += double
    return Factorial((left,), 2 if double else 1)


@operator(POSTFIX, "op %", "op permille")
def _percent(cursor: Cursor, left: Node, sign: str) -> Node:
    return Percent((left,), 100 if sign == "%" else 1000)


@operator(POSTFIX, "op degree", "op circ")
def _degree(cursor: Cursor, left: Node, sign: str) -> Node:
    return degrees(cursor, left)


@operator(POSTFIX, "op '", "op ''")
def _prime(cursor: Cursor, left: Node, sign: str) -> Node | None:
    """A derivative, where y'(t) is y', since nothing else can be the argument; or minutes of an angle, after a
    number.
    """
    if isinstance(left, Num):
        return Amount((left,), (MINUTE_OF_ARC if sign == "'" else SECOND_OF_ARC, ""))
    if not isinstance(left, Sym):
        return None
    cursor.pass_argument()
    return Sym(left.value + sign)


@operator(RATIO, "op :")
def _ratio(cursor: Cursor, left: Node, sign: str) -> Node | None:
    if cursor.in_set:
        return None
    parts = [left, expression(cursor, RATIO + 1)]
    while cursor.is_op(":"):
        cursor.at += 1
        parts.append(expression(cursor, RATIO + 1))
    return Parts(tuple(parts))


@operator(RATIO, "word to")
def _ratio_in_words(cursor: Cursor, left: Node, sign: str) -> Node:
    return Parts((left, expression(cursor, RATIO + 1)))


@operator(RATIO, "word out")
def _out_of(cursor: Cursor, left: Node, sign: str) -> Node | None:
    """Divide in `3 out of n`. Numbers alone, also in words, are read before: `CHANCES` in phrases/quantities.py."""
    if cursor.peek().value.lower() != "of":
        return None
    cursor.at += 1
    return Div((left, expression(cursor, RATIO + 1)))


@operator(SETS, "op cup", "op cap", "op setminus")
def _set_operation(cursor: Cursor, left: Node, sign: str) -> Node:
    return _SET_OPERATORS[sign]((left, expression(cursor, SETS + 1)))


@operator(PRODUCT, "cmd bmod", "fn mod")
def _remainder(cursor: Cursor, left: Node, sign: str) -> Node:
    return Mod((left, expression(cursor, PRODUCT + 1)))


@operator(SUM, "cmd over")
def _over(cursor: Cursor, left: Node, sign: str) -> Node:
    return Div((left, expression(cursor, SUM)))


@operator(SUM, "cmd choose")
def _choose(cursor: Cursor, left: Node, sign: str) -> Node:
    return Call((left, expression(cursor, SUM)), "binom")


@operator(PRODUCT, "fn choose")
def _choose_in_words(cursor: Cursor, left: Node, sign: str) -> Node:
    return Call((left, expression(cursor, PRODUCT + 1)), "binom")


@operator(POSTFIX, "op _")
def _subscript(cursor: Cursor, left: Node, sign: str) -> Node:
    begin = cursor.at
    if cursor.peek().kind == "lb":
        depth = 0
        while True:
            token = cursor.next()
            depth += (token.kind == "lb") - (token.kind == "rb")
            if token.kind == "end of text":
                raise SyntaxProblem("a subscript without its closing brace")
            if depth == 0:
                break
        inner = cursor.tokens[begin + 1 : cursor.at - 1]
    else:
        cursor.at += 1
        inner = cursor.tokens[begin : cursor.at]
    words = [token.value.lower() for token in inner if token.value not in ("(", ")", "base")]
    if isinstance(left, Num) and left.value.places is None and len(words) == 1:
        base = int(words[0]) if words[0].isdigit() and len(words[0]) < 3 else BASE_WORDS.get(words[0])
        if base is not None:
            return based(left.value.text, base)
    if isinstance(left, Sym):
        return Sym(f"{left.value}_{''.join(token.value for token in inner)}")
    raise SyntaxProblem("a subscript where none belongs")


# --- operands side by side --------------------------------------------------------------------------------------------


def _side_by_side(cursor: Cursor, left: Node, power: int) -> Node | None:
    """A product, a mixed number, or a function that no one knows with its argument."""
    token = cursor.peek()
    if power > POSTFIX or (token.kind == "op" and token.value != "..."):
        return None
    called = isinstance(left, Sym) and left.value in _FUNCTION_NAMES and token.kind == "open" and not token.space
    if (power > PRODUCT and not called) or not _juxtaposed(cursor, left):
        return None
    if (mixed := _mixed(cursor, left)) is not None:
        return mixed
    right = expression(cursor, POSTFIX + 1 if called else PRODUCT + 1)
    if called and not isinstance(right, Structure):
        return Call((right,), f"${left.value}")
    return product(left, right)


FALLBACK.append(_side_by_side)


def _juxtaposed(cursor: Cursor, left: Node) -> bool:
    token = cursor.peek()
    if isinstance(left, Degree) and token.kind == "name" and token.value in ("C", "F"):
        cursor.tokens[cursor.at] = Token("word", "celsius" if token.value == "C" else "fahrenheit", False, True)
        return False
    if token.text and token.value == "a" and isinstance(left, Num) and cursor.unit_ahead(1):
        cursor.tokens[cursor.at] = Token("word", "a", token.space, True)  # $5 a pound
        return False
    if token.kind in ("num", "name", "const", "fn", "lb", "begin"):
        if token.kind == "num" and isinstance(left, Num):
            return token.space and _mixed_ahead(cursor)  # "3 4" is not a product
        return True
    if token.kind == "cmd":
        return token.value not in ("pmod", "over", "choose", "bmod", "substack") and not cursor.unit_fraction_ahead()
    if token.kind == "open":
        return not (cursor.peek(1).kind in ("word", "fn") and cursor.peek(1).value.lower() == "mod")
    if token.kind == "word":
        return cursor.starts_product()
    return False


def _mixed_ahead(cursor: Cursor) -> bool:
    return cursor.peek(1).kind == "op" and cursor.peek(1).value == "/" and cursor.peek(2).kind == "num"


def _mixed(cursor: Cursor, left: Node) -> Node | None:
    r"""`2\frac{1}{3}` and `2 1/3`: an integer and a proper fraction beside it are their sum."""
    if not isinstance(left, Num) or left.value.places is not None or left.value.value.denominator != 1:
        return None
    begin = cursor.at
    token = cursor.peek()
    if token.kind == "cmd" and token.value == "frac":
        fraction = prefix(cursor)
        above, below = fraction.args
    elif token.kind == "num" and _mixed_ahead(cursor):
        above = prefix(cursor)
        cursor.at += 1
        below = prefix(cursor)
    else:
        return None
    whole = all(
        isinstance(part, Num) and part.value.places is None and part.value.value.denominator == 1
        for part in (above, below)
    )
    if not whole or not 0 < above.value.value < below.value.value:
        cursor.at = begin
        return None
    return number(left.value.value + above.value.value / below.value.value)
