r"""Prose that calculates on the way: `he has 42 - 9 = 33 pencils`, `$25 - $5 = $20`. What it says is the last side."""

import re

_MONEY = re.compile(r"(?<![\\$\w])\$(?=\d)")
_SIGN = re.compile(r"(?<!\\)\$")
_LATEX = re.compile(r"\\(?!\$)|[\^_{}]|\d\$")
_SUM = re.compile(r"(?<![\w.,$\\(])(?:\\\$|[(€£]){0,4}\d[\d\s.,()+*/×÷·−–€£%x$\\-]{0,100}=\s*(?=(?:\\?\$|[-−€£(])?\d)")
_OPERATOR = re.compile(r"[-+*/×÷·−–]|\dx\d|\sx\s|%")
_LETTERS_SUM = re.compile(r"(?<![\w.])(?P<name>[A-Za-z]{1,2})\s*=(?:[^=.;:]|\.\d){1,80}=\s*(?=(?:\\?\$|[-−€£(])?\d)")
_LABEL = re.compile(
    r"(?:\A|(?<=[.!?]\s))\W{0,3}[A-Z][A-Za-z' ]{0,40}\s?[:=]\s*(?:[A-Za-z(][A-Za-z ×*+/()·−-]{0,60}=\s*)?"
    r"(?=(?:\\\$|[(€£]){0,4}\d[^=]{1,100}=\s*(?:\\?\$)?\d)"
)


def with_money(line: str) -> str:
    r"""A line with `\$` for each dollar sign that is one of money, where none of them opens a formula.

    >>> with_money("The price is $25 - $5 = $20."), with_money("It is $5$."), with_money("From $3 to $x^2$.")
    ('The price is \\$25 - \\$5 = \\$20.', 'It is $5$.', 'From $3 to $x^2$.')
    """
    if "$" not in line or _LATEX.search(line):
        return line
    return _MONEY.sub(r"\\$", line) if len(_MONEY.findall(line)) == len(_SIGN.findall(line)) else line


def worked_out(line: str) -> str:
    """A line with the last side of each calculation in plain numbers, for the whole of it.

    >>> worked_out("He has 42 - 9 = 33 pencils left."), worked_out("Total = 5"), worked_out("U = 4a = 24 cm")
    ('He has 33 pencils left.', 'Total = 5', 'U = 24 cm')
    >>> worked_out("Distance = speed × time = 60 × 2.5 = 150 km.")
    'This is 150 km.'
    """
    if "=" not in line:
        return line
    line = _LABEL.sub(
        lambda match: "This is " if (at := _SUM.match(line, match.end())) and _OPERATOR.search(at[0]) else match[0],
        line,
    )
    line = _SUM.sub(lambda match: "" if _OPERATOR.search(match[0]) else match[0], line)
    return _LETTERS_SUM.sub(r"\g<name> = ", line)
