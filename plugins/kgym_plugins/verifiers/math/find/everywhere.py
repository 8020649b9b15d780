r"""A last sentence that says that something holds for all numbers, or for none: "It holds for every integer $n$.",
"Every real number is a solution.", "No such pair exists."
"""

import re

from kgym_plugins.verifiers.math.find.candidates import TAIL, key
from kgym_plugins.verifiers.math.find.sentences import last_sentence

_KIND = (
    r"(?:(?:real|positive|negative|non-?negative|non-?zero|even|odd|natural|whole)\s+){0,2}"
    r"(?:numbers?|integers?|reals?)|(?:real|positive|negative|even|odd)(?=\s+(?:values?|\$))"
)
_LETTER = r"(?:\$[a-zA-Z]\$|[a-zA-Z])"
_EVERY = (
    rf"(?:all|every|any|each)(?:\s+of)?(?:\s+the)?\s+(?:(?P<kind>{_KIND})(?:\s+values?)?(?:\s+of)?(?:\s+{_LETTER})?"
    r"|\$[a-zA-Z]\s*\\in\s*\\math(?:bb|bf)\s*\{?(?P<set>[RZN])\}?(?P<sign>\^\{?\+\}?)?\$)"
)
_STATED = (
    re.compile(
        r"(?P<subject>\S.{0,200}?)(?:\s+(?:holds?(?:\s+true)?|(?:is|are)(?:\s+[a-z]+){1,3}?|works?|converges?)"
        rf"|(?<=\$))\s+(?:for|by)\s+{_EVERY}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?P<subject>){_EVERY}\s+(?:is\s+a\s+solution|are\s+solutions|works?"
        r"|satisf(?:y|ies)\s+(?:it|this|the\s+[a-z]+)|solves?\s+(?:it|this|the\s+[a-z]+))",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?P<subject>\S.{0,80}?)\s+is\s+defined\s+(?:on|for|over)\s+"
        r"(?:the\s+(?:whole|entire)|all\s+of\s+the)\s+(?P<kind>real)\s+(?:line|axis)",
        re.IGNORECASE,
    ),
)
_NONE = re.compile(
    r"(?:there\s+(?:is|are)\s+)?no\s+such\s+[a-z]+(?:\s+of\s+[a-z]+)?(?:\s+exists?)?"
    r"|there\s+(?:is|are)\s+no\s+(?:[a-z]+\s+){0,3}(?:\$[a-zA-Z]\$\s+|\$\([a-zA-Z,\s]+\)\$\s+)?"
    r"(?:that|which|with|satisfying|such\s+that)\b.{0,80}"
    r"|(?:it|this|(?:the|this)\s+(?:[a-z]+\s+){0,2}(?:equation|inequality|system|congruence))\s+"
    r"(?:does\s+not|doesn't)\s+have\s+(?:any|a)\s+(?:[a-z]+\s+)?(?:solutions?|roots?)",
    re.IGNORECASE,
)
_BEGINNING = re.compile(
    r"\A(?:(?:so|hence|thus|therefore|consequently|it\s+follows\s+that|this\s+means(?:\s+that)?"
    r"|we\s+(?:see|conclude)\s+that),?\s+)+"
    r"|\A.*[,;:]\s+(?:(?:and\s+)?(?:so|hence|thus|therefore)\s+(?:that\s+)?)(?=\S)",
    re.IGNORECASE,
)
_MAIN = re.compile(r"\A.*\s(?:and|so)\s+(?=(?:every|all|any|each)\s)", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(?:not|never|no|none|except|exception|other\s+than|only|unless|some|if|but|almost"
    r"|nearly|might|may|perhaps|maybe|would|could)\b|n't\b|\?",
    re.IGNORECASE,
)
_SETS = {"R": "real numbers", "Z": "integers", "N": "natural numbers"}
_LONGEST = 300


def of_all(text: str, question: str) -> str:
    """Return "all integers" and the like if the last sentence of a text says that what is asked holds for them, "no
    solution" if it says that nothing does; "" for all others.

    >>> of_all("It holds for every integer $n$.", "When?"), of_all("So no such pair exists.", "Which?")
    ('all integers', 'no solution')
    >>> of_all("It holds for all $n > 1$.", "")
    ''
    """
    line = text[-TAIL:].rstrip().rpartition("\n")[2]
    if len(line) > 4 * _LONGEST or not line.endswith((".", "!", "$")):
        return ""
    sentence = _BEGINNING.sub("", last_sentence(line).rstrip(".! "))
    if len(sentence) > _LONGEST:
        return ""
    if _NONE.fullmatch(sentence):
        return "no solution"
    if _DENIED.search(sentence):
        return ""
    for pattern in _STATED:
        match = pattern.fullmatch(sentence) or pattern.fullmatch(_MAIN.sub("", sentence))
        if match and _is_of_question(match["subject"], question):
            return "all " + _kind(match)
    return ""


def _kind(match: re.Match[str]) -> str:
    groups = match.groupdict()
    if groups.get("set"):
        return ("positive " if groups["sign"] else "") + _SETS[groups["set"]]
    kind = groups["kind"].casefold().rstrip("s")
    return f"{kind}s" if re.search(r"(?:number|integer|\Areal)\Z", kind) else f"{kind} numbers"


def _is_of_question(subject: str, question: str) -> bool:
    """Whether the formulas of a subject are of the question, or have a formula of the question in them."""
    asked = [one for formula in re.findall(r"\$([^$]{1,200})\$", question) if len(one := key(formula)) > 1]
    said = [one for formula in re.findall(r"\$([^$]{1,200})\$", subject) if len(one := key(formula)) > 1]
    return all(one in key(question) or any(other in one for other in asked) for one in said)
