"""The tokens of an answer and the place where the parser is."""

from kgym_plugins.verifiers.math.grammar.nodes import Node
from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.limits import SyntaxProblem

END = Token("end of text", "")


class Reader:
    """What the parts of the parser share."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._bars = 0
        self._in_set = False

    def _peek(self, ahead: int = 0) -> Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else END

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _is_op(self, *values: str) -> bool:
        token = self._peek()
        return token.kind == "op" and token.value in values

    def _expect(self, kind: str) -> None:
        token = self._next()
        if token.kind != kind:
            raise SyntaxProblem(f"{token.value or token.kind!r} where {kind} was expected")

    def _expression(self, power: int) -> Node:
        raise NotImplementedError

    def _list(self, top: bool = False) -> Node:
        raise NotImplementedError
