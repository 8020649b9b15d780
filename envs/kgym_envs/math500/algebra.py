"""Algebra: equations, systems, inequalities, products, lines, radicals, functions."""

import random
from fractions import Fraction
from math import gcd

from kgym.envs.generated import Draft, Family
from kgym_envs.math500.latex import (
    bracket,
    brackets,
    draft,
    frac,
    interval,
    plain,
    poly,
    quotient,
    root,
    split_root,
    surd,
)


def nonzero(rng: random.Random, high: int) -> int:
    """Return an integer from -high to high that is not 0."""
    return rng.choice((-1, 1)) * rng.randint(1, high)


def linear_equation(rng: random.Random, level: int) -> Draft | None:
    """The unknown on both sides; brackets from level 3, fractions at level 5. Solutions are fractions."""
    params: list[tuple[int, ...]]
    high = 4 + 3 * level
    a, b, c, d = (nonzero(rng, high) for _ in range(4))
    if level < 3:
        left, right = poly([a, b]), poly([c, d])
        many, value, steps = a - c, d - b, []
        params = [*sorted([(a, b), (c, d)])]
    elif level < 5:
        if abs(a) == 1 or abs(c) == 1:
            return None
        left, right = f"{a}({poly([1, b])})", f"{c}({poly([1, d])})"
        many, value, steps = a - c, c * d - a * b, [f"{a}*({b})={a * b}, {c}*({d})={c * d}"]
        params = [*sorted([(a, b), (c, d)])]
    else:
        p, q = rng.sample(range(2, 12), 2)
        left, right = f"\\frac{{{poly([1, b])}}}{{{p}}}", f"\\frac{{{poly([1, d])}}}{{{q}}}+{abs(a)}"
        a, many, value = abs(a), q - p, p * d - q * b + abs(a) * p * q
        steps = [
            f"{q}*(x{b:+d})={p}*(x{d:+d})+{a * p * q}",
            f"{p}*({d})={p * d}, {q}*({b})={q * b}, {p}*{q}*{a}={a * p * q}",
        ]
        params = [(p, b), (q, d), (a,)]
    if many == 0:
        return None
    x = Fraction(value, many)
    question = rng.choice(
        (
            f"Solve for $x$: ${left}={right}$.",
            f"If ${left}={right}$, what is the value of $x$?",
            f"Find $x$ such that ${left}={right}$.",
        )
    )
    steps += [f"{poly([many, 0])}={value}"] + ([f"x={quotient(value, many)}"] if many != 1 else [])
    kind = ("plain", "plain", "brackets", "brackets", "fractions")[level - 1]
    return draft([kind, *(part for pair in params for part in pair)], question, frac(x), *steps)


def quadratic_roots(rng: random.Random, level: int) -> Draft | None:
    """Quadratic equations with two rational solutions; a leading coefficient from level 3."""
    high = 3 + 3 * level
    p, q = (1, 1) if level < 3 else (rng.randint(1, level), rng.randint(2, level + 1))
    r, s = nonzero(rng, high), nonzero(rng, high)
    one, two = sorted((Fraction(r, p), Fraction(s, q)))
    if one == two or gcd(p, r) > 1 or gcd(q, s) > 1:
        return None
    a, b, c = p * q, -(p * s + q * r), r * s
    text = poly([a, b, c])
    question = rng.choice(
        (
            f"Find all solutions of ${text}=0$. Enter them as a list separated by commas.",
            f"What are the values of $x$ for which ${text}=0$? List all of them, separated by commas.",
            f"Solve ${text}=0$ and list the solutions, separated by commas.",
        )
    )
    disc = b * b - 4 * a * c
    side = split_root(disc)[0]
    steps = [f"{bracket(b)}^2-4*{a}*{bracket(c)}={disc}", f"{side}*{side}={disc}"]
    steps += [f"({-b}-{side})/{2 * a}={plain(one)}", f"({-b}+{side})/{2 * a}={plain(two)}"]
    return draft([a, b, c], question, f"{frac(one)}, {frac(two)}", *steps)


