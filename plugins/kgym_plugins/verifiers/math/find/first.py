"""An answer that comes first, before its reasons: "15. The gain is the difference of the two prices."."""

import re

from kgym_plugins.verifiers.math.phrases.cues import DOUBTING, RETRACTING
from kgym_plugins.verifiers.math.phrases.statements import NO, SUPPOSED
from kgym_plugins.verifiers.math.phrases.taking_back import taken_back

_FIRST = re.compile(
    r"\s*(?P<bold>\*\*)?(?P<value>(?P<sign>\\?[$€£])?-?\d[\d,]*(?:\.\d+)?(?:/\d+)?\s?%?(?P<unit>(?:\s[a-z]{2,12}){0,2})"
    r"|\$[^$=<>]{1,60}\$)(?P=bold)?(?:[.!]\s+(?=[A-Z])|(?P<line>\s*\n\s*)(?=[A-Z]))"
    r"|\s*\*\*(?P<strong>[^*\n]{1,60})\*\*[.!]?\s*\n\s*(?=[A-Z])"
)
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_LISTED = re.compile(r"\n\s*(?:\d{1,3}[.)]|[-*•])\s")
_LONGEST = 400
_LEAST = 10
"""A smaller number at the beginning may be that of a step."""


def first_value(text: str, question: str) -> str | None:
    """Return the value that is the whole first sentence or line of a short response, if no later number is another one
    and nothing takes it back.

    >>> first_value("15. The gain is 75 - 60.", "She pays 60 and gets 75.")
    '15'
    >>> first_value("15. The gain is 20.", ""), first_value("1. Add.", "")
    (None, None)
    """
    if len(text) > _LONGEST or _LISTED.search(text) or (match := _FIRST.match(text)) is None:
        return None
    value, rest = (match["value"] or match["strong"]).strip(), text[match.end() :]
    number = _NUMBER.search(value)
    marked = match["bold"] or match["strong"] or match["sign"] or match["unit"] or match["line"] or "$" in value
    if number is None or (not marked and float(number[0].replace(",", "")) < _LEAST and "." not in number[0]):
        return None
    if "?" in rest or taken_back(rest, value) or RETRACTING.pattern.search(rest) or NO.pattern.search(rest):
        return None
    if DOUBTING.pattern.search(rest) or SUPPOSED.pattern.search(rest) or re.search(r"[$\\]", rest):
        return None
    known = {*_NUMBER.findall(question), *_NUMBER.findall(value)}
    return value if set(_NUMBER.findall(rest)) <= known else None
