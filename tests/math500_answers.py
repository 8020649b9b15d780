"""Answers of the generated families of `math500` by other routes than the generators': from the text alone.

Counting is done by counting, areas by Pick's theorem, volumes by integrals, series by adding up, roots of polynomials
numerically.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations
from math import comb, gcd
from statistics import mean, median

import mpmath
import numpy as np
import sympy
from sympy.solvers.inequalities import solve_poly_inequality

from latex_values import X, Y, between_commas, interval, maths, matrices, matrix, tex, whole_numbers

Answer = object
DIGITS = 40
mpmath.mp.dps = DIGITS
SMALL = sympy.Rational(1, 10**25)
CORNERS = {
    "triangle": 3,
    "quadrilateral": 4,
    "pentagon": 5,
    "hexagon": 6,
    "heptagon": 7,
    "octagon": 8,
    "nonagon": 9,
    "decagon": 10,
}
CORNERS["dodecagon"] = 12


def agrees(expected: Answer, gold: str) -> bool:
    """Whether a gold answer is what another route found; the type of `expected` says in which form it has to be
    written.
    """
    if isinstance(expected, str):
        return gold == expected
    if isinstance(expected, sympy.Set):
        return interval(gold) == expected
    if isinstance(expected, sympy.Eq):
        left, right = gold.split("=")
        return (left, sympy.expand(tex(right) - expected.rhs)) == (str(expected.lhs), 0)
    if isinstance(expected, sympy.MatrixBase):
        return matrix(gold) == expected
    if isinstance(expected, frozenset):  # both of p \pm q
        both = [tex(gold.replace("\\pm", sign)) for sign in "+-"]
        return len(both) == len(expected) and all(sum(same(value, one) for one in both) == 1 for value in expected)
    if isinstance(expected, Sequence):
        assert isinstance(expected, list) or gold.startswith("\\left(")
        return len(entries := between_commas(gold)) == len(expected) and all(map(same, expected, entries))
    return same(expected, tex(gold))


def same(one: object, other: object) -> bool:
    """Equal as polynomials, or as numbers to more digits than a coincidence has."""
    difference = sympy.expand(sympy.sympify(one) - sympy.sympify(other))
    return difference == 0 or (not difference.free_symbols and bool(abs(difference.evalf(DIGITS)) < SMALL))


def first(pattern: str, text: str) -> tuple[int, ...]:
    """The numbers that the first match of a pattern holds."""
    return tuple(int(group) for group in re.search(pattern, text).groups() if group is not None)


def points(text: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"\((-?\d+),(-?\d+)\)", text)]


def root_of_line(expression: sympy.Expr) -> sympy.Rational:
    """Where a line crosses zero, from its values at 0 and 1."""
    at_0, at_1 = expression.subs(X, 0), expression.subs(X, 1)
    assert sympy.expand(expression.subs(X, 2) - 2 * at_1 + at_0) == 0, "no line"
    return at_0 / (at_0 - at_1)


# --- prealgebra


def discount(q: str) -> Answer:
    price = sympy.Integer(maths(q)[0])
    factors = [100 - int(rate) for rate in re.findall(r"\$(\d+)\\%", q.partition("tax")[0])]
    factors += [100 + int(rate) for rate in re.findall(r"(\d+)\\%", q.partition("tax")[2])]
    assert len(factors) == q.count("%")
    for factor in factors:
        price = price * factor / 100
    return price


def angle(q: str) -> Answer:
    whole = {"triangle": 180, "quadrilateral": 360}[re.search("triangle|quadrilateral", q)[0]]
    if "x" in "".join(maths(q)):
        texts = [text.strip("()") for text in re.findall(r"-?\d*x[+-]\d+", q)]
        x = root_of_line(sum(tex(text) for text in texts) - whole)
        return max(tex(text, x=x) for text in texts)
    if ":" in q:
        parts = [int(n) for n in re.search(r"\d+(:\d+)+", q)[0].split(":")]
        (unit,) = [k for k in range(1, whole) if sum(k * part for part in parts) == whole]
        return max(unit * part for part in parts)
    return whole - sum(int(n) for n in re.findall(r"\$(\d+)\^\\circ", q))


def average(q: str) -> Answer:
    numbers = whole_numbers(q)
    if "$x$" in q:
        *numbers, target = numbers
        (x,) = [x for x in range(-1000, 1000) if Fraction(sum(numbers) + x, len(numbers) + 1) == target]
        return x
    values = [Fraction(n) for n in numbers]
    if "difference" in q:
        return abs(mean(values) - median(values))
    return mean(values) if "mean" in q else median(values)


def decimal(q: str) -> Answer:
    before, period = re.search(r"0\.(\d*)(?:\\overline\{(\d+)\})?", q).groups()
    return Fraction(f"0.{before}{(period or '') * 40}").limit_denominator(20_000)


def fastest(q: str) -> Answer:
    riders = re.findall(r"([A-Z][a-z]+) rode (\d+) km in (\d+) hours", q)
    return f"\\text{{{max(riders, key=lambda rider: int(rider[1]) / int(rider[2]))[0]}}}"


# --- algebra


def linear_equation(q: str) -> Answer:
    left, right = next(text for text in maths(q) if "=" in text).split("=")
    return root_of_line(tex(left) - tex(right))


def quadratic_roots(q: str) -> Answer:
    (text,) = re.findall(r"\$([^$]+)=0\$", q)
    found = sympy.roots(sympy.Poly(tex(text), X))
    assert len(found) == 2
    return sorted(found)


def line(q: str) -> Answer:
    if "parallel" in q or "perpendicular" in q:
        left, right = re.search(r"line \$([^=$]+)=(-?\d+)\$", q).groups()
        other = sympy.Line(tex(left) - int(right))
        (point,) = points(q)
        it = (other.parallel_line if "parallel" in q else other.perpendicular_line)(sympy.Point(*point))
    else:
        it = sympy.Line(*points(q))
    (y,) = sympy.solve(it.equation(X, Y), Y)
    return sympy.Eq(Y, y, evaluate=False)


def system(q: str) -> Answer:
    equations = [text.split("=") for text in maths(q) if "=" in text]
    (solution,) = sympy.linsolve([tex(left) - int(right) for left, right in equations], [X, Y])
    return tuple(solution)


def relations(text: str) -> sympy.Set:
    """Where a chain of inequalities holds."""
    sides = re.split(r" (\\le|\\ge|<|>) ", text)
    everywhere: sympy.Set = sympy.S.Reals
    for left, sign, right in zip(sides[::2], sides[1::2], sides[2::2], strict=False):
        power = 2 if left.startswith("|") else 1  # |u| < c where u^2 < c^2
        difference = tex(left.strip("|")) ** power - tex(right) ** power
        relation = {"\\le": "<=", "\\ge": ">="}.get(sign, sign)
        everywhere &= sympy.Union(*solve_poly_inequality(sympy.Poly(difference, X), relation))
    return everywhere


def inequality(q: str) -> Answer:
    (text,) = [text for text in maths(q) if re.search(r"<|>|\\le|\\ge", text)]
    return relations(text)


def composition(q: str) -> Answer:
    f, g = (re.search(rf"\${name}\(x\)=([^$]+)\$", q)[1] for name in "fg")
    (n,) = first(r"f\(g\((-?\d+)\)\)", q)
    return tex(f, x=tex(g, x=n))


# --- counting and probability


@cache
def orders(counts: tuple[int, ...]) -> int:
    """In how many orders letters can be laid, by which of them is laid first."""
    if not sum(counts):
        return 1
    return sum(orders(tuple(sorted((*counts[:i], n - 1, *counts[i + 1 :])))) for i, n in enumerate(counts) if n)


def arrangements(q: str) -> Answer:
    letters = re.search(r"letters ((?:[A-Z], )+[A-Z])", q)[1].split(", ")
    return orders(tuple(sorted(Counter(letters).values())))


def committee(q: str) -> Answer:
    if found := re.search(r"a committee of (\d+) of its (\d+) members", q):
        size, n = map(int, found.groups())
        return sum(1 for _ in combinations(range(n), size))
    if "at least" in q:
        size, least, teachers, pupils = whole_numbers(q)
        return comb(teachers + pupils, size) - sum(comb(teachers, k) * comb(pupils, size - k) for k in range(least))
    a, teachers, b, pupils = whole_numbers(q)
    return sum(1 for _ in combinations(range(teachers), a)) * sum(1 for _ in combinations(range(pupils), b))


def dice(q: str) -> Answer:
    n = 3 if "three" in q.lower() else 2
    (sides,) = first(r"1 to (\d+)|(\d+)-sided", q)
    (target,) = first(r"(?:sum|total) of (?:at least )?(\d+)", q)
    ways = np.array([1])
    for _ in range(n):
        ways = np.convolve(ways, [0] + [1] * sides)
    return Fraction(int(ways[target:].sum() if "at least" in q else ways[target]), sides**n)


def marbles(q: str) -> Answer:
    bag = [colour for n, colour in re.findall(r"(\d+) (red|blue|green)", q) for _ in range(int(n))]
    drawn = list(combinations(bag, 3 if "three" in q.lower() else 2))
    wanted = {
        "both are red": lambda hand: hand == ("red", "red"),
        "one is red and one is blue": lambda hand: set(hand) == {"red", "blue"},
        "all of them have the same colour": lambda hand: len(set(hand)) == 1,
    }
    (event,) = [event for event in wanted if event in q]
    return Fraction(sum(map(wanted[event], drawn)), len(drawn))


def expected(q: str) -> Answer:
    chances = re.findall(r"\$(\\frac\{\d+\}\{\d+\})\$ to (win|lose) (\d+) dollars", q)
    assert sum(tex(chance) for chance, _, _ in chances) == 1
    return sum(tex(chance) * int(prize) * (1 if what == "win" else -1) for chance, what, prize in chances)


def paths(q: str) -> Answer:
    start, end, *special = points(q.replace("$(1,0)$ and $(0,1)$", ""))
    ways = {start: 1}
    for x in range(start[0], end[0] + 1):
        for y in range(start[1], end[1] + 1):
            here = ways.get((x - 1, y), 0) + ways.get((x, y - 1), 0) + ((x, y) == start)
            beside = (
                special and (x - special[0][0]) * (y - special[0][1]) < 0
            )  # above left or below right of it: missed it
            blocked = beside if "not pass" not in q else special and (x, y) == special[0]
            ways[x, y] = 0 if blocked else here
    return ways[end]


# --- number theory


def base(q: str) -> Answer:
    named = re.search(r"base[ -]\$(\d+)\$", q)
    target = int(named[1]) if named else 10
    (text,) = [text for text in maths(q) if "_" in text] or [
        text for text in maths(q) if named is None or text != named[1] or "ten" in q
    ][:1]
    value = int(tex(re.sub(r"(\d+)_(\d+)", lambda m: str(int(m[1], int(m[2]))), text)))
    return f"{np.base_repr(value, target)}_{target}" if named else str(value)


def common_multiple(q: str) -> Answer:
    powers = [sympy.factorint(int(n)) for n in maths(q)]
    primes = {prime for power in powers for prime in power}
    best = max if "multiple" in q else min
    return sympy.prod([prime ** best(power.get(prime, 0) for power in powers) for prime in primes])


def divisor_list(q: str) -> Answer:
    n = int(maths(q)[0 if "multiples" not in q or q.startswith(("List", "Write")) else -1])
    d = first(r"multiples of \$(\d+)\$", q)[0] if "multiples" in q else 1
    return [k for k in sympy.divisors(n) if k % d == 0]


def divisor_sum(q: str) -> Answer:
    (n,) = whole_numbers(q)
    return sympy.divisor_count(n) if "number" in q else sympy.divisor_sigma(n)


def remainder(q: str) -> Answer:
    total = sum(int(a) ** int(n) for a, n in re.findall(r"(\d+)\^\{(\d+)\}", q))
    return total % int(re.search(r"(?:by|modulo) \$(\d+)\$", q)[1])


def congruence(q: str) -> Answer:
    if one := re.search(r"(\d+)x \\equiv (\d+) \\pmod\{(\d+)\}", q):
        a, b, m = map(int, one.groups())
        return next(x for x in range(m) if (a * x - b) % m == 0)
    pairs = re.findall(r"\\equiv (\d+) \\pmod\{(\d+)\}", q) or re.findall(
        r"remainder \$(\d+)\$ (?:modulo|on division by) \$(\d+)\$", q
    )
    assert len(pairs) == 2
    return next(x for x in range(1, 10**5) if all((x - int(a)) % int(m) == 0 for a, m in pairs))


# --- geometry


def right_triangle(q: str) -> Answer:
    numbers = [int(text) for text in maths(q)]
    if "box" in q:
        return sympy.Point3D(0, 0, 0).distance(sympy.Point3D(*numbers))
    if "hypotenuse of a right triangle is" in q:
        hypotenuse, leg = numbers
        return hypotenuse * mpmath.sin(mpmath.acos(mpmath.mpf(leg) / hypotenuse))
    return sympy.Point(numbers[0], 0).distance(sympy.Point(0, numbers[1]))


def sector(q: str) -> Answer:
    if "circumference" in q:
        (around,) = first(r"circumference of \$(\d+)\\pi\$", q)
        return sympy.pi * (around * sympy.pi / (2 * sympy.pi)) ** 2
    theta = sympy.pi * first(r"(\d+)\^\\circ", q)[0] / 180
    if "ring" in q:
        inner, outer = first(r"radii \$(\d+)\$ and \$(\d+)\$", q)
        return sympy.integrate(theta * X, (X, inner, outer))
    (r,) = first(r"radius \$(\d+)\$", q)
    return sympy.integrate(theta * X, (X, 0, r)) if "area" in q else theta * r


def area(q: str) -> Answer:
    """Pick's theorem: lattice points inside, plus half of those on the edge, less one."""
    corners = points(q)
    edges = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    inside = 0
    for x in range(min(x for x, _ in corners), max(x for x, _ in corners) + 1):
        for y in range(min(y for _, y in corners), max(y for _, y in corners) + 1):
            sides = [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for (ax, ay), (bx, by) in edges]
            inside += all(side > 0 for side in sides) or all(side < 0 for side in sides)
    border = sum(gcd(bx - ax, by - ay) for (ax, ay), (bx, by) in edges)
    return inside + Fraction(border, 2) - 1


