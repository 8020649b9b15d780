"""Intermediate Algebra: complex numbers, quadratics, division of polynomials, series, logarithms, partial fractions,
roots of cubics.
"""

import random
from fractions import Fraction
from math import gcd, isqrt

from kgym.envs.generated import Draft, Family
from kgym_envs.math500.latex import (
    bracket,
    brackets,
    complex_number,
    draft,
    frac,
    interval,
    plain,
    poly,
    quotient,
    split_root,
    times,
)


def nonzero(rng: random.Random, high: int) -> int:
    """Return an integer from -high to high that is not 0."""
    return rng.choice((-1, 1)) * rng.randint(1, high)


def complex_value(rng: random.Random, level: int) -> Draft | None:
    """Products and quotients of complex numbers; the answer is one."""
    params: list[str | int]
    high = 3 + 2 * level
    a, b, c, d = (nonzero(rng, high) for _ in range(4))
    one, two = complex_number(a, b), complex_number(c, d)
    products = [
        f"{a}*{bracket(c)}-{bracket(b)}*{bracket(d)}={a * c - b * d}",
        f"{a}*{bracket(d)}+{bracket(b)}*{bracket(c)}={a * d + b * c}",
    ]
    if level < 3:
        text, re, im, steps = f"({one})({two})", Fraction(a * c - b * d), Fraction(a * d + b * c), products
        params = ["product", *(part for pair in sorted(((a, b), (c, d))) for part in pair)]
    elif level == 3:
        text, re, im = f"({one})^2", Fraction(a * a - b * b), Fraction(2 * a * b)
        text += f"+{two}"
        re, im = re + c, im + d
        steps = [f"{bracket(a)}^2-{bracket(b)}^2={a * a - b * b}, 2*{bracket(a)}*{bracket(b)}={2 * a * b}"]
        steps.append(f"{a * a - b * b}{c:+d}={re}, {2 * a * b}{d:+d}={im}")
        params = ["square", a, b, c, d]
    else:
        below = c * c + d * d
        top_re, top_im = a * c + b * d, b * c - a * d
        text, re, im = f"\\frac{{{one}}}{{{two}}}", Fraction(top_re, below), Fraction(top_im, below)
        steps = [
            f"{a}*{bracket(c)}+{bracket(b)}*{bracket(d)}={top_re}, {b}*{bracket(c)}-{bracket(a)}*{bracket(d)}={top_im}"
        ]
        steps += [f"{bracket(c)}^2+{bracket(d)}^2={below}", f"{quotient(top_re, below)}, {quotient(top_im, below)}"]
        params = ["quotient", a, b, c, d]
    question = rng.choice(
        (
            f"Simplify ${text}$, where $i^2=-1$. Write the answer in the form $a+bi$.",
            f"Let $i$ be the imaginary unit. Write ${text}$ in the form $a+bi$.",
            f"Compute ${text}$ for $i^2=-1$, and express the result as $a+bi$.",
        )
    )
    return draft(params, question, complex_number(re, im), *steps)


def quadratic_formula(rng: random.Random, level: int) -> Draft | None:
    r"""Irrational solutions as `\frac{3\pm\sqrt{5}}{2}`, complex ones from level 4."""
    a, b, c = (1 if level == 1 else rng.randint(1, level)), nonzero(rng, 4 + 2 * level), nonzero(rng, 4 + 2 * level)
    disc = b * b - 4 * a * c
    if (disc < 0) != (level > 3) or gcd(a, b, c) > 1 or isqrt(abs(disc)) ** 2 == abs(disc):
        return None
    out, inside = split_root(abs(disc))
    common = gcd(b, out, 2 * a)
    first, factor, below = -b // common, out // common, 2 * a // common
    tail = times(factor, f"{'i' if disc < 0 else ''}\\sqrt{{{inside}}}")
    top = f"{first} \\pm {tail}"
    text = poly([a, b, c])
    question = rng.choice(
        (
            f"Find the solutions of ${text}=0${' over the complex numbers' if disc < 0 else ''}, in simplest form with "
            "$\\pm$.",
            f"Solve ${text}=0${' in the complex numbers' if disc < 0 else ''}. Write both solutions with one $\\pm$ "
            "sign.",
            f"What are the {'complex' if disc < 0 else 'real'} solutions of ${text}=0$? Use $\\pm$.",
        )
    )
    steps = [f"{bracket(b)}^2-4*{a}*{bracket(c)}={disc}", f"{out}^2*{inside}={abs(disc)}"]
    steps.append(f"{quotient(-b, 2 * a)}, {quotient(out, 2 * a)}")
    return draft([a, b, c], question, top if below == 1 else f"\\frac{{{top}}}{{{below}}}", *steps)


