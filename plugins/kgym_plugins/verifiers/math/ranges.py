"""Sets of real numbers in words: `all real numbers greater than 3`, `x is at most 5`, `x lies in the interval [2, 4]`."""

import re

_SUBJECT = (
    r"(?:(?:the set of )?(?:all|any|every) (?:real )?(?:numbers?|values?|reals?)(?: of)?(?: (?P<name>[a-z]))?(?: such that (?P=name))?"
    r"|(?P<letter>[a-z]))(?:,? (?:that|which))?(?: (?:can|must|has to|have to))?(?: (?:is|are|be|lies?|belongs?))?"
)
_PHRASE = re.compile(rf"{_SUBJECT} (?P<rest>(?:strictly |not |no |greater|more|larger|bigger|less|smaller|at |between |in |within |to ).+)")
_COMPARED = (
    (re.compile(r"(?:greater|more|larger|bigger) than or equal to (.+)|at least (.+)|(?:no|not) (?:less|smaller) than (.+)"), r"\ge"),
    (re.compile(r"(?:less|smaller) than or equal to (.+)|at most (.+)|(?:no|not) (?:greater|more|larger) than (.+)"), r"\le"),
    (re.compile(r"(?:strictly )?(?:greater|more|larger|bigger) than (.+)"), ">"),
    (re.compile(r"(?:strictly )?(?:less|smaller) than (.+)"), "<"),
    (re.compile(r"not equal to (.+)"), r"\ne"),
)
_BETWEEN = re.compile(r"(?P<strictly>strictly )?between (?P<low>.+?) and (?P<high>.+?)(?:,? \(?(?P<how>inclusive|exclusive)\)?)?")
_INTERVAL = re.compile(
    r"(?:(?:in|within|to) )?(?:(?:the )?(?:(?P<how>open|closed|half-open) )?(?:interval|range|set) )?(?P<set>[(\[].*[)\]])"
)
_FORMULA = re.compile(r"(?:[^a-z\\]|\\[a-z]+(?![a-z])|(?:pi|sqrt)(?![a-z])|\b[a-z]\b)+")


def range_in_words(text: str) -> str | None:
    """Return the formula that such a phrase stands for, None for any other. "Between" without a word on its ends stays text."""
    words = " ".join(text.split())
    lower = words[:1].lower() + words[1:]
    if (match := _INTERVAL.fullmatch(lower)) and not match.group().startswith(("(", "[")):
        return _bracketed(match)
    match = _PHRASE.fullmatch(lower)
    if match is None:
        return None
    name, rest = match["name"] or match["letter"] or "x", match["rest"]
    if inside := _INTERVAL.fullmatch(rest):
        interval = _bracketed(inside)
        return interval and rf"{name} \in {interval}"
    if between := _BETWEEN.fullmatch(rest):
        low, high, closed = between["low"], between["high"], between["how"] == "inclusive"
        if closed == (bool(between["strictly"]) or between["how"] == "exclusive") or not (
            _FORMULA.fullmatch(low) and _FORMULA.fullmatch(high)
        ):
            return None
        sign = r"\le" if closed else "<"
        return f"{low} {sign} {name} {sign} {high}"
    for pattern, sign in _COMPARED:
        if found := pattern.fullmatch(rest):
            bound = next(group for group in found.groups() if group)
            return f"{name} {sign} {bound}" if _FORMULA.fullmatch(bound) else None
    return None


def _bracketed(match: re.Match[str]) -> str | None:
    """The interval, if its brackets are what the words say."""
    ends = match["set"][0] + match["set"][-1]
    return (
        match["set"]
        if match["how"] is None or ends in {"open": ("()",), "closed": ("[]",), "half-open": ("(]", "[)")}[match["how"]]
        else None
    )