def volume(q: str) -> Answer:
    numbers = [sympy.Integer(text) for text in maths(q) if text.isdigit()]
    if "truncated" in q:
        r, s, h = numbers
        width: sympy.Expr = r + (s - r) * X / h
    else:
        r, h = numbers
        width = r * X / h if "cone" in q else r / 2 if "diameter" in q else r
    ball = sympy.integrate(sympy.pi * (r**2 - X**2), (X, 0, r)) if "half a ball" in q else 0
    return sympy.integrate(sympy.pi * width**2, (X, 0, h)) + ball


def polygon(q: str) -> Answer:
    """The exterior angles of a convex polygon make one turn."""
    given = [int(n) for n in re.findall(r"\$(\d+)\^\\circ", q)]
    others = CORNERS[re.search("[a-z]+gon", q)[0]] - len(given)
    return 180 - Fraction(360 - sum(180 - a for a in given), others)


def similar(q: str) -> Answer:
    if found := re.search(r"areas of \$ABC\$ and \$DEF\$ are \$(\d+)\$ and \$(\d+)\$, and \$AB=(\d+)\$", q):
        one, two, side = map(int, found.groups())
        return side * sympy.sqrt(sympy.Rational(two, one))
    scale = Fraction(*reversed(first(r"\$AB=(\d+)\$, \$DE=(\d+)\$", q)))
    if "area" in q:
        return first(r"area of \$ABC\$ is \$(\d+)\$", q)[0] * scale**2
    return first(r"\$BC=(\d+)\$", q)[0] * scale


