"""Geometry: right triangles, circles, areas, volumes, angles, similarity, chords."""

import random
from fractions import Fraction
from math import gcd, isqrt

from kgym.envs.generated import Draft, Family
from kgym_envs.math500.latex import bracket, draft, frac, plain, plain_sum, quotient, root, split_root, times

SHAPES = {5: "pentagon", 6: "hexagon", 7: "heptagon", 8: "octagon", 9: "nonagon", 10: "decagon", 12: "dodecagon"}
PI = "\\pi"


def right_triangle(rng: random.Random, level: int) -> Draft | None:
    """A side of a right triangle from the other two; the diagonal of a box from level 4. Answers are simplified
    roots.
    """
    params: list[str | int]
    high = 6 + 5 * level
    a, b, c = sorted(rng.randint(2, high) for _ in range(3))
    if level < 4:
        leg = rng.random() < 0.5
        if leg and b == c:
            return None
        square = c * c - b * b if leg else b * b + c * c
        if leg:
            given = f"the hypotenuse of a right triangle is ${c}$ and one leg is ${b}$"
            asked, steps = "the length of the other leg", [f"{c}^2-{b}^2={square}"]
        else:
            given = f"the legs of a right triangle are ${b}$ and ${c}$"
            asked, steps = "the length of its hypotenuse", [f"{b}^2+{c}^2={square}"]
        params = [asked, b, c]
    else:
        square = a * a + b * b + c * c
        given, asked = f"a rectangular box measures ${a}$ by ${b}$ by ${c}$", "the length of the diagonal of the box"
        steps, params = [f"{a}^2+{b}^2+{c}^2={square}"], ["box", a, b, c]
    if isqrt(square) ** 2 == square and level > 1:
        return None
    out, inside = split_root(square)
    steps += [f"{out}^2*{inside}={square}"] if out > 1 else []
    question = rng.choice(
        (
            f"Suppose {given}. What is {asked}? Give it in simplest radical form.",
            f"If {given}, find {asked} in simplest radical form.",
            f"Find {asked}, given that {given}.",
        )
    )
    return draft(params, question, root(1, square), *steps)


def sector(rng: random.Random, level: int) -> Draft | None:
    """Area of a circle from its circumference; of a sector or its arc from level 2; of a ring's sector at level 5.
    Multiples of pi.
    """
    params: list[str | int]
    r = rng.randint(2, 12 + 10 * level)
    degrees = 5 * rng.randint(3, 60)
    share = Fraction(degrees, 360)
    if level == 1:
        around = rng.randint(3, 150)
        given, asked = f"a circle has a circumference of ${around}\\pi$", "area of the circle"
        value = Fraction(around**2, 4)
        steps, params = [quotient(around, 2), f"({around}/2)^2={plain(value)}"], ["circle", around]
    elif level in (2, 3):
        given, asked = (
            f"a sector of a circle of radius ${r}$ has a central angle of ${degrees}^\\circ$",
            "length of its arc",
        )
        value, steps = 2 * r * share, [quotient(degrees, 360), f"2*{r}*{degrees}/360={plain(2 * r * share)}"]
        params = ["arc", r, degrees]
    elif level == 4:
        given, asked = (
            f"a sector of a circle of radius ${r}$ has a central angle of ${degrees}^\\circ$",
            "area of the sector",
        )
        value, steps = r * r * share, [quotient(degrees, 360), f"{r}^2*{degrees}/360={plain(r * r * share)}"]
        params = ["area", r, degrees]
    else:
        s = r + rng.randint(1, 9)
        given = (
            f"two circles with the same centre have radii ${r}$ and ${s}$, and an angle of ${degrees}^\\circ$ at "
            f"the centre is drawn"
        )
        asked = "area of the part of the ring between the circles that lies inside the angle"
        value = (s * s - r * r) * share
        steps = [
            f"{s}^2-{r}^2={s * s - r * r}",
            quotient(degrees, 360),
            f"{s * s - r * r}*{degrees}/360={plain(value)}",
        ]
        params = ["ring", r, s, degrees]
    question = rng.choice(
        (
            f"Suppose {given}. What is the {asked}? Express your answer in terms of $\\pi$.",
            f"If {given}, find the {asked} in terms of $\\pi$.",
            f"Find the {asked}, in terms of $\\pi$, given that {given}.",
        )
    )
    return draft(params, question, times(value, PI), *steps)


