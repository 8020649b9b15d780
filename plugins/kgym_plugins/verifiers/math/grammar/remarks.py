"""Where a value ends and a remark on it begins, in the tokens of an answer that the grammar cannot read as a whole."""

from typing import NamedTuple

from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.phrases.conditions import CONDITIONS, NO_REMARKS, REASONS

_RELATIONS = frozenset({"=", "<", ">", "<=", ">=", "!=", "in", "~"})
_SEPARATORS = frozenset({",", ";", ":", "-"})
_MOST_WORDS = 12
"""Words at which a remark may begin."""
_LONGEST = 60
"""Tokens of a remark that are looked at to see how it begins."""
_ONCE = frozenset({"for", "when", "whenever", "if"})
"""A remark with two of these has two values with a condition each."""


class Remark(NamedTuple):
    """A value, and what is said after it."""

    value: list[Token]
    condition: list[Token]
    reason: bool
    """It only says why."""


def _is_word(token: Token) -> bool:
    return token.kind in ("word", "fn") or (token.kind == "name" and token.text)


def _said(tokens: list[Token]) -> str:
    return " ".join("for" if token.value == "forall" else token.value for token in tokens[:_LONGEST])


def remark(tokens: list[Token]) -> Remark | None:
    """Split tokens into a value and a remark; None if there is no remark, or one that is more than that."""
    split = _bracketed(tokens) or _begun(tokens)
    if split is None:
        return None
    value, condition = split
    while value and value[-1].kind == "op" and value[-1].value in _SEPARATORS:
        value = value[:-1]
    words = [token.value.lower() for token in condition if token.kind == "word"]
    if not value or not condition or not NO_REMARKS.isdisjoint(words) or sum(word in _ONCE for word in words) > 1:
        return None
    return Remark(value, condition, REASONS.pattern.match(_said(condition)) is not None)


def _bracketed(tokens: list[Token]) -> tuple[list[Token], list[Token]] | None:
    """`2^n (n \\in N)`, `6 (since x > 0)`: brackets at the end around a relation or words."""
    if len(tokens) < 4 or tokens[-1].kind != "close" or tokens[-1].value not in (")", "]"):
        return None
    depth = 0
    for begin in range(len(tokens) - 1, 0, -1):
        depth += (tokens[begin].kind == "close") - (tokens[begin].kind == "open")
        if depth == 0:
            break
    else:
        return None
    inside, before = tokens[begin + 1 : -1], tokens[begin - 1]
    if tokens[begin].value not in ("(", "[") or not inside:
        return None
    called = before.kind in ("name", "fn") and not (before.text or tokens[begin].space)  # f(x = 2), P(X > 3)
    related = any(token.kind == "op" and token.value in _RELATIONS for token in inside)
    if (
        called
        or (before.kind == "name" and begin < 2)
        or (before.kind == "op" and before.value not in _SEPARATORS | {"!", "%", "degree", "'"})
    ):
        return None
    if not related and not (inside[0].kind == "word" and len(inside) > 1):
        return None
    return tokens[:begin], inside


def _begun(tokens: list[Token]) -> tuple[list[Token], list[Token]] | None:
    """`2^n for n > 1`, `28 when t = 3`, `x = k \\pi \\forall k`: a word that begins a remark, outside of brackets."""
    depth = tried = 0
    for at, token in enumerate(tokens):
        depth += (token.kind in ("open", "lb", "begin")) - (token.kind in ("close", "rb", "end"))
        if depth or at == 0:
            continue
        if token.kind == "cmd" and token.value == "forall":
            return tokens[:at], tokens[at:]
        if token.kind == "word" and (tried := tried + 1) <= _MOST_WORDS:
            said = _said(tokens[at:])
            if CONDITIONS.pattern.match(said) or REASONS.pattern.match(said):
                return tokens[:at], tokens[at:]
    return None
