"""Probability: the answer is m+n for a chance of m/n in lowest terms."""

import random

from kgym.envs.generated import Draft, Family
from kgym_envs.aime.working import draft, lowest_terms, product, span, total


def _chain(factors: list[int]) -> tuple[int, list[str]]:
    """Multiply from the left; return the product and its lines."""
    value, lines = factors[0], []
    for factor in factors[1:]:
        lines += product(value, factor)
        value *= factor
    return value, lines


def urn(rng: random.Random, level: int) -> Draft | None:
    """Balls of three colours: one is drawn, two without putting back from level 3, three from level 8."""
    high = (15, 30, 10, 16, 18, 16, 18, 14, 16, 12)[level - 1]
    red, blue, green = (rng.randint(2, high) for _ in range(3))
    if level < 3:
        drawn, event, above, below = 1, "red", [red], 1
    elif level < 6:
        drawn, event, above, below = 2, "both red", [red, red - 1], 2
    elif level < 8:
        drawn, event, above, below = 2, "one red, one blue", [2, red, blue], 2
    elif level < 10:
        drawn, event, above, below = 3, "all red", [red, red - 1, red - 2], 3
    else:
        drawn, event, above, below = 3, "one of each colour", [6, red, blue, green], 3
    balls = red + blue + green
    if 0 in above:
        return None
    m, above_lines = _chain(above)
    n, below_lines = _chain([balls - i for i in range(below)])
    steps = [total([red, blue, green]), *above_lines, *below_lines, *lowest_terms(m, n)]
    answer = int(steps[-1].rpartition("=")[2])
    bag, taken = f"{red} red, {blue} blue, {green} green", {1: "Draw one", 2: "Draw two", 3: "Draw three"}[drawn]
    question = rng.choice(
        (
            f"Balls: {bag}. {taken}. P({event})=m/n reduced. Find m+n.",
            f"{taken} of {bag} balls. If P({event})=m/n in lowest terms, what is m+n?",
            f"A bag has {bag} balls. {taken}: P({event})=m/n reduced; find m+n.",
        )
    )
    return draft((event, red, *((blue, green) if level in (6, 7) else sorted((blue, green)))), question, answer, steps)


def spinners(rng: random.Random, level: int) -> Draft | None:
    """Fair spinners: the sum is s, at most s from level 5, at least s from level 7; the sum of three is s from level
    9.
    """
    high = span(level, 15, 30) if level < 9 else 10 + level
    sizes = sorted(rng.randint(4, high) for _ in range(2 if level < 9 else 3))
    if level < 5:
        goal, relation = rng.randint(3, sum(sizes) - 1), "is"
        low, top = max(1, goal - sizes[1]), min(sizes[0], goal - 1)
        count = top - low + 1
        steps = [f"max(1,{goal}-{sizes[1]})={low}, min({sizes[0]},{goal}-1)={top}", f"{top}-{low}+1={count}"]
    elif level < 9:
        side = rng.randint(3, sizes[0])
        count = side * (side + 1) // 2
        goal, relation = (side + 1, "is at most") if level < 7 else (sum(sizes) + 1 - side, "is at least")
        steps = [f"{goal}-1={side}" if level < 7 else f"{sizes[0]}+{sizes[1]}+1-{goal}={sum(sizes) + 1}-{goal}={side}"]
        steps += [*product(side, side + 1), f"{side * (side + 1)}/2={count}"]
    else:
        goal, relation = rng.randint(5, sizes[0] + 2), "is"
        count = (goal - 1) * (goal - 2) // 2
        steps = [
            f"{goal}-1={goal - 1}, {goal}-2={goal - 2}",
            *product(goal - 1, goal - 2),
            f"{(goal - 1) * (goal - 2)}/2={count}",
        ]
    cases, lines = _chain(sizes)
    steps += [*lines, *lowest_terms(count, cases)]
    answer = int(steps[-1].rpartition("=")[2])
    shown = ", ".join(f"1-{size}" for size in sizes[:-1]) + f" and 1-{sizes[-1]}"
    question = rng.choice(
        (
            f"Spin spinners {shown}. P(sum {relation} {goal})=m/n reduced. Find m+n.",
            f"Fair spinners show {shown}. If P(sum {relation} {goal})=m/n reduced, find m+n.",
            f"Spinners {shown}: P(sum {relation} {goal})=m/n in lowest terms. What is m+n?",
        )
    )
    return draft((relation, goal, *sizes), question, answer, steps)


FAMILIES = (
    Family("urn", "probability", urn),
    Family("spinners", "probability", spinners),
)
