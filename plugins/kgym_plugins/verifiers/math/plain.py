"""Plain numbers, which are judged as text alone."""

import re
from fractions import Fraction

_NUMBER = re.compile(r"([+-]?)(?:0*(\d{1,40})|0*(\d{0,20})\.(\d{1,20}))")
FRACTION = re.compile(r"([+-]?)(?:\\frac(?:\{([+-]?\d{1,30})\}\{(\d{1,30})\}|(\d)(\d))|(\d{1,30})/(\d{1,30}))")


def plain_number(text: str) -> tuple[Fraction, bool] | None:
    """An integer, a decimal or a fraction of integers, and whether it is a decimal."""
    if match := _NUMBER.fullmatch(text):
        sign, whole, before, after = match.groups()
        if whole is not None:
            return Fraction(int(sign + whole)), False
        return Fraction(int(f"{sign}{before}{after}"), 10 ** len(after)), True
    if match := FRACTION.fullmatch(text):
        sign, *parts = match.groups()
        above, below = (part for part in parts if part is not None)
        if int(below) == 0:
            return None
        value = Fraction(int(above), int(below))
        return (-value if sign == "-" else value), False
    return None
