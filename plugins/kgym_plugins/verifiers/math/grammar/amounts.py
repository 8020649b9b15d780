"""Words inside a formula: numbers in words, units after a number, items that are text."""

from collections.abc import Callable
from typing import cast

from kgym_plugins.verifiers.math.grammar.nodes import Add, Amount, Degree, Div, Mul, Node, Percent, Text, number
from kgym_plugins.verifiers.math.grammar.tokens import Token
from kgym_plugins.verifiers.math.limits import SyntaxProblem
from kgym_plugins.verifiers.math.phrases.conditions import CONDITIONS
from kgym_plugins.verifiers.math.phrases.named import named
from kgym_plugins.verifiers.math.phrases.normal import normal_words
from kgym_plugins.verifiers.math.phrases.numbers import SCALES, counted
from kgym_plugins.verifiers.math.phrases.table import Formula, Word
from kgym_plugins.verifiers.math.phrases.units import (
    AFTER_NOUNS,
    FILLER,
    NO_NOUNS,
    NO_UNIT,
    ORDINALS,
    PER,
    POWER_WORDS,
    UNITS,
    Unit,
    of_arc,
    unit_named,
)

_MOST_NOUNS = 4


def text_node(tokens: list[Token], parse: Callable[[str], Node]) -> Node | None:
    """Make sense of an item that begins with a word; None if formulas and words are mixed."""
    if any(
        token.kind not in ("word", "name", "num")
        and token.value not in ("'", "-", "(", ")", ".", ":", "!", "pi", "mod")
        for token in tokens
    ):
        return None
    words = " ".join(token.value for token in tokens)
    if found := named(words):
        meaning = found[1]
        return parse(meaning.text) if isinstance(meaning, Formula) else Text(cast(Word, meaning).text)
    if amounts := counted([token.value.casefold() for token in tokens]):  # "two apples", "three quarters mile"
        (above, below), rest = amounts
        amount = Div((number(above), number(below))) if below != 1 else number(above)
        return unit_phrase(amount, tokens[len(tokens) - len(rest) :])
    return Text(normal_words(words))


def unit_phrase(amount: Node, tokens: list[Token]) -> Node:
    """Read what is after a number: `cm^2`, `square inches`, `miles per hour`, `apples`. Raises SyntaxProblem for
    anything else.
    """
    if CONDITIONS.pattern.match(tokens[0].value):
        raise SyntaxProblem("a condition after a number")
    tokens = _without_fractions(tokens)
    unit, nouns, power_of_next, at = NO_UNIT, list[str](), 1, 0
    sign = half = 1  # half: -1 inside the brackets after a stroke
    while at < len(tokens):
        token = tokens[at]
        word = token.value.casefold()
        at += 1
        if token.kind == "op" and token.value in ("/",):
            sign = -half
        elif token.value == "(":
            half = sign
        elif token.value == ")":
            sign = half = 1
        elif token.kind in ("lb", "rb") or (token.kind == "op" and token.value in ("*", "-", ".")):
            continue
        elif token.kind == "currency":
            unit = unit.times(UNITS[token.value])
        elif token.kind not in ("word", "name"):
            raise SyntaxProblem(f"{token.value!r} after a unit")
        elif word in ORDINALS and not nouns:
            continue
        elif word in NO_NOUNS:
            raise SyntaxProblem(f"{word!r} after a number")
        elif word in PER or _per_one(tokens, at, unit.dimension or nouns or isinstance(amount, Amount)):
            sign = -1
        elif word in AFTER_NOUNS and nouns and _prose(tokens[at:]):
            break  # 36 ways to arrange the books
        elif word in {"percent", "pct"}:
            amount = Percent((amount,), 100)
        elif word in SCALES and not nouns:
            inner = Mul((amount.args[0] if isinstance(amount, Amount) else amount, number(SCALES[word])))
            amount = amount.with_args((inner,)) if isinstance(amount, Amount) else inner
        elif word in POWER_WORDS:
            if word in ("squared", "cubed"):
                raise SyntaxProblem("a power without its unit")
            power_of_next = POWER_WORDS[word]
        elif (known := _unit(tokens, at, bool(nouns))) is None:
            if word not in FILLER:
                nouns.append(word)
                sign = half
            if len(nouns) > _MOST_NOUNS:
                raise SyntaxProblem("a sentence after a number")
        else:
            power, at = _power(tokens, at, power_of_next)
            if word in _RUN_TOGETHER and power < 0:  # ms^{-1} is m/s
                unit, known = unit.times(_RUN_TOGETHER[word], sign), UNITS[word[-1]]
            unit = unit.times(known, power * sign)
            power_of_next, sign = 1, half
    if unit.offset and isinstance(amount, Degree):
        amount = amount.args[0]
    return Amount((amount,), (unit, " ".join(nouns)))