def area(rng: random.Random, level: int) -> Draft | None:
    """Area of a triangle by its corners; of a quadrilateral from level 4."""
    n, high = (3, 3 + 3 * level) if level < 4 else (4, 2 + 2 * level)
    corners = [(rng.randint(-high, high), rng.randint(-high, high)) for _ in range(n)]
    if level == 1:
        corners[0] = (0, 0)
    turns = []
    for i in range(n):
        (x1, y1), (x2, y2), (x3, y3) = corners[i], corners[(i + 1) % n], corners[(i + 2) % n]
        turns.append((x2 - x1) * (y3 - y1) - (x3 - x1) * (y2 - y1))
    if min(turns) <= 0 < max(turns) or 0 in turns:
        return None  # no triangle, or no convex quadrilateral
    terms = [x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True)]
    listed = ", ".join(f"$({x},{y})$" for x, y in corners[:-1]) + f" and $({corners[-1][0]},{corners[-1][1]})$"
    name = {3: "triangle", 4: "quadrilateral"}[n]
    question = rng.choice(
        (
            f"What is the area of the {name} with vertices {listed}?",
            f"Find the area of the {name} whose corners are, in order, {listed}.",
            f"The corners of a {name}, in order, are {listed}. What is its area?",
        )
    )
    steps = [
        f"{x1}*{bracket(y2)}-{bracket(x2)}*{bracket(y1)}={term}"
        for (x1, y1), (x2, y2), term in zip(corners, [*corners[1:], corners[0]], terms, strict=True)
    ]
    total = sum(terms)
    steps += [f"{plain_sum(terms)}={total}", quotient(abs(total), 2)]
    return draft(
        [part for corner in sorted(corners) for part in corner], question, frac(Fraction(abs(total), 2)), *steps
    )


def volume(rng: random.Random, level: int) -> Draft | None:
    """Cylinder, cone, sphere, a cylinder with half a ball on top: multiples of pi."""
    r, h = rng.randint(2, 9 + 2 * level), rng.randint(2, 9 + 3 * level)
    if level == 1:
        given, value = f"a cylinder with radius ${r}$ and height ${h}$", Fraction(r * r * h)
        steps = [f"{r}^2*{h}={r * r * h}"]
    elif level == 2:
        given, value = f"a cone with base radius ${r}$ and height ${h}$", Fraction(r * r * h, 3)
        steps = [f"{r}^2*{h}={r * r * h}", quotient(r * r * h, 3)]
    elif level == 3:
        given, value = f"a cylinder with diameter ${r}$ and height ${h}$", Fraction(r * r * h, 4)
        steps = [quotient(r, 2), f"{r}^2/4*{h}={plain(value)}"]
    elif level == 4:
        given = (
            f"a solid made of a cylinder with radius ${r}$ and height ${h}$ and half a ball of the same radius on "
            f"top of it"
        )
        value = r * r * h + Fraction(2 * r**3, 3)
        steps = [f"{r}^2*{h}={r * r * h}", f"2*{r}^3/3={plain(Fraction(2 * r**3, 3))}"]
        steps.append(f"{r * r * h}+{plain(Fraction(2 * r**3, 3))}={plain(value)}")
    else:
        s = r + rng.randint(1, 6)
        given = f"a truncated cone with radii ${r}$ and ${s}$ at its two ends and height ${h}$"
        value = Fraction(h * (r * r + r * s + s * s), 3)
        steps = [f"{r}^2+{r}*{s}+{s}^2={r * r + r * s + s * s}", f"{h}*{r * r + r * s + s * s}/3={plain(value)}"]
    question = rng.choice(
        (
            f"What is the volume of {given}? Express your answer in terms of $\\pi$.",
            f"Find, in terms of $\\pi$, the volume of {given}.",
            f"Consider {given}. In terms of $\\pi$, what is its volume?",
        )
    )
    return draft([given], question, times(value, PI), *steps)


