r"""The one of several named values in a last sentence that the question asks for: of "20 adult tickets and 30 child
tickets" the adults, of "the modulus is 2 and the argument is \pi/3" the argument.
"""

import re

from kgym_plugins.verifiers.math.find.candidates import TAIL
from kgym_plugins.verifiers.math.find.only import named_in
from kgym_plugins.verifiers.math.find.sentences import last_sentence
from kgym_plugins.verifiers.math.find.sums import with_money
from kgym_plugins.verifiers.math.phrases.another import asked_part
from kgym_plugins.verifiers.math.phrases.cues import CONCLUDING, DOUBTING
from kgym_plugins.verifiers.math.phrases.languages import DENIED, NO_ELSEWHERE, UNSURE_ELSEWHERE
from kgym_plugins.verifiers.math.phrases.named_parts import (
    ALSO,
    AMOUNT,
    AMOUNTS,
    BESIDE,
    BOLD_AMOUNT,
    CONSEQUENCE,
    LISTED,
    LISTED_PART,
    NAMED_PART,
    VERB_AFTER,
)
from kgym_plugins.verifiers.math.phrases.small_words import SMALL, SMALL_ELSEWHERE
from kgym_plugins.verifiers.math.phrases.statements import GENERIC, NO, PRONOUNS, SUPPOSED, UNSAID
from kgym_plugins.verifiers.math.tables import name_list

_LONGEST = 300
_MOST = 4
_WORD = re.compile(r"[^\W\d_]+")
_DIGITS = re.compile(r"\d[\d,.]*(?<![.,])")
_LETTER_ASKED = re.compile(
    r"\b(?:what\s+is|find|determine|(?:the\s+)?value\s+of)\s+(?:the\s+value\s+of\s+)?\$([a-z])\$\W*\Z"
)
_EQUATIONS = re.compile(r"\$[a-z]\s*=[^$=]{1,40}\$(?:(?:,|,?\s+and)\s+\$[a-z]\s*=[^$=]{1,40}\$){1,3}\W*\Z")
_SIDE = re.compile(r"\$([a-z])\s*=\s*([^$=]{1,40}?)\s*\$")
_LAST_QUESTION = re.compile(r"[^.?!¿]*\?\s*\Z")
_OF = re.compile(r"(?<=\w)\s(?:of|in|for|des|der|du|de|del|della|do|da)\s")
_MEANT = frozenset(
    name_list(
        """
    sum product difference ratio quotient fraction maximum minimum power probability change rest share
    man woman boy girl child pupil runner
    """
    )
)
"""General words that tell a thing from others where several are named."""


def asked_of_parts(text: str, question: str) -> str | None:
    """Return the value of the one named part that is asked for; None if the sentence has no such parts, or not one.

    >>> asked_of_parts("So there are 23 hens and 7 cows.", "How many cows are there?")
    '7 cows'
    >>> asked_of_parts("The length is 10 and the width is 5.", "What is its length?")
    '10'
    """
    line = with_money(text[-TAIL:].rstrip().rpartition("\n")[2].strip())
    bold, line = last_sentence(line), line.replace("**", "")
    if not question or len(line) > 4 * _LONGEST or " " not in line:
        return None
    sentence = last_sentence(line)
    if len(sentence) > _LONGEST or not sentence.endswith((".", "!", "$")):
        return None
    asked = _asked(question)
    if _states_nothing(sentence):
        return None if _is_denied(sentence) else _chosen(_bold(bold), asked)
    if (letter := _letter(sentence, asked)) is not None:
        return letter
    for parts in (_bold(bold), _counted(sentence), _listed(sentence), _named(sentence), _clauses(sentence)):
        if (chosen := _chosen(parts, asked)) is not None:
            return chosen
    return None


def _chosen(parts: list[tuple[str, str]], asked: str) -> str | None:
    """The value of the one part that is asked for."""
    chosen = [value for name, value in parts if _is_asked(name, asked)]
    return chosen[0] if len(parts) > 1 and len(chosen) == 1 else None


