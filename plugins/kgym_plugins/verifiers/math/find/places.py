r"""Where a sentence says that it holds: "for $0 \le x \le 2$", "at $x = 3$", "if $x > 0$, then". A place of the
question adds nothing; another place makes a statement one of something else.
"""

import re

from kgym_plugins.verifiers.math.find.candidates import key
from kgym_plugins.verifiers.math.phrases.statements import FIRST_FORMULA, FORMULA

_PLACE = re.compile(
    r"\A(?:for|on|at|when|with|if|over)\s+(?:(?:the\s+(?:interval|point|domain)|all|any|every)\s+)?"
    rf"(?P<place>{FORMULA}),?\s+(?:then,?\s+)?(?:we\s+(?:have|get|obtain|find)\s+)?"
    rf"(?=(?:[a-z]{{3,20}}ing|we|the|this|that|it|there)\b|that's|it's|{FORMULA})",
    re.IGNORECASE,
)
_RELATION = re.compile(
    r"<|>|=|\\(?:leq?|geq?|neq?|lt|gt|in)(?![a-z])|\A\W{0,3}[\[(][^()\[\]]+,[^()\[\]]+[\])]\W{0,3}\Z"
)
_FORMULA = re.compile(r"\$([^$]{1,200})\$|\\\(((?:(?!\\\)).){1,200})\\\)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_BETWEEN = re.compile(
    r"(?P<low>[^<>=]{1,20})(?P<first><|\\le)(?P<letter>[A-Za-z])(?P<second><|\\le)(?P<high>[^<>=]{1,20})"
)
_INTERVAL = re.compile(r"(?:[A-Za-z]\\in)?(?P<opening>[\[(])(?P<low>[^,]{1,20}),(?P<high>[^,]{1,20})(?P<closing>[\])])")
_VALUE = re.compile(r"[A-Za-z](?:_\w)?=(?P<value>-?[^=<>]{1,30})")
_SAYS_DOMAIN = re.compile(r"\bdomain\b|\bconverge", re.IGNORECASE)


def without_place(sentence: str, formulas: tuple[str, ...], question: str) -> str:
    """Return a sentence without the place at its beginning, if this is the place of the question.

    >>> without_place(f"for {FIRST_FORMULA} it is 5", ("$x > 0$",), "Find it for $x>0$.")
    'it is 5'
    >>> without_place("for us it is 5", (), "")
    'for us it is 5'
    """
    match = _PLACE.match(sentence)
    if match is None:
        return sentence
    place = formulas[ord(match["place"]) - ord(FIRST_FORMULA)]
    return (
        sentence[match.end() :]
        if _RELATION.search(place.strip("$\\()")) and is_asked_place(place, question)
        else sentence
    )


def is_asked_place(place: str, question: str) -> bool:
    r"""Whether a question names a place, however it is written.

    >>> is_asked_place(r"$0 \le x \le 2$", r"Find it on $[0,2]$."), is_asked_place("$x>2$", "Find it for $x > 3$.")
    (True, False)
    """
    said = _plain(place)
    places = [_plain(match[1] or match[2]) for match in _FORMULA.finditer(question)]
    if said in places or _set(said) in [_set(one) for one in places]:
        return True
    if value := _VALUE.fullmatch(said):
        if any(one.startswith(f"{said[0]}=") for one in places):
            return False  # another value of the same letter
        numbers = set(_NUMBER.findall(value["value"]))
        return key(value["value"]) in key(question) or (bool(numbers) and numbers <= set(_NUMBER.findall(question)))
    return _SAYS_DOMAIN.search(question) is not None and not any(_BETWEEN.fullmatch(one) for one in places)


def is_another_place(sentence: str, question: str) -> bool:
    r"""Whether a sentence begins with a domain, and the question has only others for the same letter.

    >>> sentence = "For $x > 4$ it is $x$."
    >>> is_another_place(sentence, r"Find it for $0 \le x \le 4$."), is_another_place(sentence, "Find it.")
    (True, False)
    """
    match = _DOMAIN_FIRST.match(sentence)
    if match is None or is_asked_place(match["domain"], question):
        return False
    letter = match["letter"]
    return any(
        letter in one and _ORDER.search(one)
        for one in (_plain(found[1] or found[2]) for found in _FORMULA.finditer(question))
    )


_ORDER = re.compile(r"<|>|\\le|\\ge|\\in|\\ne")
_DOMAIN_FIRST = re.compile(
    r"(?:so\s+|hence\s+|thus\s+)?(?:for|on|when|if)\s+\$(?P<domain>[^$]{0,30}?(?<![A-Za-z\\])(?P<letter>[A-Za-z])\s*"
    r"(?:[<>]|\\leq?|\\geq?|\\neq?|\\in)(?![a-z])[^$]{1,30})\$",
    re.IGNORECASE,
)


def _plain(text: str) -> str:
    r"""A formula with one spelling of its signs: \le for \leq, nothing for spaces."""
    text = key(text.strip("$\\()")).replace("\\leqslant", "\\le").replace("\\geqslant", "\\ge")
    text = re.sub(r"\\(le|ge|ne)q(?![a-z])", r"\\\1", re.sub(r"\\left|\\right|(?<!\\)[{}]", "", text))
    return text.replace("\\lt", "<").replace("\\gt", ">").replace("≤", "\\le").replace("≥", "\\ge").replace("≠", "\\ne")


def _set(plain: str) -> str:
    r"""An interval as a chain of two signs: 0\lex\le2 for [0,2]; all else as it is."""
    if match := _BETWEEN.fullmatch(plain):
        return match["low"] + match["first"] + "." + match["second"] + match["high"]
    if match := _INTERVAL.fullmatch(plain):
        signs = ("\\le" if match["opening"] == "[" else "<", "\\le" if match["closing"] == "]" else "<")
        return match["low"] + signs[0] + "." + signs[1] + match["high"]
    return plain