def expand(rng: random.Random, level: int) -> Draft | None:
    """Products of two linear factors, of a linear and a quadratic one from level 4; the answer is a polynomial."""
    high = 3 + 2 * level
    first = [1 if level == 1 else rng.randint(1, level + 2), nonzero(rng, high)]
    second = [
        1 if level == 1 else rng.randint(1, level + 2),
        *(nonzero(rng, high) for _ in range(1 if level < 4 else 2)),
    ]
    product = [0] * (len(first) + len(second) - 1)
    steps = []
    for i, one in enumerate(first):
        for j, two in enumerate(second):
            product[i + j] += one * two
            steps.append(f"{bracket(one)}*{bracket(two)}={one * two}")
    if first == second or 0 in product:
        return None
    text = f"({poly(first)})({poly(second)})"
    question = rng.choice(
        (f"Expand ${text}$.", f"Expand and simplify the product ${text}$.", f"Write ${text}$ as a polynomial.")
    )
    key = sorted([first, second], key=lambda factor: (len(factor), factor))
    return draft([len(second), *key[0], *key[1]], question, poly(product), ", ".join(steps))


def inequality(rng: random.Random, level: int) -> Draft | None:
    """Linear inequalities; between two bounds at level 3, of an absolute value above. The answer is an interval."""
    params: list[str | int]
    high = 4 + 3 * level
    a, b, c, d = (nonzero(rng, high) for _ in range(4))
    strict, relations = rng.random() < 0.5, ("\\le", "<")
    if level < 3:
        sign, many, value = rng.choice((("<", "\\le"), (">", "\\ge"))), a - c, d - b
        if many == 0:
            return None
        bound, relation = Fraction(value, many), sign[0 if strict else 1]
        text = f"{poly([a, b])} {relation} {poly([c, d])}"
        below = (sign[0] == "<") == (many > 0)
        answer = interval(None if below else bound, bound if below else None, closed=(not strict, not strict))
        steps = [f"{a}-{bracket(c)}={many}, {d}-{bracket(b)}={value}", quotient(value, many)]
        params = ["line", strict, *((a, b, c, d) if sign[0] == "<" else (c, d, a, b))]
    elif level == 3:
        low, top = sorted((c, d))
        if a < 2 or low == top:
            return None
        one, two = Fraction(low - b, a), Fraction(top - b, a)
        text = f"{low} {relations[strict]} {poly([a, b])} \\le {top}"
        answer = interval(one, two, closed=(not strict, True))
        steps = [f"({low}-{bracket(b)})/{a}={plain(one)}", f"({top}-{bracket(b)})/{a}={plain(two)}"]
        params = ["between", strict, a, b, low, top]
    else:
        a, c = abs(a), abs(c)
        if a < 2 and level == 5:
            return None
        one, two = Fraction(-c - b, a), Fraction(c - b, a)
        text = f"|{poly([a, b])}| {relations[strict]} {c}"
        answer = interval(one, two, closed=(not strict, not strict))
        steps = [f"(-{c}-{bracket(b)})/{a}={plain(one)}", f"({c}-{bracket(b)})/{a}={plain(two)}"]
        params = ["absolute", strict, a, b, c]
    question = rng.choice(
        (
            f"Solve ${text}$. Express your answer in interval notation.",
            f"For which real numbers $x$ is ${text}$? Answer in interval notation.",
            f"Find the set of all $x$ with ${text}$, as an interval.",
        )
    )
    return draft(params, question, answer, *steps)


