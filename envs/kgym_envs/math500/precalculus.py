"""Precalculus: matrices, determinants, vectors, exact values of the trigonometric functions, polar coordinates."""

import random
from fractions import Fraction

from kgym.envs.generated import Draft, Family
from kgym_envs.math500.latex import (
    bracket,
    brackets,
    column,
    draft,
    frac,
    matrix,
    plain,
    plain_sum,
    quotient,
    root,
    split_root,
    times,
)

SINES = {0: (0, 1), 30: (1, 1), 45: (1, 2), 60: (1, 3), 90: (2, 1), 120: (1, 3), 135: (1, 2), 150: (1, 1), 180: (0, 1)}
"""Angle in degrees: (c, r) for a sine of c sqrt(r) / 2."""


def sine(degrees: int) -> tuple[int, int]:
    """Return (c, r) for a sine of c sqrt(r) / 2."""
    degrees %= 360
    c, r = SINES[degrees if degrees <= 180 else degrees - 180]
    return (c if degrees <= 180 else -c), r


def nonzero(rng: random.Random, high: int) -> int:
    """Return an integer from -high to high that is not 0."""
    return rng.choice((-1, 1)) * rng.randint(1, high)


def matrix_product(rng: random.Random, level: int) -> Draft | None:
    """Products of two-by-two matrices, or of a matrix and a column; powers at level 5."""
    high = 3 + 2 * level
    a, b, c, d, e, f, g, h = (rng.randint(-high, high) for _ in range(8))
    if level == 1:
        left, right = [[a, b], [c, d]], [[e], [f]]
    elif level < 5:
        left, right = [[a, b], [c, d]], [[e, f], [g, h]]
    else:
        left = right = [[a, b], [c, d]]
    out = [[sum(x * row[j] for x, row in zip(line, right, strict=True)) for j in range(len(right[0]))] for line in left]
    steps = [
        "+".join(f"{bracket(x)}*{bracket(row[j])}" for x, row in zip(line, right, strict=True)) + f"={out[i][j]}"
        for i, line in enumerate(left)
        for j in range(len(right[0]))
    ]
    text = f"{matrix(left)}^2" if level == 5 else f"{matrix(left)} {matrix(right)}"
    question = rng.choice((f"Compute ${text}$.", f"Find the matrix ${text}$.", f"Write ${text}$ as a single matrix."))
    params = [part for line in (*left, *right) for part in line]
    return draft(params, question, matrix(out), *steps)


def matrix_inverse(rng: random.Random, level: int) -> Draft | None:
    """The inverse of a two-by-two matrix, with fractions from level 2."""
    high = 2 + 2 * level
    a, b, c, d = (nonzero(rng, high) for _ in range(4))
    det = a * d - b * c
    if det == 0 or (abs(det) == 1) != (level == 1):
        return None
    rows = [[Fraction(d, det), Fraction(-b, det)], [Fraction(-c, det), Fraction(a, det)]]
    text = matrix([[a, b], [c, d]])
    question = rng.choice(
        (f"Find the inverse of the matrix ${text}$.", f"What is ${text}^{{-1}}$?", f"Compute ${text}^{{-1}}$.")
    )
    steps = [f"{a}*{bracket(d)}-{bracket(b)}*{bracket(c)}={det}"]
    steps.append(", ".join(quotient(value, det) for value in (d, -b, -c, a)))
    return draft([a, b, c, d], question, matrix(rows), *steps)


def determinant(rng: random.Random, level: int) -> Draft | None:
    """Determinants of two-by-two matrices, of three-by-three from level 3."""
    high = 4 + 3 * level if level < 3 else 1 + level
    n = 2 if level < 3 else 3
    rows = [[rng.randint(-high, high) for _ in range(n)] for _ in range(n)]
    if n == 2:
        (a, b), (c, d) = rows
        value = a * d - b * c
        steps = [f"{bracket(a)}*{bracket(d)}-{bracket(b)}*{bracket(c)}={value}"]
    else:
        (a, b, c), (d, e, f), (g, h, i) = rows
        minors = [e * i - f * h, d * i - f * g, d * h - e * g]
        steps = [
            f"{bracket(p)}*{bracket(q)}-{bracket(r)}*{bracket(s)}={m}"
            for (p, q, r, s), m in zip(((e, i, f, h), (d, i, f, g), (d, h, e, g)), minors, strict=True)
        ]
        value = a * minors[0] - b * minors[1] + c * minors[2]
        steps.append(
            f"{bracket(a)}*{bracket(minors[0])}-{bracket(b)}*{bracket(minors[1])}"
            f"+{bracket(c)}*{bracket(minors[2])}={value}"
        )
    if value == 0:
        return None
    text = matrix(rows).replace("pmatrix", "vmatrix")
    question = rng.choice(
        (f"Compute ${text}$.", f"Evaluate the determinant ${text}$.", f"What is the value of the determinant ${text}$?")
    )
    return draft([part for row in rows for part in row], question, value, *steps)


