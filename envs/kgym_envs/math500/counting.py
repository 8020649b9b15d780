"""Counting & Probability: arrangements, committees, dice, draws without replacement, expected values, lattice paths."""

import random
from collections import Counter
from fractions import Fraction
from itertools import product
from math import comb, factorial, gcd, prod

from kgym.envs.generated import Draft, Family
from kgym_envs.math500.latex import draft, frac, plain, quotient

COLOURS = ("red", "blue", "green")


def arrangements(rng: random.Random, level: int) -> Draft | None:
    """Orders of letters, some of which are alike."""
    letters = sorted(rng.choices("AEIOUBDKLMNRST"[: 4 + level], k=rng.randint(3, 5) + level // 2 + 1))
    counts = Counter(letters)
    if (level > 1 and max(counts.values()) == 1) or len(counts) < 2:
        return None
    shown = ", ".join(rng.sample(letters, len(letters)))
    n, below = len(letters), prod(factorial(count) for count in counts.values())
    answer = factorial(n) // below
    question = rng.choice(
        (
            f"In how many different orders can the letters {shown} be written?",
            f"How many distinct arrangements do the letters {shown} have?",
            f"The letters {shown} are on {n} tiles. How many different words, with or without meaning, can be laid "
            "with all the tiles?",
        )
    )
    repeated = [count for count in counts.values() if count > 1]
    steps = [f"{'*'.join(map(str, range(n, 0, -1)))}={factorial(n)}"]
    if below > 1:
        steps += (
            ["*".join("*".join(map(str, range(count, 1, -1))) for count in repeated) + f"={below}"] if below > 2 else []
        )
        steps.append(f"{factorial(n)}/{below}={answer}")
    return draft(letters, question, answer, *steps)


def committee(rng: random.Random, level: int) -> Draft | None:
    """Committees: one choice, so many of each of two kinds from level 2, at least so many from level 4."""
    params: list[str | int]
    n, m = rng.randint(4, 6 + level), rng.randint(4, 6 + level)
    a, b = rng.randint(2, min(4, n - 1)), rng.randint(1, min(3, m - 1))
    if level == 1:
        n = rng.randint(6, 40)
        answer, steps, params = comb(n, a), [f"C({n},{a})={comb(n, a)}"], [n, a]
        what = f"a committee of {a} of its {n} members"
    elif level < 4:
        answer = comb(n, a) * comb(m, b)
        what = f"a committee with {a} of the {n} teachers and {b} of the {m} pupils"
        steps = [f"C({n},{a})={comb(n, a)}, C({m},{b})={comb(m, b)}", f"{comb(n, a)}*{comb(m, b)}={answer}"]
        params = [n, a, m, b]
    else:
        size = a + b
        kinds = [(k, size - k) for k in range(a, size + 1) if k <= n and size - k <= m]
        terms = [comb(n, k) * comb(m, rest) for k, rest in kinds]
        answer = sum(terms)
        what = f"a committee of {size} people, at least {a} of them teachers, from {n} teachers and {m} pupils"
        steps = [f"C({n},{k})*C({m},{rest})={term}" for (k, rest), term in zip(kinds, terms, strict=True)]
        steps.append("+".join(map(str, terms)) + f"={answer}")
        params = ["at least", n, m, size, a]
    question = rng.choice(
        (
            f"In how many ways can a club choose {what}?",
            f"How many ways are there for a club to form {what}?",
            f"A club elects {what}. How many outcomes are possible?",
        )
    )
    return draft(params, question, answer, *steps)


def dice(rng: random.Random, level: int) -> Draft | None:
    """The sum of two dice, of three from level 4: equal to, from level 3 at least a number."""
    sides, n = rng.randint(4, 12 if level < 4 else 8), 2 if level < 4 else 3
    target = rng.randint(n + 1, n * sides - 1)
    at_least = level in (3, 5)
    sums = Counter(map(sum, product(range(1, sides + 1), repeat=n)))
    ways = sum(count for total, count in sums.items() if total == target or (at_least and total > target))
    chance = Fraction(ways, sides**n)
    many = {2: "Two", 3: "Three"}[n]
    which = f"at least {target}" if at_least else f"{target}"
    question = rng.choice(
        (
            f"{many} fair dice have sides numbered 1 to {sides}. How probable is a sum of {which}? Give a common "
            "fraction.",
            f"{many} fair {sides}-sided dice, numbered from 1, are rolled. Find the probability of a sum of {which}, "
            "as a common fraction.",
            f"As a fraction, how likely is a total of {which} when {many.lower()} fair dice with sides from 1 to "
            f"{sides} are thrown?",
        )
    )
    counted = [
        (total, count) for total, count in sorted(sums.items()) if total == target or (at_least and total > target)
    ]
    steps = [", ".join(f"sum {total}: {count}" for total, count in counted)]
    if len(counted) > 1:
        steps.append("+".join(str(count) for _, count in counted) + f"={ways}")
    steps += ["*".join([str(sides)] * n) + f"={sides**n}", quotient(ways, sides**n)]
    return draft([n, sides, target, at_least], question, frac(chance), *steps)


def marbles(rng: random.Random, level: int) -> Draft | None:
    """Draws without replacement: both of a colour, one of each from level 2, all of one colour from level 3."""
    counts = [rng.randint(2, 4 + 2 * level) for _ in range(2 if level < 4 else 3)]
    n, draws = sum(counts), 2 if level < 5 else 3
    bag = ", ".join(f"{count} {colour}" for count, colour in zip(counts[:-1], COLOURS, strict=False))
    bag += f" and {counts[-1]} {COLOURS[len(counts) - 1]} marbles"
    if level == 1:
        ways, event = comb(counts[0], 2), "both are red"
        steps = [f"C({counts[0]},2)={ways}"]
    elif level == 2:
        ways, event = counts[0] * counts[1], "one is red and one is blue"
        steps = [f"{counts[0]}*{counts[1]}={ways}"]
    else:
        terms = [comb(count, draws) for count in counts if count >= draws]
        ways, event = sum(terms), "all of them have the same colour"
        steps = [f"C({count},{draws})={comb(count, draws)}" for count in counts if count >= draws] + [
            "+".join(map(str, terms)) + f"={ways}"
        ]
    if ways == 0:
        return None
    whole, many = comb(n, draws), {2: "Two", 3: "Three"}[draws]
    question = rng.choice(
        (
            f"A bag holds {bag}. {many} are drawn at random without replacement. What is the probability that {event}?",
            f"{many} marbles are taken at random, without putting any back, from a bag with {bag}. Find the "
            f"probability that {event}.",
            f"From {bag}, {many.lower()} are chosen at random. As a common fraction, what is the chance that {event}?",
        )
    )
    key = counts if level == 1 else sorted(counts)
    return draft(
        [draws, event, *key],
        question,
        frac(Fraction(ways, whole)),
        *steps,
        f"C({n},{draws})={whole}",
        quotient(ways, whole),
    )


def expected(rng: random.Random, level: int) -> Draft | None:
    """The expected value of a spinner with sections of unequal size."""
    n = (2, 3, 3, 4, 5)[level - 1]
    weights = [rng.randint(1, 2 + level) for _ in range(n)]
    prizes = [rng.randint(2, 3 + 6 * level) * (-1 if level > 2 and rng.random() < 0.4 else 1) for _ in range(n)]
    if len(set(prizes)) < n or gcd(*weights) > 1:
        return None
    whole = sum(weights)
    listed = "; ".join(
        f"${frac(Fraction(w, whole))}$ to {'win' if prize > 0 else 'lose'} {abs(prize)} dollars"
        for w, prize in zip(weights, prizes, strict=True)
    )
    total = sum(w * prize for w, prize in zip(weights, prizes, strict=True))
    question = rng.choice(
        (
            f"The probabilities in a game are {listed}. What is the expected number of dollars won?",
            f"A spinner gives these chances: {listed}. Find the expected gain in dollars, as a fraction or an integer.",
            f"A player has chances of {listed}. What is the expected value of the game, in dollars?",
        )
    )
    terms = "+".join(f"{bracket_over(w * prize, whole)}" for w, prize in zip(weights, prizes, strict=True))
    params = [part for pair in sorted(zip(prizes, weights, strict=True)) for part in pair]
    return draft(params, question, frac(Fraction(total, whole)), f"{terms}={plain(Fraction(total, whole))}")


def bracket_over(above: int, below: int) -> str:
    """Write a fraction over a given denominator as a term of a sum."""
    return f"{above}/{below}" if above > 0 else f"({above}/{below})"


def paths(rng: random.Random, level: int) -> Draft | None:
    """Shortest paths on a grid; by way of a point at level 3, avoiding it from level 4."""
    x, y, a, b = rng.randint(-5, 5), rng.randint(-5, 5), rng.randint(2, 5 + level), rng.randint(2, 5 + level)
    whole = comb(a + b, a)
    c, d = rng.randint(1, a), rng.randint(1, b)
    if level > 2 and ((c, d) == (a, b) or (a - c) * (b - d) == 0):
        return None
    through = comb(c + d, c) * comb(a - c + b - d, a - c)
    steps = [f"C({a + b},{a})={whole}"]
    answer, condition = whole, ""
    if level > 2:
        by_way = [f"C({c + d},{c})={comb(c + d, c)}, C({a - c + b - d},{a - c})={comb(a - c + b - d, a - c)}"]
        by_way.append(f"{comb(c + d, c)}*{comb(a - c + b - d, a - c)}={through}")
        steps = by_way if level == 3 else [*by_way, *steps, f"{whole}-{through}={whole - through}"]
        answer = through if level == 3 else whole - through
        condition = f" that {'pass' if level == 3 else 'do not pass'} through $({x + c},{y + d})$"
    ends = f"from $({x},{y})$ to $({x + a},{y + b})$"
    question = rng.choice(
        (
            f"Each step of a path goes one unit right or one unit up. How many paths {ends} are there{condition}?",
            f"A path takes unit steps to the right and upwards. Find the number of such paths {ends}{condition}.",
            f"Count the paths {ends} with steps $(1,0)$ and $(0,1)${condition}.",
        )
    )
    return draft([condition, x, y, a, b], question, answer, *steps)


FAMILIES = tuple(
    Family(make.__name__, "Counting & Probability", make)
    for make in (arrangements, committee, dice, marbles, expected, paths)
)