def chord(q: str) -> Answer:
    (distance,), (r,) = first(r"distance of \$(\d+)\$", q), first(r"radius \$(\d+)\$", q)
    if "chord" in q:
        return 2 * r * mpmath.sin(mpmath.acos(mpmath.mpf(distance) / r))
    return distance * mpmath.cos(mpmath.asin(mpmath.mpf(r) / distance))


# --- intermediate algebra


def complex_value(q: str) -> Answer:
    (text,) = [text for text in maths(q) if text not in ("i", "i^2=-1", "a+bi")]
    return sympy.expand(tex(text), complex=True)


def quadratic_formula(q: str) -> Answer:
    (text,) = re.findall(r"\$([^$]+)=0\$", q)
    return frozenset(sympy.roots(sympy.Poly(tex(text), X)))


def two_polynomials(q: str) -> list[sympy.Poly]:
    texts = maths(q)
    if len(texts) == 1:
        texts = re.fullmatch(r"\\frac\{(.+)\}\{(.+)\}", texts[0]).groups()
    return [sympy.Poly(tex(text), X) for text in texts]


def polynomial_remainder(q: str) -> Answer:
    return sympy.rem(*two_polynomials(q)).as_expr()


def polynomial_quotient(q: str) -> Answer:
    above, below = two_polynomials(q)
    assert sympy.rem(above, below).is_zero
    return sympy.quo(above, below).as_expr()


