r"""Exact numbers as LaTeX for questions and answers, and as plain arithmetic for the working.

frac(Fraction(-3, 4))                    -\frac{3}{4}
surd(Fraction(1, 2), Fraction(3, 2), 5)  \frac{1+3\sqrt{5}}{2}
poly([2, -7, -15])                       2x^2-7x-15
plain_sum([Fraction(3, 4), -2])          3/4-2
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import isqrt, lcm

from kgym.envs.generated import Draft

Number = Fraction | int


def draft(params: Sequence[str | int], question: str, answer: int | str, *steps: str) -> Draft:
    """Put a problem together; the solution is the steps, a line each, and the boxed answer."""
    return Draft(tuple(params), question, answer, "\n".join([*steps, f"\\boxed{{{answer}}}"]))


# --- numbers


def frac(value: Number) -> str:
    r"""Write a fraction in lowest terms, or an integer: `-\frac{3}{4}`, `5`."""
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    return f"{'-' if value < 0 else ''}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def plain(value: Number) -> str:
    """Write the same for the working: `-3/4`."""
    return str(Fraction(value))


def quotient(a: Number, b: Number) -> str:
    """Write a division for the working, with its value unless that is the division itself: `28/4=7`, `29/4`."""
    value = plain(Fraction(a, b))
    text = f"{plain(a) if Fraction(a).denominator == 1 else bracket(a)}/{bracket(b)}"
    return text if value == text else f"{text}={value}"


def plain_sum(terms: Iterable[Number]) -> str:
    """Write a sum for the working: `3/4-2`."""
    return "".join(f"{'-' if term < 0 else '+'}{plain(abs(Fraction(term)))}" for term in terms).removeprefix("+")


def bracket(value: Number) -> str:
    """Write a number as a factor of the working; only positive integers go without brackets."""
    return plain(value) if value >= 0 and Fraction(value).denominator == 1 else f"({plain(value)})"


def times(value: Number, symbol: str) -> str:
    r"""Write a multiple of a symbol: `\frac{5\pi}{4}`, `-\sqrt{3}`; 0 for none of it, and the number alone if there
    is no symbol.
    """
    value = Fraction(value)
    if value == 0 or not symbol:
        return frac(value)
    top = symbol if abs(value.numerator) == 1 else f"{abs(value.numerator)}{symbol}"
    sign = "-" if value < 0 else ""
    return f"{sign}{top}" if value.denominator == 1 else f"{sign}\\frac{{{top}}}{{{value.denominator}}}"


def split_root(n: int) -> tuple[int, int]:
    """Return (c, r) with n = c^2 r and r square-free: the root of 72 is 6 times that of 2."""
    c = next(c for c in range(isqrt(n), 0, -1) if n % (c * c) == 0)
    return c, n // (c * c)


def root(value: Number, radicand: int) -> str:
    r"""Write a multiple of a square root, simplified: `6\sqrt{2}` for the root of 72."""
    c, r = split_root(radicand)
    return times(Fraction(value) * c, f"\\sqrt{{{r}}}" if r > 1 else "")


def surd(p: Number, q: Number, radicand: int) -> str:
    r"""Write p + q times a square root over one denominator: `\frac{1+3\sqrt{5}}{2}`."""
    c, r = split_root(radicand)
    p, q = Fraction(p), Fraction(q) * c
    if r == 1:
        return frac(p + q)
    if p == 0 or q == 0:
        return times(q, f"\\sqrt{{{r}}}") if p == 0 else frac(p)
    below = lcm(p.denominator, q.denominator)
    tail = times(q * below, f"\\sqrt{{{r}}}")
    top = f"{p * below}{'' if tail.startswith('-') else '+'}{tail}"
    return top if below == 1 else f"\\frac{{{top}}}{{{below}}}"


def complex_number(re: Number, im: Number) -> str:
    """Write a complex number: `7-4i`, `-i`."""
    if im == 0:
        return frac(re)
    tail = times(im, "i")
    return tail if re == 0 else f"{frac(re)}{'' if tail.startswith('-') else '+'}{tail}"


# --- polynomials, tuples, intervals, matrices


def poly(coefficients: Sequence[Number], variable: str = "x") -> str:
    """Write a polynomial, highest power first: `2x^2-7x-15`; fractions stand in front of the power."""
    text = ""
    for power, value in zip(range(len(coefficients) - 1, -1, -1), coefficients, strict=True):
        if value == 0:
            continue
        size = abs(Fraction(value))
        number = "" if size == 1 and power else frac(size)
        text += f"{'-' if value < 0 else '+'}{number}" + (
            "" if power == 0 else variable if power == 1 else f"{variable}^{power}"
        )
    return text.removeprefix("+") or "0"


def brackets(*entries: str) -> str:
    r"""Write a tuple: `\left( 3, \frac{1}{2} \right)`."""
    return f"\\left( {', '.join(entries)} \\right)"


def interval(low: Number | None, high: Number | None, *, closed: tuple[bool, bool]) -> str:
    r"""Write an interval; None is without end: `\left(-\infty, \frac{7}{3}\right]`."""
    left, right = ("[" if closed[0] and low is not None else "("), ("]" if closed[1] and high is not None else ")")
    start, end = "-\\infty" if low is None else frac(low), "\\infty" if high is None else frac(high)
    return f"\\left{left}{start}, {end}\\right{right}"


def matrix(rows: Sequence[Sequence[Number]]) -> str:
    r"""Write a matrix: `\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}`."""
    return (
        "\\begin{pmatrix} "
        + " \\\\ ".join(" & ".join(frac(value) for value in row) for row in rows)
        + " \\end{pmatrix}"
    )


def column(values: Sequence[Number]) -> str:
    """Write a vector as a column."""
    return matrix([[value] for value in values])


def in_base(n: int, base: int) -> str:
    """Write a number that is not negative in a base up to 10, without the base."""
    digits = ""
    while n or not digits:
        n, digit = divmod(n, base)
        digits = f"{digit}{digits}"
    return digits
