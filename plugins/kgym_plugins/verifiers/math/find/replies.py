"""A last sentence that answers a question of yes or no in the words of the question: "Is 91 prime?" "It is not
prime.".
"""

import re

from kgym_plugins.verifiers.math.find.only import is_known, named_in
from kgym_plugins.verifiers.math.phrases.small_words import SMALL
from kgym_plugins.verifiers.math.phrases.statements import FORMULA, GENERIC, NO, PRONOUNS

_QUESTION = re.compile(
    r"(?:\A|(?<=[.?!:,;\n])\s*)(?:is|are|was|were|does|do|did|can|could|will|would|has|have|must)\s"
    r"(?P<said>[^?]{3,300})\?",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+")
_NOT = re.compile(r"\b(?:not|no|never|cannot|fails?\s+to)\b|n't\b", re.IGNORECASE)
_UNSURE = re.compile(
    r"\b(?:if|unless|might|may|only|always|sometimes|some|every|all|neither|nor|or|but)\b", re.IGNORECASE
)


def replied(clause: str, question: str) -> str:
    """Return "yes" or "no" if a clause asserts or denies what the question asks; "" if it does neither.

    >>> [replied(clause, "Is 91 prime?") for clause in ("it is not prime", "91 is prime", "91 is odd")]
    ['no', 'yes', '']
    """
    asked = [match["said"] for match in _QUESTION.finditer(question)]
    if len(asked) != 1 or NO.pattern.search(asked[0]) or re.search(r"\bor\b", asked[0]):
        return ""
    said = asked[0].casefold()
    if (unsure := _UNSURE.search(clause)) and unsure[0].casefold() not in said:
        return ""
    denied = len(_NOT.findall(clause))
    words = _WORD.findall(_NOT.sub(" ", re.sub(FORMULA, " ", clause)).casefold())
    telling = [
        word
        for word in words
        if word not in SMALL and word not in GENERIC and word not in PRONOUNS and not word.isdigit()
    ]
    if (
        denied > 1
        or not telling
        or not all(named_in(word, said) or is_known(word, said) for word in words if not word.isdigit())
    ):
        return ""
    predicate = [
        word
        for word in _WORD.findall(said)
        if word not in SMALL and word not in GENERIC and word not in PRONOUNS and not word.isdigit()
    ]
    if not predicate or not named_in(predicate[-1], " ".join(words)):
        return ""
    return "no" if denied else "yes"