def divided(p: list[int], d: list[int]) -> tuple[list[int], list[int]]:
    """Return quotient and remainder of polynomials, highest power first; d begins with 1."""
    rest, quotient_ = list(p), []
    for i in range(len(p) - len(d) + 1):
        quotient_.append(rest[i])
        for j, value in enumerate(d):
            rest[i + j] -= quotient_[-1] * value
    return quotient_, rest[len(p) - len(d) + 1 :]


def polynomial_remainder(rng: random.Random, level: int) -> Draft | None:
    """The remainder of a division by x - r, by a quadratic from level 3: a number or a polynomial."""
    p = [rng.randint(1, 2 + level), *(nonzero(rng, 3 + 2 * level) for _ in range(2 + (level > 1) + (level > 4)))]
    if level < 3:
        r = nonzero(rng, 3 + level)
        d, value, steps = [1, -r], p[0], []
        for coefficient in p[1:]:
            steps.append(f"{value}*{bracket(r)}{coefficient:+d}={value * r + coefficient}")
            value = value * r + coefficient
        answer = str(value)
    else:
        d = [1, nonzero(rng, 2 + level), nonzero(rng, 2 + level)]
        rest, steps = list(p), []
        for i in range(len(p) - 2):
            lead = rest[i]
            steps.append(
                f"{rest[i + 1]}-{bracket(lead)}*{bracket(d[1])}={rest[i + 1] - lead * d[1]}, "
                f"{rest[i + 2]}-{bracket(lead)}*{bracket(d[2])}={rest[i + 2] - lead * d[2]}"
            )
            rest[i + 1] -= lead * d[1]
            rest[i + 2] -= lead * d[2]
        answer = poly(rest[-2:])
        if 0 in rest[-2:]:
            return None
    question = rng.choice(
        (
            f"What is the remainder when ${poly(p)}$ is divided by ${poly(d)}$?",
            f"Find the remainder of the division of ${poly(p)}$ by ${poly(d)}$.",
            f"Divide ${poly(p)}$ by ${poly(d)}$. What remains?",
        )
    )
    return draft([*p, 0, *d], question, answer, *steps)


def polynomial_quotient(rng: random.Random, level: int) -> Draft | None:
    """The quotient of an exact division, by a quadratic from level 4: a polynomial."""
    d = [1, *(nonzero(rng, 3 + level) for _ in range(1 if level < 4 else 2))]
    q = [
        rng.randint(1, 1 + level),
        *(nonzero(rng, 3 + level) for _ in range(1 if level == 1 else 2 if level < 5 else 3)),
    ]
    p = [0] * (len(d) + len(q) - 1)
    for i, one in enumerate(d):
        for j, two in enumerate(q):
            p[i + j] += one * two
    if 0 in p:
        return None
    question = rng.choice(
        (
            f"Divide ${poly(p)}$ by ${poly(d)}$.",
            f"What is the quotient when ${poly(p)}$ is divided by ${poly(d)}$?",
            f"Simplify $\\frac{{{poly(p)}}}{{{poly(d)}}}$ to a polynomial.",
        )
    )
    rest, steps = list(p), []
    for i in range(len(q)):
        lines = [
            f"{rest[i + j]}-{bracket(rest[i])}*{bracket(d[j])}={rest[i + j] - rest[i] * d[j]}" for j in range(1, len(d))
        ]
        steps.append(f"{poly([rest[i], *[0] * (len(q) - 1 - i)])}: " + ", ".join(lines))
        for j in range(1, len(d)):
            rest[i + j] -= rest[i] * d[j]
    return draft([*p, 0, *d], question, poly(q), *steps)