def series(q: str) -> Answer:
    (text,) = maths(q)
    terms = [tex(term) for term in re.findall(r"[+-]?(?:\\frac\{\d+\}\{\d+\}|\d+)", text.removesuffix("+\\cdots"))]
    ratio = terms[1] / terms[0]
    assert terms[2] / terms[1] == ratio
    step = ratio**2 if "first, third" in q else ratio
    term, total, factor = mpmath.mpf(terms[0].p) / terms[0].q, mpmath.mpf(0), mpmath.mpf(step.p) / step.q
    while abs(term) > mpmath.mpf(10) ** -DIGITS:
        total, term = total + term, term * factor
    return total


def logarithm(q: str) -> Answer:
    total = mpmath.mpf(0)
    for found, value in re.findall(r"\\log_\{(\d+)\} (\\frac\{\d+\}\{\d+\}|\d+)", q):
        number = tex(value)
        total += mpmath.log(mpmath.mpf(number.p) / number.q) / mpmath.log(int(found))
    return total


def partial_fractions(q: str) -> Answer:
    (text,) = [text for text in maths(q) if "\\frac{A}" in text]
    whole, one, two = re.fullmatch(r"(.+)=\\frac\{A\}\{(.+)\}\+\\frac\{B\}\{(.+)\}", text).groups()
    rows = [(1 / tex(one, x=x), 1 / tex(two, x=x), tex(whole, x=x)) for x in (101, 103)]
    return tuple(sympy.Matrix([row[:2] for row in rows]).LUsolve(sympy.Matrix([row[2] for row in rows])))