def trig_value(rng: random.Random, level: int) -> Draft | None:
    """Exact values: a multiple of a sine or cosine, of a product of two from level 3; angles beyond a turn from
    level 4.
    """
    k = rng.randint(2, 12)
    turns = 360 if level < 4 else 1080
    angles = [
        rng.choice([a for a in range(0, turns, 15) if a % 30 == 0 or a % 45 == 0]) for _ in range(1 if level < 3 else 2)
    ]
    names = [rng.choice(("sin", "cos")) for _ in angles]
    if level == 1 and angles[0] > 180:
        return None
    value, inside = Fraction(k), 1
    steps, texts, factors = [], [], []
    for name, a in zip(names, angles, strict=True):
        c, r = sine(a if name == "sin" else a + 90)
        steps += [f"{a} mod 360={a % 360}"] if a >= 360 else []
        steps.append(f"{name}({a % 360})={surd_text(c, r)}")
        factors.append(f"({surd_text(c, r)})")
        value, inside = value * c / 2, inside * r
        texts.append(f"\\{name} {a}^\\circ")
    if value == 0:
        return None
    steps.append("*".join([str(k), *factors]) + f"={surd_text(2 * value, inside)}")
    text = f"{k} " + " ".join(texts)
    question = rng.choice(
        (f"Compute ${text}$.", f"What is the exact value of ${text}$?", f"Evaluate ${text}$ without a calculator.")
    )
    return draft(
        [k, *(part for pair in sorted(zip(names, angles, strict=True)) for part in pair)],
        question,
        root(value, inside),
        *steps,
    )


def surd_text(halves: Fraction | int, radicand: int) -> str:
    """Write halves * sqrt(radicand) / 2 for the working: `3*sqrt(2)/2`."""
    c, r = split_root(radicand)
    value = c * Fraction(halves) / 2
    return plain(value) if r == 1 or value == 0 else f"{bracket(value)}*sqrt({r})"


def tangent_sum(rng: random.Random, level: int) -> Draft | None:
    """The tangent of a sum or difference of angles, of a double angle at level 1."""
    high = 3 + 2 * level
    s, t = Fraction(nonzero(rng, 4 * high), rng.randint(1, high)), Fraction(rng.randint(1, high), rng.randint(1, high))
    if level == 1:
        if abs(s) == 1:
            return None
        value, asked, given = 2 * s / (1 - s * s), "\\tan 2a", f"$\\tan a={frac(s)}$"
        steps = [f"2*{bracket(s)}={plain(2 * s)}, 1-{bracket(s)}^2={plain(1 - s * s)}"]
        steps.append(quotient(2 * s, 1 - s * s))
        params = [plain(s)]
    else:
        minus = level % 2 == 1
        u = -t if minus else t
        if s * u == 1 or s == -u:
            return None
        value = (s + u) / (1 - s * u)
        asked, given = f"\\tan(a{'-' if minus else '+'}b)", f"$\\tan a={frac(s)}$ and $\\tan b={frac(t)}$"
        steps = [f"{plain_sum([s, u])}={plain(s + u)}", f"1-{bracket(s)}*{bracket(u)}={plain(1 - s * u)}"]
        steps.append(quotient(s + u, 1 - s * u))
        params = [asked, *((plain(s), plain(t)) if minus else sorted((plain(s), plain(t))))]
    question = rng.choice(
        (f"If {given}, what is ${asked}$?", f"Given that {given}, find ${asked}$.", f"Let {given}. Compute ${asked}$.")
    )
    return draft(params, question, frac(value), *steps)