def series(rng: random.Random, level: int) -> Draft | None:
    """The sum of an infinite geometric series, from its first terms or, from level 4, of every second term."""
    below = rng.randint(2, 4 + 2 * level)
    above = rng.randint(1, below - 1)
    ratio = Fraction(above, below) * (rng.choice((1, -1)) if level > 2 else 1)
    first = Fraction(rng.randint(1, 6 + 4 * level), 1 if level == 1 else rng.randint(1, 3 + level))
    if gcd(above, below) > 1:
        return None
    terms = [first * ratio**k for k in range(3)]
    text = "".join(f"{'-' if term < 0 else '+'}{frac(abs(term))}" for term in terms).removeprefix("+") + "+\\cdots"
    steps = [quotient(terms[1], terms[0])]
    if level < 4:
        total, what = first / (1 - ratio), "sum"
        steps += [f"1-{bracket(ratio)}={plain(1 - ratio)}", quotient(first, 1 - ratio)]
    else:
        total, what = first / (1 - ratio**2), "sum of the first, third, fifth, ... terms"
        steps += [f"{bracket(ratio)}^2={plain(ratio**2)}", f"1-{bracket(ratio**2)}={plain(1 - ratio**2)}"]
        steps.append(quotient(first, 1 - ratio**2))
    question = rng.choice(
        (
            f"Find the {what} of the infinite geometric series ${text}$.",
            f"What is the {what} of the geometric series ${text}$, which has infinitely many terms?",
            f"The infinite series ${text}$ is geometric. Compute the {what}.",
        )
    )
    return draft([what, plain(first), plain(ratio)], question, frac(total), *steps)


def logarithm(rng: random.Random, level: int) -> Draft | None:
    """Logarithms of powers to bases that are powers; sums of two from level 3."""
    total, texts, steps = Fraction(0), [], []
    params = []
    for _ in range(1 if level < 3 else 2):
        b = rng.choice((2, 3, 5, 6, 7, 10) if level < 5 else (2, 3, 5))
        m, n = (
            rng.randint(1, 3 if b < 5 else 2),
            rng.randint(1, 9 if b == 2 else 4) * (rng.choice((1, -1)) if level > 1 else 1),
        )
        if m == n:
            return None
        value = Fraction(n, m)
        texts.append(f"\\log_{{{b**m}}} {frac(Fraction(b) ** n)}")
        steps += [f"{b}^{m}={b**m}, {b}^{abs(n)}={b ** abs(n)}", quotient(n, m)]
        params.append((b, m, n))
        total += value
    if len(texts) == 2:
        if params[0] == params[1]:
            return None
        steps.append(
            f"{plain(Fraction(params[0][2], params[0][1]))}"
            f"+{bracket(Fraction(params[1][2], params[1][1]))}={plain(total)}"
        )
    text = " + ".join(texts)
    question = rng.choice((f"Evaluate ${text}$.", f"What is the value of ${text}$?", f"Compute ${text}$."))
    return draft([part for triple in sorted(params) for part in triple], question, frac(total), *steps)


def partial_fractions(rng: random.Random, level: int) -> Draft | None:
    """The two numerators of a decomposition: a pair."""
    r, s = sorted(nonzero(rng, 4 + 2 * level) for _ in range(2))
    if r == s:
        return None
    if level < 3:
        a, b = nonzero(rng, 3 + 2 * level), nonzero(rng, 3 + 2 * level)
        p, q = a + b, -(a * s + b * r)
        one, two = Fraction(a), Fraction(b)
    else:
        p, q = nonzero(rng, 3 + 2 * level), nonzero(rng, 3 + 2 * level)
        one, two = Fraction(p * r + q, r - s), Fraction(p * s + q, s - r)
    if 0 in (p, q, one, two):
        return None
    factors = f"({poly([1, -r])})({poly([1, -s])})"
    whole = f"\\frac{{{poly([p, q])}}}{{{factors if level % 2 else poly([1, -r - s, r * s])}}}"
    parts = f"\\frac{{A}}{{{poly([1, -r])}}}+\\frac{{B}}{{{poly([1, -s])}}}"
    question = rng.choice(
        (
            f"Find the ordered pair $(A,B)$ for which ${whole}={parts}$ for all $x$ where both sides are defined.",
            f"Constants $A$ and $B$ satisfy ${whole}={parts}$. What is $(A,B)$?",
            f"If ${whole}={parts}$, what is the ordered pair $(A,B)$?",
        )
    )
    steps = [f"{p}*{bracket(r)}{q:+d}={p * r + q}, {r}-{bracket(s)}={r - s}", quotient(p * r + q, r - s)]
    steps += [f"{p}*{bracket(s)}{q:+d}={p * s + q}, {s}-{bracket(r)}={s - r}", quotient(p * s + q, s - r)]
    return draft([p, q, r, s], question, brackets(frac(one), frac(two)), *steps)