def polygon(rng: random.Random, level: int) -> Draft | None:
    """The last interior angle of a polygon, or its equal angles: degrees."""
    n = rng.choice((5, 6) if level < 3 else (6, 7, 8) if level < 5 else (8, 9, 10, 12))
    equal = 1 if level in (1, 3) else rng.randint(2, n - 3)
    whole = 180 * (n - 2)
    given = sorted(rng.randint(whole // n - 30, min(175, whole // n + 30)) for _ in range(n - equal))
    left = whole - sum(given)
    if left % equal or not 20 <= left // equal < 180:
        return None
    value = left // equal
    said = ", ".join(f"${a}^\\circ$" for a in given[:-1]) + f" and ${given[-1]}^\\circ$"
    if equal == 1:
        texts = (
            f"All but one of the interior angles of a convex {SHAPES[n]} measure {said}. What is the measure of the "
            "last one?",
            f"In a convex {SHAPES[n]}, {n - 1} of the angles are {said}. Find the remaining angle.",
            f"How large is the last angle of a convex {SHAPES[n]} whose other angles are {said}?",
        )
    else:
        texts = (
            f"The interior angles of a convex {SHAPES[n]} measure {said}, and the other {equal} are equal. How large "
            "is each of these?",
            f"In a convex {SHAPES[n]}, {n - equal} angles are {said}, and the remaining {equal} have the same size. "
            "Find that size.",
            f"Find the size of the {equal} equal angles of a convex {SHAPES[n]} whose other angles are {said}.",
        )
    steps = [f"180*({n}-2)={whole}", f"{plain_sum(given)}={sum(given)}", f"{whole}-{sum(given)}={left}"]
    steps += [f"{left}/{equal}={value}"] if equal > 1 else []
    return draft([n, *given], rng.choice(texts), f"{value}^\\circ", *steps)


def similar(rng: random.Random, level: int) -> Draft | None:
    """Sides of similar triangles; areas from level 3, the side from the areas at level 5."""
    a, b, c = (rng.randint(2, 8 + 4 * level) for _ in range(3))
    if a == b:
        return None
    if level < 3:
        value = Fraction(b * c, a)
        given = f"$AB={a}$, $DE={b}$ and $BC={c}$"
        asked, steps = "length of $EF$", [quotient(b, a), f"{b}*{c}/{a}={plain(value)}"]
    elif level < 5:
        value = Fraction(c * b * b, a * a)
        given = f"$AB={a}$, $DE={b}$ and the area of $ABC$ is ${c}$"
        asked, steps = "area of $DEF$", [f"{b}^2={b * b}, {a}^2={a * a}", f"{b * b}*{c}/{a * a}={plain(value)}"]
    else:
        if gcd(a, b) > 1:
            return None
        value = Fraction(b * c, a)
        k = rng.randint(1, 4)
        given = f"the areas of $ABC$ and $DEF$ are ${k * a * a}$ and ${k * b * b}$, and $AB={c}$"
        asked = "length of $DE$"
        steps = [
            quotient(k * b * b, k * a * a),
            f"({b}/{a})^2={plain(Fraction(b * b, a * a))}",
            f"{b}*{c}/{a}={plain(value)}",
        ]
    question = rng.choice(
        (
            f"Triangle $ABC$ is similar to triangle $DEF$. Moreover, {given}. What is the {asked}?",
            f"Triangles $ABC$ and $DEF$ are similar, in this order of vertices: {given}. Find the {asked}.",
            f"What is the {asked}, if triangles $ABC$ and $DEF$ are similar and {given}?",
        )
    )
    return draft([given], question, frac(value), *steps)


def chord(rng: random.Random, level: int) -> Draft | None:
    """Chords and tangents of a circle: simplified roots."""
    r, d = rng.randint(3, 10 + 6 * level), rng.randint(1, 8 + 6 * level)
    if level % 2:
        if d >= r:
            return None
        square, many = r * r - d * d, 2
        given, asked = (
            f"a chord of a circle of radius ${r}$ is at a distance of ${d}$ from the centre",
            "length of the chord",
        )
        steps = [f"{r}^2-{d}^2={square}"]
    else:
        if d <= r:
            return None
        square, many = d * d - r * r, 1
        given = f"a point is at a distance of ${d}$ from the centre of a circle of radius ${r}$"
        asked, steps = "length of a tangent from the point to the circle", [f"{d}^2-{r}^2={square}"]
    if isqrt(square) ** 2 == square and level > 2:
        return None
    out, inside = split_root(square)
    steps += ([f"{out}^2*{inside}={square}"] if out > 1 else []) + ([f"{many}*{out}={many * out}"] if many > 1 else [])
    question = rng.choice(
        (
            f"Suppose {given}. What is the {asked}, in simplest radical form?",
            f"If {given}, find the {asked} in simplest radical form.",
            f"Find the {asked} in simplest radical form, given that {given}.",
        )
    )
    return draft([asked, r, d], question, root(many, square), *steps)


FAMILIES = tuple(
    Family(make.__name__, "Geometry", make) for make in (right_triangle, sector, area, volume, polygon, similar, chord)
)
