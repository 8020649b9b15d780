"""What is judged as text alone: plain numbers, and formulas that are copied from the question."""

import re
from fractions import Fraction
from math import gcd

from kgym_plugins.verifiers.math.clean.wrappers import normal_text

_NUMBER = re.compile(r"([+-]?)(?:0*(\d{1,40})|0*(\d{0,20})\.(\d{1,20}))")
_FRACTION = re.compile(r"([+-]?)(?:\\frac(?:\{([+-]?\d{1,30})\}\{(\d{1,30})\}|(\d)(\d))|(\d{1,30})/(\d{1,30}))")
_WORK = re.compile(r"[-+*^=<>(]|\\(?:cdot|times|sqrt|binom|int|sum|log|ln|sin|cos|tan)|!|\\(?:b|p)?mod|\\gcd|\\operatorname|\|")


def _works(text: str) -> bool:
    """Whether there is something left to work out, other than a fraction or a sign."""
    if match := _FRACTION.fullmatch(text):
        above, below = (int(part) for part in match.groups()[1:] if part is not None)
        return gcd(above, below) > 1
    return _WORK.search(text, 0 if text.startswith("\\") else 1) is not None


def plain_number(text: str) -> tuple[Fraction, bool] | None:
    """An integer, a decimal or a fraction of integers, and whether it is a decimal."""
    if match := _NUMBER.fullmatch(text):
        sign, whole, before, after = match.groups()
        if whole is not None:
            return Fraction(int(sign + whole)), False
        return Fraction(int(f"{sign}{before}{after}"), 10 ** len(after)), True
    if match := _FRACTION.fullmatch(text):
        sign, *parts = match.groups()
        above, below = (part for part in parts if part is not None)
        if int(below) == 0:
            return None
        value = Fraction(int(above), int(below))
        return (-value if sign == "-" else value), False
    return None


_REMAINDER = re.compile(r"(.{3,200}?)\\[bp]?mod(\d+)")


def _unbraced(text: str) -> str:
    """Text without what differs between a formula and its copy."""
    return re.sub(r"[{}]| (?=\d)", "", normal_text(text))


def is_echo(shown: str, gold: str, question: str) -> bool:
    """Whether a formula was copied from the question instead of being worked out."""
    if not question or not re.search(r"[-+*/^=<>(\\!]", shown):
        return False
    answer, asked = _unbraced(shown), _unbraced(question)
    if (match := _REMAINDER.fullmatch(answer)) and match[1] in asked and re.search(rf"(?:divided by|modulo){match[2]}(?!\d)", asked):
        return True
    return (len(answer) >= 3 or answer.endswith("!")) and answer != _unbraced(gold) and answer in asked and _works(normal_text(shown))
