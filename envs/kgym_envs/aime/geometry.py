"""Coordinate geometry: squared distances, areas by the shoelace formula, lattice points by Pick's theorem."""

import random
from itertools import pairwise
from math import gcd

from kgym.envs.generated import Draft, Family
from kgym_envs.aime.working import draft, euclid, product, total

Point = tuple[int, ...]


def _show(point: Point) -> str:
    return "(" + ",".join(map(str, point)) + ")"


def _list(points: list[Point]) -> str:
    return ", ".join(map(_show, points[:-1])) + f" and {_show(points[-1])}"


def _apart(a: int, b: int) -> tuple[int, str]:
    """Return the distance of two coordinates and its line."""
    return abs(a - b), f"{max(a, b)}-{min(a, b)}={abs(a - b)}"


def distance(rng: random.Random, level: int) -> Draft | None:
    """Square of a distance in the plane, in space from level 3; sums of such squares to 2, 3 and 4 points from
    levels 5, 7 and 9.
    """
    axes, others = 2 if level < 3 else 3, 1 if level < 5 else 2 if level < 7 else 3 if level < 9 else 4
    high = (14, 40, 20, 30, 20, 25, 20, 25, 20, 25)[level - 1]
    centre, *points = (tuple(rng.randint(0, high) for _ in range(axes)) for _ in range(others + 1))
    steps, squares = [], []
    for point in points:
        sides = [_apart(a, b) for a, b in zip(centre, point, strict=True)]
        steps.append(", ".join(line for _, line in sides))
        for side, _ in sides:
            steps += product(side, side)
        steps.append(total(side * side for side, _ in sides))
        squares.append(sum(side * side for side, _ in sides))
    steps += [total(squares)] if others > 1 else []
    if level == 1 and sum(squares) < 5:
        return None
    if others == 1:
        question = rng.choice(
            (
                f"Find the square of the distance from {_show(centre)} to {_show(points[0])}.",
                f"Let $A={_show(centre)}$ and $B={_show(points[0])}$. Find $AB^2$.",
                f"The distance of {_show(centre)} and {_show(points[0])} is d. What is d^2?",
            )
        )
        return draft(("one", *(x for point in sorted([centre, points[0]]) for x in point)), question, squares[0], steps)
    question = rng.choice(
        (
            f"Find the sum of the squared distances from {_show(centre)} to {_list(points)}.",
            f"P is {_show(centre)}. Add up the squares of its distances to {_list(points)}.",
            f"What is the sum of squares of the distances from {_show(centre)} to {_list(points)}?",
        )
    )
    return draft(("sum", *centre, *(x for point in sorted(points) for x in point)), question, sum(squares), steps)


def _convex(points: list[Point]) -> list[Point] | None:
    """Put points in counter-clockwise order; None unless they are the corners of a strictly convex polygon."""
    first, rest = min(points), sorted(points)[1:]
    # Around the leftmost corner the others lie in the order of their slopes; equal slopes are refused by the test
    # below.
    rest.sort(key=lambda p: (p[1] - first[1]) / (p[0] - first[0]) if p[0] > first[0] else float("inf"))
    ring = [first, *rest]
    for a, b, c in zip(ring, ring[1:] + ring[:1], ring[2:] + ring[:2], strict=True):
        if (b[0] - a[0]) * (c[1] - b[1]) <= (b[1] - a[1]) * (c[0] - b[0]):
            return None
    return ring


def _shoelace(ring: list[Point]) -> tuple[int, list[str]]:
    """Return twice the area of a counter-clockwise polygon and the lines of the shoelace formula."""
    steps, halves = [], []
    for i, j in ((0, 1), (1, 0)):
        products = []
        for a, b in pairwise([*ring, ring[0]]):
            steps += product(a[i], b[j])
            products.append(a[i] * b[j])
        steps.append(total(products))
        halves.append(sum(products))
    return halves[0] - halves[1], [*steps, f"{halves[0]}-{halves[1]}={halves[0] - halves[1]}"]


