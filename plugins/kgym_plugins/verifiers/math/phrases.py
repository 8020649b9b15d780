"""What words mean: numbers, units behind a number, and answers that are text."""

import re

from kgym_plugins.verifiers.math.limits import SyntaxProblem
from kgym_plugins.verifiers.math.nodes import Node, number
from kgym_plugins.verifiers.math.tokens import Token
from kgym_plugins.verifiers.math.units import NO_UNIT, POWER_WORDS, UNITS
from kgym_plugins.verifiers.math.vocabulary import (
    EMPTY_WORDS,
    INFINITE_WORDS,
    INFINITELY_MANY,
    INFINITY_WORDS,
    REAL_WORDS,
    SCALES,
    UNDEFINED_WORDS,
    YES_WORDS,
    name_list,
    number_from_words,
)

_MOST_NOUNS = 4
_ARTICLES = re.compile(r"\b(?:the|a|an)\b")
_IT_IS = re.compile(r"\A(?:it|this|that|they|these|he|she) (?:is|are|was|were) (?=\w)")
_FILLER = frozenset(name_list("of the a an in total approximately about exactly long wide tall away old per"))
_SIGNED_REALS = re.compile(
    r"(?:(?:set of )?(?:all|any|every) )?(?:real )?"
    r"(positive|negative|non[- ]?negative|non[- ]?positive)(?: real numbers?| reals?| numbers?)"
)
_NONZERO = re.compile(
    r"(?:(?:set of )?(?:all|any|every) )?non-?zero (?:real numbers?|reals?)|(?:all|any|every) real numbers? except (?:0|zero)"
)
_NO_SUCH = re.compile(r"(?:there (?:is|are|exists?) )?no such \w{2,20}(?: exists?)?")
_NO_NOUNS = frozenset(
    name_list(
        """
    is are was were be not isn't isnt no nor never wrong incorrect false right correct if when unless until without minus plus times
    maybe perhaps possibly probably otherwise except but than versus vs some any most least
    """
    )
)
"""Words behind a number that say something about it, and are nothing that is counted."""
_AFTER_NOUNS = frozenset(name_list("to for that which who with on from left remaining"))
_ORDINALS = frozenset({"th", "st", "nd", "rd"})


def normal_words(text: str) -> str:
    """Lower case, single spaces, no articles and no punctuation around."""
    words = re.sub(r"[\s_]+", " ", text.casefold()).strip(" .,;:!?\"'*")
    return re.sub(r"\s+", " ", _ARTICLES.sub(" ", _IT_IS.sub("", words))).strip() or words


def meaning(words: str) -> Node | None:
    """Return what a phrase stands for: the empty set, all real numbers, infinity, a number; None if it is just text."""
    plain = words.casefold().strip(" .,;:!?\"'*")
    without = normal_words(words)
    for form in (plain, without):
        if form in EMPTY_WORDS or _NO_SUCH.fullmatch(form):
            return Node("const", (), "empty")
        if form in REAL_WORDS:
            return Node("const", (), "reals")
        if match := _SIGNED_REALS.fullmatch(form):
            return Node("const", (), f"{match.group(1).replace('-', '').replace(' ', '')}s")
        if _NONZERO.fullmatch(form):
            return Node("diff", (Node("const", (), "reals"), Node("seq", (number(0),), ("{", "}"))))
        if form in ("all integers", "set of integers", "set of all integers", "any integer", "every integer"):
            return Node("const", (), "integers")
        if form in UNDEFINED_WORDS:
            return Node("text", (), "undefined")
        if form in INFINITE_WORDS:
            return Node("text", (), INFINITELY_MANY)
        if form in INFINITY_WORDS:
            return Node("const", (), "oo")
        if form in ("negative infinity", "minus infinity", "-infinity"):
            return Node("neg", (Node("const", (), "oo"),))
        if form in YES_WORDS and len(form) > 1:
            return Node("text", (), YES_WORDS[form])
    value = number_from_words(plain.split())
    if value is not None:
        above, below = value
        return Node("div", (number(above), number(below))) if below != 1 else number(above)
    return None