def _is_denied(sentence: str) -> bool:
    denied = NO.pattern.search(sentence) or NO_ELSEWHERE.search(sentence) or DENIED.pattern.search(sentence)
    return bool(denied or DOUBTING.pattern.search(sentence) or UNSURE_ELSEWHERE.search(sentence))


def _states_nothing(sentence: str) -> bool:
    return _is_denied(sentence) or bool(SUPPOSED.pattern.search(sentence) or UNSAID.pattern.search(sentence))


def _asked(question: str) -> str:
    """What a question asks for: its last sentence with a mark of a question, or the words after how many and find."""
    part = asked_part(question)
    if part == question and (last := _LAST_QUESTION.search(question)):
        part = last[0]
    return part.casefold()


def _counted(sentence: str) -> list[tuple[str, str]]:
    """Numbers of things that are joined: 20 adult tickets ($160) and 30 child tickets ($140)."""
    if (match := AMOUNTS.search(BESIDE.sub("", sentence))) is None:
        return []
    items = [item.strip() for item in ALSO.split(match["items"])]
    return [(VERB_AFTER.split(item.partition(" ")[2])[0], VERB_AFTER.split(item)[0].strip()) for item in items[:_MOST]]


def _bold(sentence: str) -> list[tuple[str, str]]:
    """Bold amounts: after **2 hours**, when the first has gone **140 miles**."""
    items = [match["item"] for match in BOLD_AMOUNT.finditer(sentence)]
    return [(item.partition(" ")[2], item) for item in items] if len(items) <= _MOST else []


def _listed(sentence: str) -> list[tuple[str, str]]:
    """Names with a value each, without a verb: has width 6, perimeter 28 and diagonal 10."""
    match = LISTED.search(sentence)
    return [(one["name"], one["value"]) for one in LISTED_PART.finditer(match["list"])] if match else []


def _clauses(sentence: str) -> list[tuple[str, str]]:
    """Amounts in two clauses, of which the second one follows from the first: 42 people are on it, so 10 seats are
    free.
    """
    clauses = CONSEQUENCE.split(sentence)
    if len(clauses) != 2:
        return []
    found = [list(AMOUNT.finditer(clause)) for clause in clauses]
    if any(len(one) != 1 for one in found) or any(len(_DIGITS.findall(clause)) != 1 for clause in clauses):
        return []
    return [(VERB_AFTER.split(one[0]["name"])[0], one[0]["number"]) for one in found]


def _letter(sentence: str, asked: str) -> str | None:
    """The value of the one letter that is asked for: y in x = 3 and y = 1."""
    wanted, found = _LETTER_ASKED.search(asked), _EQUATIONS.search(sentence)
    if wanted is None or found is None:
        return None
    sides = dict(_SIDE.findall(found[0]))
    return sides.get(wanted[1]) if len(sides) > 1 else None


def _named(sentence: str) -> list[tuple[str, str]]:
    """Names with a verb and a value each: the modulus is 2 and the argument is 3."""
    begun = CONCLUDING.pattern.match(sentence)
    found = [
        (match["name"], match["value"])
        for match in NAMED_PART.finditer(sentence[begun.end() if begun else 0 :].strip(" ,"))
    ]
    return found if len(found) <= _MOST else []


def _is_asked(name: str, asked: str) -> bool:
    """Whether all telling words of a name, up to what it is of, are in what is asked."""
    head = _OF.split(name.casefold())[0]
    words = [word for word in _WORD.findall(head) if not _is_small(word)]
    return bool(words) and all(named_in(word, asked) for word in words)


def _is_small(word: str) -> bool:
    return word not in _MEANT and (
        word in SMALL or word in GENERIC or word in PRONOUNS or word in SMALL_ELSEWHERE or len(word) == 1
    )