def area(rng: random.Random, level: int) -> Draft | None:
    """A triangle with a level base, with a corner at the origin from level 3, any from level 5; 4 corners from level
    7, 5 from level 9.
    """
    high = (20, 40, 15, 30, 20, 40, 25, 40, 30, 45)[level - 1]
    if level < 3:
        y = 0 if level == 1 else rng.randint(0, 20)
        left, right, apex, up = rng.randint(0, 5), rng.randint(6, high), rng.randint(0, high), rng.randint(2, high)
        ring: list[Point] = [(left, y), (right, y), (apex, y + up)]
        base = right - left
        steps = [f"{right}-{left}={base}"] + ([f"{y + up}-{y}={up}"] if y else []) + product(base, up)
        double = base * up
    elif level < 5:
        a, b, c, d = (rng.randint(1, high) for _ in range(4))
        double = a * d - b * c
        ring = [(0, 0), (a, b), (c, d)]
        steps = [*product(a, d), *product(b, c), f"{a * d}-{b * c}={double}"]
    else:
        corners = 3 if level < 7 else 4 if level < 9 else 5
        drawn = _convex([(rng.randint(0, high), rng.randint(0, high)) for _ in range(corners)])
        if drawn is None:
            return None
        ring = drawn
        double, steps = _shoelace(ring)
    if double <= 0 or double % 2:
        return None
    shape = {3: "triangle", 4: "quadrilateral", 5: "pentagon"}[len(ring)]
    question = rng.choice(
        (
            f"Find the area of the {shape} {_list(ring)}.",
            f"A {shape} has vertices {_list(ring)}. What is its area?",
            f"What area has the {shape} with corners {_list(ring)}?",
        )
    )
    return draft(
        tuple(x for point in sorted(ring) for x in point), question, double // 2, [*steps, f"{double}/2={double // 2}"]
    )


def lattice(rng: random.Random, level: int) -> Draft | None:
    """Lattice points on a segment, on the sides of a triangle from level 4, inside it from level 7."""
    high = (40, 90, 300, 40, 80, 200, 15, 20, 25, 30)[level - 1]
    if level < 4:
        common = rng.randint(2, 5 + 5 * level)
        a, b = rng.randint(0, 20), rng.randint(0, high)
        c, d = a + common * rng.randint(1, high // common), b + common * rng.randint(-high // common, high // common)
        if d < 0:
            return None
        (dx, across), (dy, along) = _apart(a, c), _apart(b, d)
        common = gcd(dx, dy)
        if dy == 0 or len(euclid(dx, dy)) > 1 + 2 * level:
            return None
        steps = [f"{across}, {along}", *euclid(dx, dy), f"{common}+1={common + 1}"]
        question = rng.choice(
            (
                f"How many lattice points lie on the segment from {_show((a, b))} to {_show((c, d))}?",
                f"Count the integer points on the segment {_show((a, b))}-{_show((c, d))}, ends included.",
                f"The segment {_show((a, b))} to {_show((c, d))}, ends included, holds how many lattice points?",
            )
        )
        return draft(("segment", a, b, c, d), question, common + 1, steps)
    corners: list[Point] = [(rng.randint(0, high), rng.randint(0, high))]
    for _ in range(
        2
    ):  # sides that are multiples of something: with corners at random most hold no points but their ends
        common = rng.randint(1, 12 if level < 7 else 4)
        corners.append(tuple(x + common * rng.randint(-high // common, high // common) for x in corners[0]))
    ring = _convex(corners)
    if ring is None or min(map(min, ring)) < 0:
        return None
    steps, sides = [], []
    for p, q in pairwise([*ring, ring[0]]):
        (dx, across), (dy, along) = _apart(p[0], q[0]), _apart(p[1], q[1])
        if 0 in (dx, dy):
            return None
        sides.append(gcd(dx, dy))
        steps += [f"{across}, {along}", *euclid(dx, dy)]
    rim = sum(sides)
    steps.append(total(sides))
    where, answer = "on the sides of", rim
    if level >= 7:
        double, lines = _shoelace(ring)
        where, answer = "strictly inside", (double - rim + 2) // 2
        steps += [*lines, f"{double}-{rim}+2={double - rim + 2}", f"{double - rim + 2}/2={answer}"]
    question = rng.choice(
        (
            f"How many lattice points lie {where} the triangle {_list(ring)}?",
            f"Count the integer points {where} the triangle with corners {_list(ring)}.",
            f"A triangle has vertices {_list(ring)}. How many lattice points are {where} it?",
        )
    )
    return draft((where, *(x for point in sorted(ring) for x in point)), question, answer, steps)


FAMILIES = (
    Family("distance", "coordinate geometry", distance),
    Family("area", "coordinate geometry", area),
    Family("lattice", "coordinate geometry", lattice),
)
