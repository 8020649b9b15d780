"""What is judged as text alone: plain numbers, and formulas that are copied from the question."""

import re
from fractions import Fraction
from math import gcd

from kgym_plugins.verifiers.math.clean.wrappers import normal_text

_NUMBER = re.compile(r"([+-]?)(?:0*(\d{1,40})|0*(\d{0,20})\.(\d{1,20}))")
_FRACTION = re.compile(r"([+-]?)(?:\\frac(?:\{([+-]?\d{1,30})\}\{(\d{1,30})\}|(\d)(\d))|(\d{1,30})/(\d{1,30}))")
_WORK = re.compile(r"[-+*^=<>(]|\\(?:cdot|times|sqrt|binom|int|sum|log|ln|sin|cos|tan)|!")


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


def is_echo(shown: str, gold: str, question: str) -> bool:
    """Whether a formula was copied from the question instead of being worked out."""
    if not question or not re.search(r"[-+*/^=<>(\\!]", shown):
        return False
    answer = normal_text(shown)
    return (len(answer) >= 3 or answer.endswith("!")) and answer != normal_text(gold) and answer in normal_text(question) and _works(answer)
