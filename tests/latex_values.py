r"""LaTeX of the generated problems as values of sympy: for tests, on texts that are our own.

tex(r"\frac{1+3\sqrt{5}}{2}")                    an expression
maths("If $x=2$, what is $3x$?")                 ['x=2', '3x']
between_commas(r"\left( 3, \frac{1}{2} \right)") [3, 1/2]
"""

import re

import sympy

X, Y = sympy.symbols("x y")
NAMES: dict[str, sympy.Expr] = {"\\pi": sympy.pi, "i": sympy.I, "x": X, "y": Y, "\\infty": sympy.oo}
TOKEN = re.compile(r"\\[a-z]+|[a-z]|\d+(?:\.\d+)?|[-+*/^(){}]")


def tex(text: str, **names: sympy.Expr | int) -> sympy.Expr:
    """The value of numbers, fractions, roots, powers and letters; angles are in degrees. Raises ValueError for
    anything else.
    """
    bare = re.sub(r"\\left|\\right|\^\\circ|\s|\$", lambda m: " " if m[0].isspace() else "", text).replace(
        "\\cdot", "*"
    )
    tokens = TOKEN.findall(bare)
    if "".join(tokens) != bare.replace(" ", ""):
        raise ValueError(f"not a formula: {text}")
    reader = _Reader(tokens, NAMES | names)
    value = reader.sum()
    if reader.tokens:
        raise ValueError(f"{text}: left over {reader.tokens}")
    return value


class _Reader:
    """Reads a formula from the left; products may go without a sign."""

    def __init__(self, tokens: list[str], names: dict[str, sympy.Expr | int]) -> None:
        self.tokens = tokens
        self.names = names

    def next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def sum(self) -> sympy.Expr:
        value = self.product()
        while self.next() in ("+", "-"):
            value = value + self.product() if self.tokens.pop(0) == "+" else value - self.product()
        return value

    def product(self) -> sympy.Expr:
        value = self.signed()
        while self.next() and self.next() not in "+-)}":
            value = value / self.signed() if self.next() == "/" and self.tokens.pop(0) else value * self.signed()
        return value

    def signed(self) -> sympy.Expr:
        if self.next() in ("-", "+", "*"):
            sign = self.tokens.pop(0)
            return -self.signed() if sign == "-" else self.signed()
        base = self.atom()
        if self.next() == "^":
            self.tokens.pop(0)
            return base ** self.atom()
        return base

    def atom(self) -> sympy.Expr:
        if not self.tokens:
            raise ValueError("a formula that ends too early")
        token = self.tokens.pop(0)
        if token in ("(", "{"):
            value = self.sum()
            if self.tokens.pop(0) != {"(": ")", "{": "}"}[token]:
                raise ValueError("a bracket that is not closed")
            return value
        if token == "\\frac":
            return self.atom() / self.atom()
        if token == "\\sqrt":
            return sympy.sqrt(self.atom())
        if token in ("\\sin", "\\cos"):
            return {"\\sin": sympy.sin, "\\cos": sympy.cos}[token](self.atom() * sympy.pi / 180)
        if token in self.names:
            return sympy.sympify(self.names[token])
        if token[0].isdigit():
            return sympy.Rational(token)
        raise ValueError(f"what is {token}?")


def maths(question: str) -> list[str]:
    """What is between dollar signs."""
    return re.findall(r"\$([^$]+)\$", question)


def whole_numbers(text: str) -> list[int]:
    """Integers with their signs; a minus that is a difference, as in `4-3`, is none."""
    return [int(n) for n in re.findall(r"(?<![\dx)}])-?\d+|\d+", text)]


def between_commas(text: str) -> list[sympy.Expr]:
    """The entries of a list or tuple."""
    return [tex(entry) for entry in re.sub(r"^\\left\(|\\right\)$", "", text).split(",")]


def interval(text: str) -> sympy.Set:
    """An interval, or the union of several."""
    found = []
    for part in text.split("\\cup"):
        left, low, high, right = re.fullmatch(r"\\left([\[(])(.+), (.+)\\right([\])])", part.strip()).groups()
        found.append(sympy.Interval(tex(low), tex(high), left == "(", right == ")"))
    return sympy.Union(*found)


def matrix(text: str) -> sympy.Matrix:
    """A matrix or column."""
    (inside,) = re.fullmatch(r"\\begin\{[pv]matrix\} (.+) \\end\{[pv]matrix\}", text).groups()
    return sympy.Matrix([[tex(entry) for entry in row.split("&")] for row in inside.split("\\\\")])


def matrices(question: str) -> list[sympy.Matrix]:
    """All the matrices of a question, in order."""
    return [matrix(found[0]) for found in re.finditer(r"\\begin\{([pv])matrix\}.+?\\end\{\1matrix\}", question)]
