"""Exact arithmetic on expressions that a model has written, by our own parser, bounded in length, depth and digits.

    >>> value("2/4 + sqrt(9) * 2^3")
    Fraction(49, 2)
    >>> said(value("2/4 + 24")), said(value("10!")), said(value("22/7"))
    ('49/2 = 24.5', '3628800', '22/7 (about 3.142857)')

Numbers are fractions: nothing is rounded, and a square root that is not a fraction is an error.

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/" | "//" | "%") signed)*
    signed  = ("-" | "+") signed | power
    power   = atom "!"* (("^" | "**") signed)?
    atom    = number | name "(" sum ("," sum)* ")" | "(" sum ")"
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction

LONGEST = 500
"""Most characters of an expression."""
DEEPEST = 40
"""Deepest nesting of brackets, signs and powers."""
MOST_BITS = 4096
"""Most bits of a numerator or denominator."""
LARGEST_FACTORIAL = 450

_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|([A-Za-z]+)|(\*\*|//|[-+*/%^(),!]))")
_SIGNS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")"})


class BadExpression(ValueError):
    """The text is not an expression, or has no value; the message is for the policy."""


def value(text: str) -> Fraction:
    """Return the value of an expression. Raises BadExpression."""
    if len(text) > LONGEST:
        raise BadExpression(f"the expression has {len(text)} characters; at most {LONGEST} are allowed")
    return _Reader(_tokens(text.translate(_SIGNS))).whole()


def said(number: Fraction) -> str:
    """Return a number as text: exact, and also as a decimal number if it is not whole."""
    if number.denominator == 1:
        return str(number.numerator)
    if (power := _decimals(number.denominator)) is not None:
        return f"{number} = {_decimal(number, power)}"
    return f"{number} (about {_decimal(number, 6)})"


def _decimals(denominator: int) -> int | None:
    """Return how many decimal places a fraction has; None if they do not end, or not soon."""
    return next((places for places in range(1, 13) if 10**places % denominator == 0), None)


def _decimal(number: Fraction, places: int) -> str:
    scaled = round(abs(number) * 10**places)
    whole, rest = divmod(scaled, 10**places)
    return f"{'-' if number < 0 else ''}{whole}.{rest:0{places}}"


def _tokens(text: str) -> list[str]:
    found, place = [], 0
    text = text.rstrip().removesuffix("=").rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise BadExpression(f"{text[place:].strip()[:20]!r} is not arithmetic")
        found.append(match[0].strip())
        place = match.end()
    if not found:
        raise BadExpression("the expression is empty")
    return found


def _whole(number: Fraction, what: str) -> int:
    if number.denominator != 1:
        raise BadExpression(f"{what} needs whole numbers, but {number} is not whole")
    return number.numerator


def _natural(number: Fraction, what: str) -> int:
    if (whole := _whole(number, what)) < 0:
        raise BadExpression(f"{what} needs numbers from 0 on, but {whole} is negative")
    return whole


def _factorial(number: Fraction) -> Fraction:
    n = _natural(number, "a factorial")
    if n > LARGEST_FACTORIAL:
        raise BadExpression(f"the factorial of {n} has too many digits")
    return Fraction(math.factorial(n))


def _sqrt(number: Fraction) -> Fraction:
    if number < 0:
        raise BadExpression(f"sqrt({number}) is not a real number")
    top, bottom = math.isqrt(number.numerator), math.isqrt(number.denominator)
    if top * top != number.numerator or bottom * bottom != number.denominator:
        raise BadExpression(f"sqrt({number}) is not a fraction, but this calculator is exact")
    return Fraction(top, bottom)


def _comb(n: Fraction, k: Fraction) -> Fraction:
    whole = _natural(n, "comb")
    if whole > 2000:
        raise BadExpression(f"comb of {whole} has too many digits")
    return Fraction(math.comb(whole, _natural(k, "comb")))


_FUNCTIONS: dict[str, tuple[int | None, Callable[..., Fraction]]] = {
    "abs": (1, abs),
    "ceil": (1, lambda x: Fraction(math.ceil(x))),
    "comb": (2, _comb),
    "factorial": (1, _factorial),
    "floor": (1, lambda x: Fraction(math.floor(x))),
    "gcd": (None, lambda *xs: Fraction(math.gcd(*(_whole(x, "gcd") for x in xs)))),
    "lcm": (None, lambda *xs: Fraction(math.lcm(*(_whole(x, "lcm") for x in xs)))),
    "max": (None, lambda *xs: max(xs)),
    "min": (None, lambda *xs: min(xs)),
    "sqrt": (1, _sqrt),
}
"""The functions by name: the number of arguments, None for one or more, and the implementation."""


class _Reader:
    """Reads tokens from left to right and computes while it reads."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def whole(self) -> Fraction:
        """Read everything."""
        found = self._sum()
        if self._place < len(self._tokens):
            raise BadExpression(
                f"{self._tokens[self._place]!r} is not expected after {self._tokens[self._place - 1]!r}"
            )
        return found

    def _take(self, *wanted: str) -> str:
        """Return the next token if it is one of these, else ""."""
        if self._place < len(self._tokens) and self._tokens[self._place] in wanted:
            self._place += 1
            return self._tokens[self._place - 1]
        return ""

    def _sum(self) -> Fraction:
        found = self._product()
        while sign := self._take("+", "-"):
            other = self._product()
            found = _bounded(found + other if sign == "+" else found - other)
        return found

    def _product(self) -> Fraction:
        found = self._signed()
        while sign := self._take("*", "/", "//", "%"):
            other = self._signed()
            if sign != "*" and other == 0:
                raise BadExpression("division by zero")
            if sign == "*":
                found *= other
            elif sign == "/":
                found /= other
            else:
                found = Fraction(found // other) if sign == "//" else found % other
            _bounded(found)
        return found

    def _signed(self) -> Fraction:
        self._depth += 1
        if self._depth > DEEPEST:
            raise BadExpression(f"brackets, signs and powers are more than {DEEPEST} deep")
        sign = self._take("+", "-")
        found = self._signed() if sign else self._power()
        self._depth -= 1
        return -found if sign == "-" else found

    def _power(self) -> Fraction:
        base = self._atom()
        while self._take("!"):
            base = _bounded(_factorial(base))
        if not self._take("^", "**"):
            return base
        exponent = _whole(self._signed(), "a power")
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits * abs(exponent) > MOST_BITS and abs(base) != 1:
            raise BadExpression("the power has too many digits")
        if exponent < 0 and base == 0:
            raise BadExpression("division by zero")
        return _bounded(base**exponent)

    def _atom(self) -> Fraction:
        if self._place == len(self._tokens):
            raise BadExpression("the expression ends too early")
        if self._take("("):
            (found,) = self._arguments("a bracket", 1)
            return found
        word = self._tokens[self._place]
        self._place += 1
        if word[0].isdigit() or word[0] == ".":
            return _bounded(Fraction(word))
        if word not in _FUNCTIONS:
            known = f"; functions are {', '.join(_FUNCTIONS)}" if word.isalpha() else ""
            raise BadExpression(f"{word!r} is not expected here{known}")
        if not self._take("("):
            raise BadExpression(f"{word} needs brackets: {word}(...)")
        count, function = _FUNCTIONS[word]
        return _bounded(function(*self._arguments(word, count)))

    def _arguments(self, what: str, count: int | None) -> list[Fraction]:
        found = [self._sum()]
        while self._take(","):
            found.append(self._sum())
        if not self._take(")"):
            raise BadExpression("a bracket is not closed")
        if count is not None and len(found) != count:
            raise BadExpression(f"{what} takes {count} number{'s' * (count > 1)}, but got {len(found)}")
        return found


def _bounded(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > MOST_BITS:
        raise BadExpression("a number has too many digits")
    return number
