"""How a sentence gives a value to each of several things: amounts that are joined, names with a verb and a value."""

import re

from kgym_plugins.verifiers.math.phrases.languages import LANGUAGES
from kgym_plugins.verifiers.math.phrases.numbers import NUMBER_WORDS

_COUNT = "|".join(sorted(NUMBER_WORDS - {"one", "second", "third"}, key=len, reverse=True))
_NUMBER = rf"(?:\d[\d,]*(?:\.\d+)?|\$\d+\$|(?:{_COUNT}))"
_ITEM = rf"{_NUMBER}(?:\s+(?!(?:and|or|in|is|are|was|were|of|out|more|less|times|to)\b)[^\W\d_][\w'-]*){{1,3}}"
_JOIN = r"(?:,\s+(?:and\s+)?|\s+(?:and|und|et|y|e|и|i)\s+)"
AMOUNTS = re.compile(
    rf"(?<![\w.,$=+*/×-])(?<!=\s)(?P<items>{_ITEM}(?:{_JOIN}{_ITEM}){{1,3}})(?=[\s.!,])", re.IGNORECASE
)
"""Amounts of several things: 20 adult tickets and 30 child tickets."""
ALSO = re.compile(_JOIN, re.IGNORECASE)
BESIDE = re.compile(r"\s\((?:\\?[$€£]\s?)?[\d.,]+\s?[^\W\d_]{0,8}\$?\)")
"""What is in brackets beside an amount: ($160)."""
VERB_AFTER = re.compile(r"\s+(?:are|were|was|is|sold|left|remain|in|on|at|altogether|together)\b.*", re.IGNORECASE)
AMOUNT = re.compile(
    rf"(?<![\w.,$=+*/×-])(?P<number>{_NUMBER})\s+"
    r"(?P<name>(?!(?:and|or|in|is|are|was|were|of|out|more|less|times|to|remain|left)\b)[^\W\d_][\w'-]*"
    r"(?:\s+(?!(?:and|or|in|on|is|are|was|were|of|out)\b)[^\W\d_][\w'-]*){0,2})",
    re.IGNORECASE,
)
"""An amount of one thing: 42 people."""
BOLD_AMOUNT = re.compile(rf"\*\*(?P<item>{_ITEM})\*\*", re.IGNORECASE)
CONSEQUENCE = re.compile(r",\s+(?:so|hence|thus|leaving|which\s+leaves)\s+", re.IGNORECASE)
_VERBS = "|".join(
    verb
    for one in LANGUAGES
    if one.spaced
    for verb in f"{one.copula}|{one.verbs}".split("|")
    if verb not in ("to", "ma", "je", "is")
)
_VALUE = (
    r"(?:\$[^$]{1,100}\$|\\?[$€£](?=\d[\d.,]*(?:[\s.,;]|\Z))\d[\d.,]*(?<![.,])"
    r"|-?\d[\d.,]*(?<![.,])(?:\s?(?!(?:and|while|und|et|y|e|so|long|lang|wide)\b)[a-zA-Z°%]{1,12}[²³]?)?)"
)
NAMED_PART = re.compile(
    r"(?:\A|[,;]\s+(?:(?:and|so|while|und|et|y|e|и)\s+)?|\s(?:and|while|und|et|y|e|и)\s+)"
    r"(?:(?P<inverted>beträgt|ist|betragen|lautet)\s+)?"
    r"(?P<name>(?:(?:the|its|an?|der|die|das|le|la|el|il|lo|o|a|l')\s*)?[^\W\d_][^,;.$\d]{1,50}?)"
    rf"(?:\s+(?:of\s+(?:\$[^$]{{1,12}}\$|it|them)\s+)?(?:is|are|equals|was|has|measures|{_VERBS})"
    r"(?:\s+(?:equal\s+to|also|then|exactly))?|(?(inverted)|(?!)))\s+"
    rf"(?P<value>{_VALUE})(?!,?\s+(?:and\s+|or\s+)?(?:\$|\d))",
    re.IGNORECASE,
)
"""A thing, a verb and its value; in German the verb may be before the thing."""
_PART = rf"(?:an?\s+)?(?P<name>[a-z]+(?:\s[a-z]+)?)\s+(?:of\s+)?(?P<value>{_VALUE})"
LISTED_PART = re.compile(_PART, re.IGNORECASE)
_PLAIN_PART = re.sub(r"\?P<\w+>", "?:", _PART)
LISTED = re.compile(
    rf"\b(?:has|have|with)\s+(?P<list>{_PLAIN_PART}(?:{_JOIN}{_PLAIN_PART}){{1,3}})\s*[.!]?\Z", re.IGNORECASE
)
"""Names with a value each, without a verb: has width 6, perimeter 28 and diagonal 10."""
