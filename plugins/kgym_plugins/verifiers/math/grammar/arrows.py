r"""Functions that are written with an arrow: `x \mapsto x^2`, `f \colon x \mapsto x^2`, `(x, y) \to (-y, x)`."""

from kgym_plugins.verifiers.math.grammar.cursor import Cursor
from kgym_plugins.verifiers.math.grammar.lists import listing
from kgym_plugins.verifiers.math.grammar.nodes import Applied, Node, Relation, Sym
from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.limits import SyntaxProblem

_ARROWS = frozenset({"maps", "to"})
_BEFORE_NAME = frozenset({":", ",", ";"})
_LONGEST_NAME = 8


def mapping(tokens: list[Token]) -> Node | None:
    """Read an arrow as an equation, `f(x) = x^2`, whose function has no name if none is given; None without an arrow.

    What else is before the argument, as domain and codomain, is passed over. Raises SyntaxProblem for an arrow that
    maps nothing: `x \\to 0`.
    """
    arrows = [at for at, (kind, value, *_) in enumerate(tokens) if value in _ARROWS and kind == "op"]
    if not arrows:
        return None
    at = arrows[-1]
    if (rest := _said_after(tokens, at)) is not None:
        return rest
    begin = _argument(tokens, at)
    letters = [token.value for token in tokens[begin:at] if token.kind == "name"]
    body = tokens[at + 1 :]
    if not letters or len(set(letters)) < len(letters) or not body:
        raise SyntaxProblem("an arrow without an argument")
    if tokens[at].value == "to" and not _maps(letters, body):
        raise SyntaxProblem("an arrow that maps nothing")
    cursor = Cursor(body)
    image = listing(cursor, top=True)
    if cursor.at < len(body):
        raise SyntaxProblem(f"{cursor.peek().value!r} is left over")
    arguments = (Sym(letters[0]),) if len(letters) == 1 else ()
    return Relation((Applied(arguments, (_name(tokens[:begin]), ",".join(letters))), image), ("=",))


def _said_after(tokens: list[Token], at: int) -> Node | None:
    r"""`f \\colon A \\to B, f(x) = x`: the equation after the arrow between domain and codomain."""
    comma = next((place for place in range(at, len(tokens)) if tokens[place].value in (",", ";")), None)
    if tokens[at].value != "to" or comma is None or not any(token.value == ":" for token in tokens[:at]):
        return None
    cursor = Cursor(tokens[comma + 1 :])
    node = listing(cursor, top=True)
    return node if cursor.at == len(cursor.tokens) and isinstance(node, Relation) else None


def _argument(tokens: list[Token], at: int) -> int:
    """Where the argument before an arrow begins: a letter, or letters in brackets."""
    if at and tokens[at - 1].kind == "name":
        return at - 1
    begin = at - 1
    if begin < 0 or tokens[begin].kind != "close":
        raise SyntaxProblem("an arrow without an argument")
    while begin > 0 and tokens[begin].kind != "open":
        begin -= 1
    if not all(token.kind == "name" or token.value == "," for token in tokens[begin + 1 : at - 1]):
        raise SyntaxProblem("an arrow after something other than letters")
    return begin


def _maps(letters: list[str], body: list[Token]) -> bool:
    """Whether a plain arrow maps: a point to a point, or a letter to a formula that has it; `x \\to 0` is a limit."""
    if len(letters) > 1:
        return body[0].kind in ("open", "begin")
    return len(body) > 1 and any(token.kind == "name" and token.value == letters[0] for token in body)


def _name(before: list[Token]) -> str:
    """The name of the function: `f :`, `f^{-1} :`; empty if nothing is before the argument."""
    if not before:
        return ""
    colon = next((at for at, token in enumerate(before) if token.value == ":"), None)
    if colon is None or before[0].kind != "name" or colon > _LONGEST_NAME or before[-1].value not in _BEFORE_NAME:
        raise SyntaxProblem("a formula before an arrow")
    return "".join(token.value for token in before[:colon] if token.kind not in ("lb", "rb"))
