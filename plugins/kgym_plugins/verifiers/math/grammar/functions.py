"""Functions with their arguments: `\\sin^2 x`, `\\log_2 8`, `max(1, 2)`."""

from kgym_plugins.verifiers.math.grammar.build import ONE_LITERAL, product, root
from kgym_plugins.verifiers.math.grammar.cursor import Cursor
from kgym_plugins.verifiers.math.grammar.nodes import (
    Abs,
    Brackets,
    Call,
    Const,
    Div,
    Listing,
    Mul,
    Neg,
    Node,
    Num,
    Pow,
    number,
)
from kgym_plugins.verifiers.math.grammar.pratt import PREFIX, expression, group, operand, prefix
from kgym_plugins.verifiers.math.grammar.prefix import argument, root_operand
from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.limits import SyntaxProblem
from kgym_plugins.verifiers.math.tables import name_list

_UNARY_FUNCTIONS = frozenset(
    name_list(
        """
    sin cos tan cot sec csc sinh cosh tanh coth sech csch asin acos atan acot asec acsc asinh acosh atanh
    ln exp log lg sgn abs floor ceil erf Re Im arg cis sqrt cbrt det
    """
    )
)
_ARGUMENT_BRACKETS = dict.fromkeys(("max", "min", "gcd", "lcm"), "([{")
_INVERTIBLE = frozenset(name_list("sin cos tan cot sec csc sinh cosh tanh"))


@operand("fn")
def _function(cursor: Cursor, token: Token) -> Node:
    name = token.value
    exponent = base = None
    while cursor.is_op("^", "_"):
        if cursor.next().value == "^":
            exponent = _exponent(cursor)
        else:
            base = argument(cursor)
    if name == "sqrt":
        return root(_bracketed_or_operand(cursor), None)
    if name == "cbrt":
        return root(_bracketed_or_operand(cursor), number(3))
    if name in ("mod", "choose"):
        raise SyntaxProblem(f"{name} without a left operand")
    if (
        cursor.peek().kind == "open" and cursor.peek().value in _ARGUMENT_BRACKETS.get(name, "([")
    ) or cursor.peek().kind == "lb":
        inner = group(cursor) if cursor.peek().kind == "lb" else prefix(cursor)
        arguments: tuple[Node, ...] = inner.args if isinstance(inner, Brackets | Listing) else (inner,)
    else:
        arguments = (_operand(cursor),)
    if not arguments:
        raise SyntaxProblem(f"{name} of nothing")
    if name in _UNARY_FUNCTIONS and len(arguments) != 1 and not (name == "log" and len(arguments) == 2):
        raise SyntaxProblem(f"{name} of {len(arguments)} arguments")
    if name == "log" and len(arguments) == 2:
        base, arguments = arguments[-1], arguments[:1]
    call: Node
    if name == "exp":
        call = Pow((Const("e"), arguments[0]))
    elif name == "abs":
        call = Abs(arguments)
    elif name == "binom":
        if len(arguments) != 2:
            raise SyntaxProblem("binom needs two arguments")
        call = Call(arguments, name)
    else:
        inverse = exponent is not None and isinstance(exponent, Neg) and exponent.args[0] == ONE_LITERAL
        if inverse and name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"):
            name, exponent = f"a{name}", None
        call = Call((*arguments, base) if base is not None else arguments, name)
    return call if exponent is None else Pow((call, exponent))


def _exponent(cursor: Cursor) -> Node:
    if cursor.peek().kind == "lb":
        return group(cursor)
    if cursor.is_op("-"):
        cursor.at += 1
        return Neg((argument(cursor),))
    return argument(cursor)


def _bracketed_or_operand(cursor: Cursor) -> Node:
    if cursor.peek().kind == "open":
        return prefix(cursor)
    return root_operand(cursor)


def _operand(cursor: Cursor) -> Node:
    r"""`\sin 2x`: the factors that follow, up to the next function, sum or sign."""
    operand = expression(cursor, PREFIX)
    while True:
        token = cursor.peek()
        if token.kind in ("name", "const", "lb") or (token.kind == "cmd" and token.value in ("frac", "sqrt", "surd")):
            operand = product(operand, expression(cursor, PREFIX + 1))
        elif cursor.is_op("/") and cursor.peek(1).kind == "num" and isinstance(operand, Const | Mul | Num):
            cursor.at += 1
            operand = Div((operand, expression(cursor, PREFIX + 1)))
        else:
            return operand