def text_node(tokens: list[Token]) -> Node | None:
    """Make sense of an item that begins with a word; None if formulas and words are mixed."""
    if any(
        token.kind not in ("word", "name", "num") and token.value not in ("'", "-", "(", ")", ".", ":", "!", "pi", "mod")
        for token in tokens
    ):
        return None
    words = " ".join(token.value for token in tokens)
    found = meaning(words)
    if found is not None:
        return found
    if len(tokens) > 1:  # "two apples", "three quarters mile": a number in words and what it counts
        for end in range(len(tokens) - 1, 0, -1):
            value = number_from_words([token.value.casefold() for token in tokens[:end]])
            if value is not None:
                amount = Node("div", (number(value[0]), number(value[1]))) if value[1] != 1 else number(value[0])
                return unit_phrase(amount, tokens[end:])
    return Node("text", (), normal_words(words))


def unit_phrase(amount: Node, tokens: list[Token]) -> Node:
    """Read what stands behind a number: `cm^2`, `square inches`, `miles per hour`, `apples`. Raises SyntaxProblem for anything else."""
    unit, nouns, power_of_next, sign, at = NO_UNIT, list[str](), 1, 1, 0
    while at < len(tokens):
        token = tokens[at]
        word = token.value.casefold()
        at += 1
        if token.kind == "op" and token.value in ("/",):
            sign = -1
            continue
        if token.kind == "op" and token.value in ("*", "-", "."):
            continue
        if token.kind in ("lb", "rb") or token.value in ("(", ")"):
            continue
        if token.kind == "currency":
            unit = unit.times(UNITS[token.value])
            continue
        if token.kind not in ("word", "name"):
            raise SyntaxProblem(f"{token.value!r} behind a unit")
        if word in _ORDINALS and not nouns:
            continue
        if word in _AFTER_NOUNS and nouns and _prose(tokens[at:]):
            break  # 36 ways to arrange the books
        if word in _NO_NOUNS:
            raise SyntaxProblem(f"{word!r} behind a number")
        if word in ("per", "each", "every"):
            sign = -1
            continue
        if word in {"percent", "pct"}:
            amount = Node("percent", (amount,), 100)
            continue
        if word in SCALES and not nouns:
            inner = Node("mul", (amount.args[0] if amount.head == "quantity" else amount, number(SCALES[word])))
            amount = amount._replace(args=(inner,)) if amount.head == "quantity" else inner
            continue
        if word in POWER_WORDS:
            if word in ("squared", "cubed"):
                raise SyntaxProblem("a power without its unit")
            power_of_next = POWER_WORDS[word]
            continue
        known = UNITS.get(word) or (UNITS.get(word.rstrip(".")) if len(word) > 2 else None)
        if word == "in" and at < len(tokens) and tokens[at].kind == "word" and UNITS.get(tokens[at].value) is None and nouns:
            known = None
        if known is None:
            if word not in _FILLER:
                nouns.append(word)
            if len(nouns) > _MOST_NOUNS:
                raise SyntaxProblem("a sentence behind a number")
            sign = 1
            continue
        power = power_of_next
        if at + 1 < len(tokens) and tokens[at].value == "^":
            exponent, at = _exponent(tokens, at + 1)
            power *= exponent
        elif at < len(tokens) and tokens[at].value.casefold() in ("squared", "cubed"):
            power *= POWER_WORDS[tokens[at].value.casefold()]
            at += 1
        unit = unit.times(known, power * sign)
        power_of_next, sign = 1, 1
    if unit.offset and amount.head == "degree":
        amount = amount.args[0]
    return Node("quantity", (amount,), (unit, " ".join(nouns)))


def _prose(tokens: list[Token]) -> bool:
    """Whether words follow that neither compute nor contradict."""
    return all(token.kind in ("word", "name") and token.value.casefold() not in _NO_NOUNS for token in tokens)


def sum_of_amounts(large: Node, small: Node) -> Node:
    """Add `1 hour` and `30 minutes`. Raises SyntaxProblem unless they are of one kind, the larger unit first."""
    if small.head != "quantity":
        raise SyntaxProblem("a number behind an amount")
    (one, _), (other, _) = large.value, small.value
    if not one.dimension or one.dimension != other.dimension or one.size <= other.size:
        raise SyntaxProblem("two amounts side by side")
    inner = Node("add", (Node("mul", (large.args[0], number(one.size / other.size))), small.args[0]))
    return Node("quantity", (inner,), small.value)


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
        raise SyntaxProblem("an exponent behind a unit that is no digit")
    return sign * int(value), at
