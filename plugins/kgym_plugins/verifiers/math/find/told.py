r"""The one value that a last sentence adds to the question, where more than its words says that it is the result: it
repeats the last calculation, counts what is asked for, or is called by the name or the letter that is asked for.

In contrast to `only.py`, the sentence may have words that the question does not have.
"""

import re

from kgym_plugins.verifiers.math.find.candidates import key
from kgym_plugins.verifiers.math.phrases.small_words import SMALL
from kgym_plugins.verifiers.math.phrases.statements import FIRST_FORMULA, FORMULA, GENERIC

_NUMBER = r"(?<![\w.,^])(?:\\?[$€£])?\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?(?!\w*[\^_])"
_VALUE = re.compile(rf"{FORMULA}|{_NUMBER}")
_RESULT = re.compile(
    r"(?:=|\b(?:is|gives|makes|leaves)(?=\s\S{1,20}\n))\s*(?:\\?[$€£])?\s?"
    r"(-?\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?|\\d?frac\s?\{?\d+\}?\s?\{?\d+\}?)"
)
_ENDED = re.compile(r"(?:\s+follows)?\s*")
_DENIED = re.compile(
    r"\b(?:not?|none|never|nor|neither|minus|plus|give\s+or\s+take|wrong|instead)\b|n't\b", re.IGNORECASE
)
_OF_THEM = re.compile(
    r"\b(?:half|third|quarter|part|some|most|twice|double|of)\s+(?:of\s+)?(?:the|these|those)\s+\Z", re.IGNORECASE
)
"""Before a value of which only a part is meant."""
_PART_OF = re.compile(r"\b(?:of|than|the|these|those|only)\s+\Z", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_COUNTED = re.compile(
    r"\bhow\s+many\s+(?:(?:more|of\s+the|different|distinct|positive|total)\s+)?(?P<thing>[a-z-]+(?:\s[a-z]+)?)",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\b(?:what(?:\s+is|'s)|find|determine|compute|calculate)\s+(?:the\s+|its\s+)"
    r"(?:(?:exact|total|minimum|maximum)\s+)?(?P<name>[a-z]{2,20}(?:\s(?!of\b|for\b|in\b|if\b|to\b)[a-z]+)?)",
    re.IGNORECASE,
)
_GENERAL = frozenset({"value", "number", "sum", "answer", "result", "total", "product", "amount", "difference"})
_LETTER = re.compile(
    r"\b(?:find|solve|determine|what\s+is|value\s+of|values\s+of|for)\b[^.?!]{0,60}\$(?P<letter>[a-z])\$", re.IGNORECASE
)
_SOLVE = re.compile(r"\bsolve\b|\bfind\s+(?:all\s+)?(?:real\s+)?(?:solutions?|roots?)\b", re.IGNORECASE)
_EQUATION = re.compile(r"\$?\s*(?P<letter>[a-z])\s*=\s*(?P<value>-?[^=<>$a-z]{1,30}|\\[a-z][^=<>$]{1,40})\s*\$?")
_CHAIN = re.compile(r"\$?[^$<>]*[-+*/^{(\d][^$<>]*=\s*(?P<last>[^=<>$]{1,60})\$?")


def told(sentence: str, formulas: tuple[str, ...], before: str, question: str) -> str | None:
    """Return the value that a sentence tells; None if it has several new ones, or nothing says that it is the result.

    `before`: the response, of which the last calculation counts.

    >>> told("Lena keeps 16 stickers for herself", (), "24 - 8 = 16.", "Of 24 stickers, how many does she keep?")
    '16'
    >>> told("Lena keeps 16 stickers for herself", (), "", "Of 24 stickers, how many does she keep?")
    """
    if not question or (_DENIED.search(sentence) and not _DENIED.search(question)):
        return None
    values = list(_VALUE.finditer(sentence))
    new = [match for match in values if not _is_asked(_shown(match[0], formulas), question)]
    if not new or len(values) > 6:
        return None
    named = [one for one in new if _has_asked_name(sentence[: one.start()], question)]
    if len(named) == 1:
        return _shown(named[0][0], formulas)
    match, rest = new[-1], new[:-1]
    shown = _shown(match[0], formulas)
    equation = _EQUATION.fullmatch(shown)
    if equation and _asks_for(equation["letter"], question) and _ENDED.fullmatch(sentence, match.end()):
        same = [
            one
            for one in new
            if (other := _EQUATION.fullmatch(_shown(one[0], formulas))) and other["letter"] == equation["letter"]
        ]
        return f"${equation['value'].strip()}$" if len(same) == 1 else None
    chain = _CHAIN.fullmatch(shown) if re.fullmatch(FORMULA, match[0]) else None
    if any(not _is_in(_shown(one[0], formulas), chain[0] if chain else "") for one in rest):
        return None  # another new value, which the calculation does not have
    if _OF_THEM.search(sentence, 0, match.start()):
        return None
    last = chain["last"].strip() if chain else shown
    if equation:
        return None
    if chain and not re.search(r"[A-Za-z]", re.sub(r"\\[a-z]+", "", chain[0])) and match.end() == len(sentence):
        return f"${last}$"  # the sentence ends in a calculation
    results = _RESULT.findall(before)
    if results and _plain(results[-1]) == _plain(shown):
        return shown
    if not _counts_asked(sentence[match.end() :], question):
        return None
    return shown if _plain(shown) in map(_plain, results) or _is_about(sentence, match, question) else None


def _shown(value: str, formulas: tuple[str, ...]) -> str:
    return formulas[ord(value) - ord(FIRST_FORMULA)] if re.fullmatch(FORMULA, value) else value


def _plain(value: str) -> str:
    return re.sub(r"[$\\€£,{}\s]|dfrac|frac", "", value)


def _is_asked(value: str, question: str) -> bool:
    """Whether a value is one of the question."""
    plain = key(value).strip("\\()$€£")
    if not re.search(r"\d", plain):
        return plain in key(question)
    return (
        re.search(rf"(?<![\d.]){re.escape(plain)}(?![\d^_])", key(question).replace(",", "") + " " + key(question))
        is not None
    )


def _is_in(value: str, calculation: str) -> bool:
    return bool(calculation) and all(
        re.search(rf"(?<!\d){number}(?!\d)", calculation) for number in _DIGITS.findall(value)
    )


def _asks_for(letter: str, question: str) -> bool:
    """Whether a question asks for a letter, or to solve for the only one that it has."""
    if any(match["letter"] == letter for match in _LETTER.finditer(question)):
        return True
    letters = set(re.findall(r"(?<![A-Za-z\\])[a-z](?![A-Za-z])", " ".join(re.findall(r"\$([^$]+)\$", question))))
    return letters == {letter} and _SOLVE.search(question) is not None


def _counts_asked(after: str, question: str) -> bool:
    """Whether what follows a value is the thing of which the question asks how many there are."""
    asked = list(_COUNTED.finditer(question))
    words = after.split()
    if not asked or not words or not after.startswith(" "):
        return False
    thing = asked[-1]["thing"].split()
    stem = thing[0].casefold().rstrip("s")
    return any(word.casefold().strip(".,").rstrip("s") == stem for word in words[: 1 if len(thing) == 1 else 2])


def _is_about(sentence: str, value: re.Match[str], question: str) -> bool:
    """Whether a sentence is about something of the question beside what is counted, and the value no part of it."""
    if _PART_OF.search(sentence, 0, value.start()):
        return False
    counted = next(iter(_WORD.findall(sentence[value.end() :])), "")
    words = [word for word in _WORD.findall(sentence[: value.start()]) if len(word) > 3 and word != counted]
    return any(
        re.search(rf"\b{re.escape(word)}\b", question, re.IGNORECASE)
        for word in words
        if word.casefold() not in SMALL and word.casefold() not in GENERIC
    )


def _has_asked_name(ahead: str, question: str) -> bool:
    """Whether right before a value its name is the one that the question asks for: a radius of 5, a pH of 3."""
    asked = list(_NAMED.finditer(question))
    if not asked:
        return False
    name = asked[-1]["name"].casefold().split()[-1]
    return (
        name not in _GENERAL and re.search(rf"\b{re.escape(name)}\s+(?:of\s+|is\s+)?\Z", ahead.casefold()) is not None
    )
