r"""The one value that a clause adds to what the question says: of "25 comes next" and "which is 25 % of 40" the 25.

All other words of the clause are of the question, or such small words as any sentence has; all other values are of the
question.
"""

import re

from kgym_plugins.verifiers.math.find.candidates import key
from kgym_plugins.verifiers.math.phrases.cues import AROUND_NUMBER
from kgym_plugins.verifiers.math.phrases.east_asian import said_last, strange
from kgym_plugins.verifiers.math.phrases.languages import DENIED, NO_ELSEWHERE, UNSURE_ELSEWHERE
from kgym_plugins.verifiers.math.phrases.numbers import NUMBER_WORDS
from kgym_plugins.verifiers.math.phrases.properties import is_thing
from kgym_plugins.verifiers.math.phrases.small_words import SMALL, SMALL_ELSEWHERE
from kgym_plugins.verifiers.math.phrases.statements import FIRST_FORMULA, FORMULA, GENERIC, NO, PRONOUNS
from kgym_plugins.verifiers.math.phrases.units import unit_named
from kgym_plugins.verifiers.math.tables import name_list

_STEM = 5
_COUNT = "|".join(sorted(NUMBER_WORDS - {"one", "second", "third"}, key=len, reverse=True))
_VALUE = re.compile(
    rf"{FORMULA}|(?<![\w.,])[-−]?[€£]?\d+(?:[.,:]\d+)*(?:\s?/\s?\d+)?(?:\s?[ap]\.?m\.?(?![a-z]))?(?:\s?%|°)?(?![\w^])"
    rf"|\b(?:half\s+a\s+|a\s+)?(?:{_COUNT}|dozen)\b(?:[ -](?:(?:and|a|of)[ -])?(?:{_COUNT}|one|dozen)\b)*",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"(?:\$|\\\()(?:[-+*/^(){}\d\s.,!i:]"
    r"|\\(?:cdot|times|frac|dfrac|sqrt|left|right|div|lfloor|rfloor|binom|pi))+=[^<>]+?(?:\$|\\\))"
)
"""An equation of numbers only: a step of a calculation."""
_SHORT_FOR = {
    "gcd": "greatest common",
    "gcf": "greatest common",
    "hcf": "highest common",
    "lcm": "least common",
    "price": "cost",
    "cost": "price",
    "costs": "price",
}
_OF_ASKED = re.compile(r"\s+(?:in|from|out\s+of)\s+it\b")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ASIAN = re.compile(r"[぀-ヿ㐀-鿿가-힯]")
_ASKED_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def only_new(clause: str, formulas: tuple[str, ...], question: str) -> str | None:
    """Return a clause from its only new value on, with "it" for values of the question; None if it has none, or says
    something else.

    >>> clauses = "this is 25% of 40", "this is 25% of the bill", "it is 2 or 3"
    >>> [only_new(clause, (), "What percentage of 40 is 10?") for clause in clauses]
    ['25% of it', None, None]
    """
    if _ASIAN.search(clause):
        return _only_new_in_asian(clause, formulas, question)
    if not question or NO_ELSEWHERE.search(clause) or DENIED.pattern.search(clause) or UNSURE_ELSEWHERE.search(clause):
        return None
    if re.search(r"\b(?:or|either|each other)\b", clause, re.IGNORECASE):
        return None
    values = list(_VALUE.finditer(clause))
    steps = [match for match in values if _is_step(match[0], formulas)]
    if len(steps) > 1 and steps[-1] is values[-1]:
        values = [match for match in values if match not in steps[:-1]]  # a calculation, and what it leads to
    new = [match for match in values if not _is_asked(match[0], formulas, question)] or values[-1:]
    if len(new) != 1 or (len(values) > 1 and _is_asked(new[0][0], formulas, question)):
        return None
    begin = new[0].start()
    if (denied := NO.pattern.search(clause)) and (denied.start() < begin or not NO.pattern.search(question)):
        return None
    rest = _VALUE.sub(lambda match: " " if match.start() == begin else "it", clause)
    asked = question.casefold()
    if not all(is_known(word, asked) for word in _WORD.findall(rest.casefold())):
        return None
    return _OF_ASKED.split(new[0][0] + _VALUE.sub("it", clause[new[0].end() :]))[0]


def _is_step(value: str, formulas: tuple[str, ...]) -> bool:
    return (
        re.fullmatch(FORMULA, value) is not None
        and _STEP.fullmatch(formulas[ord(value) - ord(FIRST_FORMULA)]) is not None
    )


def _is_asked(value: str, formulas: tuple[str, ...], question: str) -> bool:
    """Whether a value is one of the question."""
    if re.fullmatch(FORMULA, value):
        value = formulas[ord(value) - ord(FIRST_FORMULA)]
        return key(value).strip("\\()") in key(question)
    if value[-1].isalpha():
        return re.search(rf"\b{re.escape(value)}\b", question, re.IGNORECASE) is not None
    numbers = _ASKED_NUMBER.findall(value)
    asked = set(_ASKED_NUMBER.findall(question))
    return bool(numbers) and all(number in asked for number in numbers)


def is_known(word: str, asked: str) -> bool:
    """Whether a word is of the question, is a unit, or says nothing about what a value is of."""
    return (
        word in SMALL
        or word in GENERIC
        or word in PRONOUNS
        or word in AROUND_NUMBER
        or word in SMALL_ELSEWHERE
        or named_in(word, asked)
        or is_thing(word)
        or len(word) == 1
        or unit_named(word) is not None
    )


_SAME = (
    name_list("smallest least minimum minimal lowest"),
    name_list("largest greatest biggest maximum maximal highest most"),
    name_list("chance probability"),
)
"""Words that name the same."""


def named_in(word: str, asked: str) -> bool:
    """Whether a question has a word, or one of the same stem: the expansion, if it says expand."""
    if any(word in group and any(re.search(rf"\b{one}\b", asked) for one in group) for group in _SAME):
        return True
    if word in _SHORT_FOR:
        return word in asked or _SHORT_FOR[word] in asked
    if not word.isascii() and len(word) > 3:
        return word[: -2 if len(word) > 4 else -1] in asked  # сумма, сумму
    if word.endswith("ing") and len(word) > len("doing") + 1 and re.search(rf"\b{re.escape(word[:-3])}", asked):
        return True  # filling, filled
    return word.rstrip("s") in asked or (
        len(word) > _STEM and re.search(rf"\b{re.escape(word[:_STEM])}", asked) is not None
    )


def _only_new_in_asian(clause: str, formulas: tuple[str, ...], question: str) -> str | None:
    """The same in Chinese, Japanese and Korean, where words are not parted: what comes before the value is of the
    question.
    """
    unmasked = re.sub(FORMULA, lambda match: formulas[ord(match[0]) - ord(FIRST_FORMULA)], clause)
    unmasked = re.sub(r"[（(]([^（()）]*)[）)](?=[。.]?\Z)", r"\1", unmasked)
    if not re.search(r"[$<>≤≥≠]", unmasked):
        unmasked = re.sub(r"\s*=\s*", "是", re.sub(r"\s*[×x*+÷-]\s*(?=[^\d\s])", "", unmasked))
    asked, last = (
        set(_ASKED_NUMBER.findall(question)),
        max((match.start() for match in _ASKED_NUMBER.finditer(unmasked)), default=-1),
    )
    unmasked = _ASKED_NUMBER.sub(lambda match: "" if match[0] in asked and match.start() < last else match[0], unmasked)
    value = said_last(unmasked)
    return None if not question or value is None or strange(unmasked[: unmasked.rfind(value)], question) else value