def cross_product(rng: random.Random, level: int) -> Draft | None:
    """The cross product of two vectors: a column."""
    high = 2 + 2 * level
    u, v = [rng.randint(-high, high) for _ in range(3)], [rng.randint(-high, high) for _ in range(3)]
    out = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
    if not any(out):
        return None
    question = rng.choice(
        (
            f"Compute the cross product ${column(u)} \\times {column(v)}$.",
            f"Find ${column(u)} \\times {column(v)}$.",
            f"What is the cross product of ${column(u)}$ and ${column(v)}$, in this order?",
        )
    )
    steps = [
        f"{bracket(u[i])}*{bracket(v[j])}-{bracket(u[j])}*{bracket(v[i])}={value}"
        for (i, j), value in zip(((1, 2), (2, 0), (0, 1)), out, strict=True)
    ]
    return draft([*u, *v], question, column(out), *steps)


def projection(rng: random.Random, level: int) -> Draft | None:
    """The projection of one vector onto another, in the plane, in space from level 4: a column of fractions."""
    n, high = (2 if level < 4 else 3), 2 + level
    u, v = [nonzero(rng, high) for _ in range(n)], [nonzero(rng, high) for _ in range(n)]
    dot, square = sum(x * y for x, y in zip(u, v, strict=True)), sum(y * y for y in v)
    if dot == 0:
        return None
    factor = Fraction(dot, square)
    question = rng.choice(
        (
            f"Find the projection of ${column(u)}$ onto ${column(v)}$.",
            f"What is the vector projection of ${column(u)}$ onto ${column(v)}$?",
            f"Project the vector ${column(u)}$ onto the vector ${column(v)}$.",
        )
    )
    steps = ["+".join(f"{bracket(x)}*{bracket(y)}" for x, y in zip(u, v, strict=True)) + f"={dot}"]
    steps += ["+".join(f"{bracket(y)}^2" for y in v) + f"={square}", quotient(dot, square)]
    steps.append(", ".join(f"{bracket(factor)}*{bracket(y)}={plain(factor * y)}" for y in v))
    return draft([*u, 0, *v], question, column([factor * y for y in v]), *steps)


def polar(rng: random.Random, level: int) -> Draft | None:
    r"""Polar to rectangular coordinates, from level 3 the other way: pairs with roots, or with multiples of \pi."""
    r = rng.randint(2, 10 + 10 * level)
    a = rng.choice([a for a in range(0, 360, 15) if (a % 30 == 0 or a % 45 == 0) and (a % 90 or level == 1)])
    (cc, cr), (sc, sr) = sine(a + 90), sine(a)
    x, y = root(Fraction(r * cc, 2), cr), root(Fraction(r * sc, 2), sr)
    theta = times(Fraction(a, 180), "\\pi")
    steps = [f"cos({a})={surd_text(cc, cr)}, sin({a})={surd_text(sc, sr)}"]
    steps.append(
        f"x={r}*({surd_text(cc, cr)})={surd_text(r * cc, cr)}, y={r}*({surd_text(sc, sr)})={surd_text(r * sc, sr)}"
    )
    if level < 3:
        texts = (
            f"Convert the point $(r,\\theta)={brackets(str(r), theta)}$ from polar to rectangular coordinates. Enter "
            "$(x,y)$.",
            "What are the rectangular coordinates $(x,y)$ of the point with polar coordinates "
            f"${brackets(str(r), theta)}$?",
            f"A point has the polar coordinates ${brackets(str(r), theta)}$. Find its rectangular coordinates as an "
            "ordered pair.",
        )
        answer = brackets(x, y)
    else:
        texts = (
            f"Convert the point ${brackets(x, y)}$ to polar coordinates $(r,\\theta)$ with $r>0$ and $0 \\le \\theta < "
            "2\\pi$.",
            "Find the polar coordinates $(r,\\theta)$, where $r>0$ and $0 \\le \\theta < 2\\pi$, of the point "
            f"${brackets(x, y)}$.",
            f"What is ${brackets(x, y)}$ in polar coordinates? Enter $(r,\\theta)$ with $r>0$ and $0 \\le \\theta < "
            "2\\pi$.",
        )
        answer = brackets(str(r), theta)
        steps.append(f"{a}/180={plain(Fraction(a, 180))}")
    return draft([level > 2, r, a], rng.choice(texts), answer, *steps)


FAMILIES = tuple(
    Family(make.__name__, "Precalculus", make)
    for make in (matrix_product, matrix_inverse, determinant, trig_value, tangent_sum, cross_product, projection, polar)
)