def line(rng: random.Random, level: int) -> Draft | None:
    """A line through two points, parallel to another at level 4, perpendicular at level 5; the answer is its
    equation.
    """
    params: list[str | int]
    high = 3 + 2 * level
    x, y = nonzero(rng, high), nonzero(rng, high)
    if level < 4:
        u, v = nonzero(rng, high), nonzero(rng, high)
        if u == x or v == y:
            return None
        slope = Fraction(v - y, u - x)
        if (slope.denominator > 1) != (level > 1):
            return None
        given = f"through the points $({x},{y})$ and $({u},{v})$"
        steps = [f"({v}-{bracket(y)})/({u}-{bracket(x)})={plain(slope)}"]
        params = [part for point in sorted(((x, y), (u, v))) for part in point]
    else:
        a, b, c = nonzero(rng, high), nonzero(rng, high), nonzero(rng, high)
        if gcd(a, b) > 1 or abs(b) == 1 or a < 0:
            return None
        slope = Fraction(-a, b) if level == 4 else Fraction(b, a)
        kind = "parallel" if level == 4 else "perpendicular"
        given = (
            f"{kind} to the line ${poly([a, 0])}{'' if b < 0 else '+'}{poly([b, 0], 'y')}={c}$ through the point "
            f"$({x},{y})$"
        )
        steps = [f"{-a}/({b})={plain(Fraction(-a, b))}"] + (
            [f"-1/({plain(Fraction(-a, b))})={plain(slope)}"] if level == 5 else []
        )
        params = [kind, a, b, c, x, y]
    shift = y - slope * x
    steps.append(f"{y}-{bracket(slope)}*{bracket(x)}={plain(shift)}")
    there = "goes" if level < 4 else "is"
    question = rng.choice(
        (
            f"Find the equation of the line {given}. Write it in the form $y=mx+b$.",
            f"What is the equation, solved for $y$, of the line {given}?",
            f"A line {there} {given}. Give its equation in slope-intercept form.",
        )
    )
    return draft(params, question, f"y={poly([slope, shift])}", *steps)


def system(rng: random.Random, level: int) -> Draft | None:
    """Two linear equations in two unknowns; the solution is a pair, of fractions from level 4."""
    high = 2 + 2 * level
    a, b, c, d = (nonzero(rng, high) for _ in range(4))
    det = a * d - b * c
    if det == 0 or (level > 3 and abs(det) == 1):
        return None
    if level < 4:
        x, y = nonzero(rng, 4 * level), nonzero(rng, 4 * level)
        s, t = a * x + b * y, c * x + d * y
        one, two = Fraction(x), Fraction(y)
    else:
        s, t = nonzero(rng, 15), nonzero(rng, 15)
        one, two = Fraction(s * d - b * t, det), Fraction(a * t - c * s, det)
        if one.denominator == two.denominator == 1:
            return None
    texts = [f"{poly([p, 0])}{'+' if q > 0 else ''}{poly([q, 0], 'y')}={r}" for p, q, r in ((a, b, s), (c, d, t))]
    question = rng.choice(
        (
            f"Solve the system ${texts[0]}$, ${texts[1]}$. Give your answer as an ordered pair $(x,y)$.",
            f"If ${texts[0]}$ and ${texts[1]}$, what is the ordered pair $(x,y)$?",
            f"Find the pair $(x,y)$ that satisfies both ${texts[0]}$ and ${texts[1]}$.",
        )
    )
    steps = [
        f"{a}*{bracket(d)}-{bracket(b)}*{bracket(c)}={det}",
        f"{s}*{bracket(d)}-{bracket(b)}*{bracket(t)}={s * d - b * t}",
        f"{a}*{bracket(t)}-{bracket(c)}*{bracket(s)}={a * t - c * s}",
    ]
    steps += [f"x={quotient(s * d - b * t, det)}", f"y={quotient(a * t - c * s, det)}"]
    params = [part for equation in sorted(((a, b, s), (c, d, t))) for part in equation]
    return draft(params, question, brackets(frac(one), frac(two)), *steps)