def _per_one(tokens: list[Token], at: int, measured: object) -> bool:
    """Whether the word before `at` is "per" in other words: 60 miles an hour, 5 dollars for every pound."""
    word, after = tokens[at - 1].value.casefold(), tokens[at].value.casefold() if at < len(tokens) else ""
    if not measured or not after:
        return False
    if word == "to":  # 25 miles to the gallon
        return after == "the" and at + 1 < len(tokens) and unit_named(tokens[at + 1].value) is not None
    if word in ("in", "for"):
        return after in ("a", "an", "each", "every")
    behind_unit = at > 1 and tokens[at - 2].value.casefold() in UNITS
    return word in ("a", "an") and (behind_unit or unit_named(after) is not None)


_RUN_TOGETHER = {"ms": UNITS["m"], "kmh": UNITS["km"]}


def _unit(tokens: list[Token], at: int, nouns: bool) -> Unit | None:
    """Return the unit that the token before `at` names; "in" after a noun is a preposition."""
    word = tokens[at - 1].value
    if (
        word.casefold() == "in"
        and nouns
        and at < len(tokens)
        and tokens[at].kind == "word"
        and UNITS.get(tokens[at].value) is None
    ):
        return None
    return unit_named(word)


def _power(tokens: list[Token], at: int, power: int) -> tuple[int, int]:
    """Return the power of a unit, with what is after it, and where that ends."""
    if at + 1 < len(tokens) and tokens[at].value == "^":
        exponent, at = _exponent(tokens, at + 1)
        return power * exponent, at
    if at < len(tokens) and tokens[at].value.casefold() in ("squared", "cubed"):
        return power * POWER_WORDS[tokens[at].value.casefold()], at + 1
    return power, at


def _without_fractions(tokens: list[Token]) -> list[Token]:
    r"""`\frac{N}{m^2}` as `N/(m^2)`. Raises SyntaxProblem if a brace is missing."""
    if not tokens or tokens[0].kind != "cmd":
        return tokens
    groups, at = list[list[Token]](), 1
    for _ in range(2):
        depth, begin = 0, at
        while at < len(tokens):
            depth += (tokens[at].kind == "lb") - (tokens[at].kind == "rb")
            at += 1
            if depth == 0:
                break
        groups.append(tokens[begin + 1 : at - 1])
    if tokens[0].value != "frac" or not all(groups):
        raise SyntaxProblem("a fraction that is not a unit")
    return [*groups[0], Token("op", "/"), Token("open", "("), *groups[1], Token("close", ")"), *tokens[at:]]


def _prose(tokens: list[Token]) -> bool:
    """Whether words follow that neither compute nor contradict."""
    return all(token.kind in ("word", "name") and token.value.casefold() not in NO_NOUNS for token in tokens)


def sum_of_amounts(large: Node, small: Node) -> Node:
    """Add `1 hour` and `30 minutes`. Raises SyntaxProblem unless they are of one kind, the larger unit first."""
    if not isinstance(small, Amount):
        raise SyntaxProblem(f"{small} after {_said(large)}")
    (one, _), (other, noun) = large.value, small.value
    other = of_arc(one, other)
    if not one.dimension or one.dimension != other.dimension or one.size <= other.size:
        raise SyntaxProblem(f"two amounts side by side, {_said(large)} and {_said(small)}")
    inner = Add((Mul((large.args[0], number(one.size / other.size))), small.args[0]))
    return Amount((inner,), (other, noun))


def _said(amount: Node) -> str:
    unit, noun = amount.value
    return f"the amount {amount.args[0]} [{' '.join(part for part in (str(unit), noun) if part)}]"


def _exponent(tokens: list[Token], at: int) -> tuple[int, int]:
    sign = 1
    value = None
    while at < len(tokens) and (tokens[at].kind in ("lb", "num") or tokens[at].value == "-"):
        if tokens[at].value == "-":
            sign = -1
        elif tokens[at].kind == "num":
            value = tokens[at].value
            at += 1
            break
        at += 1
    if at < len(tokens) and tokens[at].kind == "rb":
        at += 1
    if value is None or not value.isdigit() or len(value) > 1:
        raise SyntaxProblem("an exponent after a unit that is not a digit")
    return sign * int(value), at
