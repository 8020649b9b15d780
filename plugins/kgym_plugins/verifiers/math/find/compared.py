r"""A last sentence that says which of two things is greater: "Is $2^{10}$ less than, equal to, or greater than $10^3$?"
"$2^{10}$ is greater than $10^3$."
"""

import re

from kgym_plugins.verifiers.math.find.candidates import TAIL, key
from kgym_plugins.verifiers.math.find.sentences import last_sentence
from kgym_plugins.verifiers.math.phrases.statements import OBJECTIONS, SUPPOSED

_RELATIONS = {
    "<": r"<|less(?:\s+than)?|smaller(?:\s+than)?|lower(?:\s+than)?|fewer(?:\s+than)?",
    "=": r"=|equal(?:s|\s+to)?|(?:exactly\s+)?the\s+same(?:\s+as)?",
    ">": r">|greater(?:\s+than)?|larger(?:\s+than)?|bigger(?:\s+than)?|more(?:\s+than)?|higher(?:\s+than)?",
}
_ANY = "|".join(_RELATIONS.values())
_THING = r"\$[^$]{1,100}\$|-?\d[\d./]*|(?:the\s+)?[a-z]+(?:\s+[a-z]+){0,3}?"
_ASKED = re.compile(
    rf"\b(?:is|are)\s+(?P<one>{_THING})\s+(?:{_ANY})(?:,|\s+or\b)[^?]{{0,60}}?(?:{_ANY})\s+(?P<other>{_THING})\s*\?",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"(?:\A|.*[,:;]\s+(?:so\s+|hence\s+|thus\s+|therefore\s+)?)(?:(?:so|hence|thus|therefore|here|in\s+fact),?\s+)?"
    rf"(?P<one>{_THING})\s+(?:is|are)\s+(?:(?:exactly|in\s+fact|actually|strictly|indeed)\s+)?(?P<relation>{_ANY})\s+"
    rf"(?P<other>{_THING})(?:,?\s+(?:as|since|because)\s.*)?[.!\s]*",
    re.IGNORECASE,
)
_LONGEST = 300


def compared(text: str, question: str) -> str:
    """Return the sign of the relation that the last sentence of a text states between the two things of the question.

    >>> asked = "Is $2^3$ less than, equal to, or greater than $3^2$?"
    >>> compared("However, $2^3$ is less than $3^2$.", asked), compared("So $3^2$ is greater than $2^3$.", asked)
    ('<', '<')
    >>> compared("It might be less than $3^2$.", asked), compared("Here $2^3$ is less than 10.", asked)
    ('', '')
    """
    asked = _ASKED.search(question)
    sentence = last_sentence(text[-TAIL:].rstrip().rpartition("\n")[2])
    if asked is None or len(sentence) > _LONGEST:
        return ""
    if objection := OBJECTIONS.pattern.search(sentence.replace("$", "\ue000")):
        sentence = sentence[objection.end() :]
    said = _SAID.fullmatch(sentence.removeprefix("However, ").removeprefix("But "))
    if said is None or SUPPOSED.pattern.search(sentence):
        return ""
    one, other = _is(said["one"], asked["one"]), _is(said["other"], asked["other"])
    turned = _is(said["one"], asked["other"], named=True) and _is(said["other"], asked["one"], named=True)
    sign = relation_of(said["relation"])
    if turned:
        return {"<": ">", ">": "<"}.get(sign, sign)
    return sign if one and other else ""


def relation_of(text: str) -> str:
    """Return the sign of a relation in words; "" for other texts.

    >>> relation_of("less than"), relation_of("Equal"), relation_of("5")
    ('<', '=', '')
    """
    plain = text.strip("$. ").casefold()
    return next((sign for sign, words in _RELATIONS.items() if re.fullmatch(words, plain)), "")


def _is(said: str, asked: str, *, named: bool = False) -> bool:
    """Whether a thing is the one that was asked about; words, such as it or the sum, may stand for it."""
    if key(said).rstrip(".").casefold() == key(asked).rstrip(".").casefold():
        return True
    return not named and re.fullmatch(r"(?:(?:the|this|that)\s+)?[a-z]+", said, re.IGNORECASE) is not None