def radical(rng: random.Random, level: int) -> Draft | None:
    """Square roots simplified, added at level 3, out of the denominator from level 4."""
    key: list[str | int]
    r = rng.choice((2, 3, 5, 6, 7, 10, 11, 13))
    c, d, k = (rng.randint(2, 9 + 3 * level) for _ in range(3))
    if level < 3:
        n = c * c * r
        many = 1 if level == 1 else k
        text, answer = f"{'' if many == 1 else many}\\sqrt{{{n}}}", root(many, n)
        steps = [f"{c}^2*{r}={n}"] + ([f"{many}*{c}={many * c}"] if many > 1 else [])
    elif level == 3:
        sign = rng.choice((1, -1))
        if c == d:
            return None
        text = f"\\sqrt{{{c * c * r}}}{'+' if sign > 0 else '-'}\\sqrt{{{d * d * r}}}"
        answer = root(c + sign * d, r)
        steps = [f"{c}^2*{r}={c * c * r}, {d}^2*{r}={d * d * r}", f"{c}{sign * d:+d}={c + sign * d}"]
    elif level == 4:
        text, answer = f"\\frac{{{k}}}{{{d}\\sqrt{{{r}}}}}", root(Fraction(k, d * r), r)
        steps = [f"{d}*{r}={d * r}", quotient(k, d * r)]
    else:
        below = d * d - r
        if below == 0 or k == d:
            return None
        text, answer = f"\\frac{{{k}}}{{{d}+\\sqrt{{{r}}}}}", surd(Fraction(k * d, below), Fraction(-k, below), r)
        steps = [f"{d}^2-{r}={below}", f"{k}*{d}={k * d}", quotient(k * d, below)]
        steps.append(quotient(-k, below))
    ask = "Rationalize the denominator of" if level > 3 else "Simplify"
    question = rng.choice(
        (f"{ask} ${text}$.", f"Write ${text}$ in simplest radical form.", f"Express ${text}$ in simplest form.")
    )
    key = ["sum", *sorted((c, d)), r] if "+\\sqrt" in text and level == 3 else [text]
    return draft(key, question, answer, *steps)


def composition(rng: random.Random, level: int) -> Draft | None:
    """Values of one function of another; quadratic from level 3, a quotient at level 5."""
    a, b, c, d, n = (nonzero(rng, 3 + 2 * level) for _ in range(5))
    if level < 3:
        f, g = poly([a, b]), poly([c, d])
        inner = Fraction(c * n + d)
        value, steps = (
            a * inner + b,
            [f"g({n})={c}*({n}){d:+d}={inner}", f"f({inner})={a}*({inner}){b:+d}={a * inner + b}"],
        )
    elif level < 5:
        f, g = poly([1, a, b]), poly([c, d])
        inner = Fraction(c * n + d)
        value = inner * inner + a * inner + b
        steps = [f"g({n})={c}*({n}){d:+d}={inner}", f"f({inner})=({inner})^2{a:+d}*({inner}){b:+d}={value}"]
    else:
        f, g = f"\\frac{{{poly([a, b])}}}{{{poly([1, c])}}}", poly([1, 0, d])
        inner = Fraction(n * n + d)
        if inner + c == 0:
            return None
        value = (a * inner + b) / (inner + c)
        top, below = a * inner + b, inner + c
        steps = [
            f"g({n})=({n})^2{d:+d}={inner}",
            f"{a}*({inner}){b:+d}={top}",
            f"{inner}{c:+d}={below}",
            quotient(top, below),
        ]
    question = rng.choice(
        (
            f"Let $f(x)={f}$ and $g(x)={g}$. What is $f(g({n}))$?",
            f"If $f(x)={f}$ and $g(x)={g}$, find the value of $f(g({n}))$.",
            f"Given $f(x)={f}$ and $g(x)={g}$, compute $f(g({n}))$.",
        )
    )
    return draft([level > 2, level > 4, a, b, c, d, n], question, frac(value), *steps)


FAMILIES = tuple(
    Family(make.__name__, "Algebra", make)
    for make in (linear_equation, quadratic_roots, expand, inequality, line, system, radical, composition)
)