def quadratic_inequality(q: str) -> Answer:
    (text,) = [text for text in maths(q) if text.endswith(" 0")]
    return relations(text)


def cubic_roots(q: str) -> Answer:
    (text,) = re.findall(r"\$([^$]*x\^3[^$=]*)(?:=0)?\$", q)
    roots = mpmath.polyroots([int(c) for c in sympy.Poly(tex(text), X).all_coeffs()], maxsteps=500, extraprec=500)
    total = sum(1 / root for root in roots) if "frac{1}{r}" in q else sum(root**2 for root in roots)
    assert abs(total.imag) < mpmath.mpf(10) ** -30
    return total.real


# --- precalculus


def matrix_product(q: str) -> Answer:
    found = matrices(q)
    return found[0] * found[-1]


def determinant(q: str) -> Answer:
    return matrices(q)[0].det(method="berkowitz")


def tangent_sum(q: str) -> Answer:
    angles = {
        name: mpmath.atan(mpmath.mpf(v.p) / v.q)
        for name, v in ((n, tex(t)) for n, t in re.findall(r"\\tan ([ab])=([^$]+)\$", q))
    }
    total = {
        "a+b": lambda: angles["a"] + angles["b"],
        "a-b": lambda: angles["a"] - angles["b"],
        "2a": lambda: 2 * angles["a"],
    }
    return mpmath.tan(total[re.search(r"\\tan ?\(?(a\+b|a-b|2a)", q)[1]]())


def cross_product(q: str) -> Answer:
    u, v = matrices(q)
    return u.cross(v)


def projection(q: str) -> Answer:
    """The multiple of v that is nearest to u: where what is left over is perpendicular to v."""
    u, v = matrices(q)
    return v * root_of_line(sympy.expand((u - X * v).dot(v)))


def polar(q: str) -> Answer:
    one, two = between_commas(re.search(r"\\left\(.+?\\right\)", q.replace("(r,\\theta)=", ""))[0])
    if "rectangular" in q:
        return one * sympy.cos(two), one * sympy.sin(two)
    x, y = (mpmath.mpf(str(value.evalf(DIGITS))) for value in (one, two))
    return mpmath.hypot(x, y), mpmath.atan2(y, x) % (2 * mpmath.pi)


def formula(q: str) -> Answer:
    """Questions that are one formula: its value."""
    (text,) = maths(q)
    return tex(text)


ANSWERS: dict[str, Callable[[str], Answer]] = {
    "fraction_sum": formula,
    "expression": formula,
    "expand": formula,
    "radical": formula,
    "trig_value": formula,
    "matrix_inverse": lambda q: matrices(q)[0].inv(),
} | {
    route.__name__: route
    for route in (
        discount, angle, average, decimal, fastest,
        linear_equation, quadratic_roots, inequality, line, system, composition,
        arrangements, committee, dice, marbles, expected, paths,
        base, common_multiple, divisor_list, divisor_sum, remainder, congruence,
        right_triangle, sector, area, volume, polygon, similar, chord,
        complex_value, quadratic_formula, polynomial_remainder, polynomial_quotient, series, logarithm,
        partial_fractions, quadratic_inequality, cubic_roots,
        matrix_product, determinant, tangent_sum, cross_product, projection, polar,
    )
}  # fmt: skip