def quadratic_inequality(rng: random.Random, level: int) -> Draft | None:
    """Where a quadratic has a sign: an interval, or two."""
    high = 4 + 3 * level
    p, q = (1, 1) if level < 3 else (rng.randint(1, level), rng.randint(1, level))
    one, two = sorted((Fraction(nonzero(rng, high), p), Fraction(nonzero(rng, high), q)))
    if one == two:
        return None
    a = one.denominator * two.denominator
    coefficients = [a, int(-a * (one + two)), int(a * one * two)]
    if 0 in coefficients:
        return None
    sign = rng.choice(("<", ">") if level == 1 else ("<", ">", "\\le", "\\ge"))
    closed = sign in ("\\le", "\\ge")
    if sign in ("<", "\\le"):
        answer = interval(one, two, closed=(closed, closed))
    else:
        answer = f"{interval(None, one, closed=(False, closed))} \\cup {interval(two, None, closed=(closed, False))}"
    text = f"{poly(coefficients)} {sign} 0"
    question = rng.choice(
        (
            f"Solve ${text}$. Express your answer in interval notation.",
            f"For which real values of $x$ is ${text}$? Answer in interval notation.",
            f"Find all real $x$ with ${text}$, in interval notation.",
        )
    )
    b, c = coefficients[1:]
    side = isqrt(b * b - 4 * a * c)
    steps = [f"{bracket(b)}^2-4*{a}*{bracket(c)}={side * side}", f"{side}*{side}={side * side}"]
    steps += [f"({-b}-{side})/{2 * a}={plain(one)}", f"({-b}+{side})/{2 * a}={plain(two)}"]
    return draft([sign, *coefficients], question, answer, *steps)


def cubic_roots(rng: random.Random, level: int) -> Draft | None:
    """Symmetric functions of the roots of a cubic, by Vieta's formulas."""
    a, b, c, d = (1 if level < 3 else rng.randint(2, 1 + level)), *(nonzero(rng, 4 + 3 * level) for _ in range(3))
    if level % 2:
        wanted = "\\frac{1}{r}+\\frac{1}{s}+\\frac{1}{t}"
        value = Fraction(-c, d)
        steps = [f"rs+st+tr={plain(Fraction(c, a))}, rst={plain(Fraction(-d, a))}"]
        steps.append(quotient(Fraction(c, a), Fraction(-d, a)))
    else:
        wanted = "r^2+s^2+t^2"
        total, pairs = Fraction(-b, a), Fraction(c, a)
        value = total**2 - 2 * pairs
        steps = [
            f"r+s+t={plain(total)}, rs+st+tr={plain(pairs)}",
            f"{bracket(total)}^2-2*{bracket(pairs)}={plain(value)}",
        ]
    text = poly([a, b, c, d])
    question = rng.choice(
        (
            f"Let $r$, $s$ and $t$ be the complex roots of ${text}$. Find ${wanted}$.",
            f"The polynomial ${text}$ has the complex roots $r$, $s$, $t$. What is ${wanted}$?",
            f"If $r$, $s$ and $t$ are the complex solutions of ${text}=0$, what is the value of ${wanted}$?",
        )
    )
    return draft([wanted, a, b, c, d], question, frac(value), *steps)


FAMILIES = tuple(
    Family(make.__name__, "Intermediate Algebra", make)
    for make in (
        complex_value,
        quadratic_formula,
        polynomial_remainder,
        polynomial_quotient,
        series,
        logarithm,
        partial_fractions,
        quadratic_inequality,
        cubic_roots,
    )
)
