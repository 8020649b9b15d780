"""Counting: sums and products of choices, lattice paths, inclusion and exclusion."""

import random
from itertools import combinations
from math import comb, gcd, lcm

from kgym.envs.generated import Draft, Family
from kgym_envs.aime.working import choose, draft, floor_quotient, lcm_of, product, span, total

NOUNS = (
    ("soups", "rolls", "pies", "teas", "cakes", "nuts"),
    ("hats", "coats", "ties", "bags", "belts", "rings"),
    ("books", "films", "songs", "plays", "games", "poems"),
)
WORDS = {1: "one", 2: "two", 3: "three"}
# How many are taken of each kind: the kinds of an alternative are multiplied, the alternatives are added.
SHAPES = {
    1: ((1, 1), (1,)),
    2: ((1, 1), (1,)),
    3: ((1, 1), (1, 1)),
    4: ((1, 1), (1, 1)),
    5: ((1, 1, 1), (1, 1)),
    6: ((1, 1, 1), (1, 1)),
    7: ((2, 1), (1, 1)),
    8: ((2, 1), (2, 1)),
    9: ((2, 2), (2, 1)),
    10: ((3, 2), (2, 1), (1,)),
}


def choices(rng: random.Random, level: int) -> Draft | None:
    """So many of one kind and so many of another, or so many of a third."""
    high = {1: 12, 2: 30, 3: 20, 4: 30}.get(level, 15)
    alternatives = [[(take, rng.randint(take + 1, high)) for take in kinds] for kinds in SHAPES[level]]
    if level < 3:
        alternatives[1] = [(1, rng.randint(2, 60 * level))]
    nouns = iter(rng.choice(NOUNS))
    text = ", or ".join(
        " and ".join(f"{WORDS[take]} of {n} {next(nouns)}" for take, n in kinds) for kinds in alternatives
    )
    steps, counts = [], []
    for kinds in alternatives:
        count = 1
        for take, n in kinds:
            steps += choose(n, take) if take > 1 else []
            steps += product(count, comb(n, take)) if count > 1 else []
            count *= comb(n, take)
        counts.append(count)
    steps.append(total(counts))
    question = rng.choice(
        (
            f"Choose {text}. How many ways?",
            f"Ann takes {text}. How many choices?",
            f"In how many ways can we pick {text}?",
        )
    )
    params = ["; ".join(f"{take} of {n}" for take, n in sorted(kinds)) for kinds in alternatives]
    return draft(tuple(sorted(params)), question, sum(counts), steps)


def paths(rng: random.Random, level: int) -> Draft | None:
    """Shortest lattice paths: all of them, those through a point from level 4, those that avoid one from level 6,
    both from level 8.
    """
    legs = 1 if level < 4 else 2 if level < 8 else 3
    low, high = (1, 4) if level == 1 else (2, level + 3) if level < 4 else (1, span(level, 3, 6))
    points = [(rng.randint(0, 9 + 10 * level), rng.randint(0, 9 + 10 * level))]
    for _ in range(legs):
        points.append((points[-1][0] + rng.randint(low, high), points[-1][1] + rng.randint(low, high)))
    steps: list[str] = []

    def count(start: int, end: int) -> int:
        (x, y), (right, up) = points[start], points[end]
        dx, dy = right - x, up - y
        steps.append(f"{right}-{x}={dx}, {up}-{y}={dy}, {dx}+{dy}={dx + dy}")
        steps.extend(choose(dx + dy, dx))
        return comb(dx + dy, dx)

    texts = [f"({x},{y})" for x, y in points]
    if level < 4:
        answer, extra = count(0, 1), ""
    elif level < 6:
        a, b = count(0, 1), count(1, 2)
        steps += product(a, b)
        answer, extra = a * b, f" through {texts[1]}"
    elif level < 8:
        a, b, whole = count(0, 1), count(1, 2), count(0, 2)
        steps += [*product(a, b), f"{whole}-{a * b}={whole - a * b}"]
        answer, extra = whole - a * b, f" avoiding {texts[1]}"
    else:
        a, b, c, whole = count(0, 1), count(1, 2), count(2, 3), count(1, 3)
        steps += [*product(b, c), f"{whole}-{b * c}={whole - b * c}", *product(a, whole - b * c)]
        answer, extra = a * (whole - b * c), f" through {texts[1]} avoiding {texts[2]}"
    question = rng.choice(
        (
            f"How many paths of steps right or up go from {texts[0]} to {texts[-1]}{extra}?",
            f"Count the right-up paths from {texts[0]} to {texts[-1]}{extra}.",
            f"Moving 1 right or 1 up, how many ways lead from {texts[0]} to {texts[-1]}{extra}?",
        )
    )
    form = "all" if level < 4 else "through" if level < 6 else "avoiding" if level < 8 else "both"
    return draft((form, *(coordinate for point in points for coordinate in point)), question, answer, steps)


def multiples(rng: random.Random, level: int) -> Draft | None:
    """Integers up to n that some of two numbers divide, of three from level 6; from level 4 also those that none
    divides.
    """
    high = (200, 400, 800, 999, 999, 1200, 1200, 1500, 1500, 1500)[level - 1]
    limit = rng.randint(high // 5, high)
    numbers = sorted(rng.sample(range(2, 9 + level if level < 6 else 4 + level), 2 if level < 6 else 3))
    if any(gcd(a, b) == a for a, b in combinations(numbers, 2)):
        return None
    steps, singles = [], []
    for number in numbers:
        steps += floor_quotient(limit, number)
        singles.append(limit // number)
    pairs = []
    for a, b in combinations(numbers, 2):
        steps += [lcm_of(a, b), *floor_quotient(limit, lcm(a, b))]
        pairs.append(limit // lcm(a, b))
    count = sum(singles) - sum(pairs)
    if len(numbers) == 2:
        steps.append(f"{singles[0]}+{singles[1]}-{pairs[0]}={sum(singles)}-{pairs[0]}={count}")
    else:
        first, whole = lcm(*numbers[:2]), lcm(*numbers)
        steps += [lcm_of(first, numbers[2]), *floor_quotient(limit, whole), total(singles), total(pairs)]
        steps += [f"{sum(singles)}-{sum(pairs)}={count}", total([count, limit // whole])]
        count += limit // whole
    listed = [str(number) for number in numbers]
    if level >= 4 and rng.random() < 0.5:
        steps.append(f"{limit}-{count}={limit - count}")
        count, form, names = limit - count, "none", ", ".join(listed[:-1]) + f" nor {listed[-1]}"
        question = rng.choice(
            (
                f"How many integers from 1 to {limit} are divisible by neither {names}?",
                f"Count the positive integers up to {limit} that are multiples of neither {names}.",
                f"Neither {names} divides n, and n is one of 1 to {limit}. How many such n are there?",
            )
        )
    else:
        form, names = "some", ", ".join(listed[:-1]) + f" or {listed[-1]}"
        question = rng.choice(
            (
                f"How many integers from 1 to {limit} are divisible by {names}?",
                f"Count the multiples of {names} among 1 to {limit}.",
                f"How many positive integers up to {limit} are multiples of {names}?",
            )
        )
    return draft((form, limit, *numbers), question, count, steps)


FAMILIES = (
    Family("choices", "counting", choices),
    Family("paths", "counting", paths),
    Family("multiples", "counting", multiples),
)
