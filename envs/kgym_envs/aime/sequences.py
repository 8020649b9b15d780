"""Sequences: arithmetic ones, geometric ones, recurrences."""

import random

from kgym.envs.generated import Draft, Family
from kgym_envs.aime.working import draft, modulo_1000, product, remainder, total


def arithmetic(rng: random.Random, level: int) -> Draft | None:
    """A term from the first one and the difference, a sum from level 3; from level 7 two later terms are given
    instead.
    """
    first, difference = rng.randint(1, 20 + 10 * level), rng.randint(2, 8 + 3 * level)
    n = rng.randint(4, (12, 30, 12, 16, 40, 80, 60, 60, 40, 80)[level - 1])
    steps: list[str] = []
    params: tuple[int, ...]
    if level < 7:
        given, params = f"first term {first}, difference {difference}", (first, difference, n)
    else:
        i = rng.randint(3, 12)
        j = i + rng.randint(2, 10)
        at_i, at_j = first + (i - 1) * difference, first + (j - 1) * difference
        given, params = f"a_{i}={at_i} and a_{j}={at_j}", (i, at_i, j, at_j, n)
        steps += [f"{at_j}-{at_i}={at_j - at_i}, {j}-{i}={j - i}", f"d={at_j - at_i}/{j - i}={difference}"]
        steps += [*product(difference, i - 1), f"a={at_i}-{(i - 1) * difference}={first}"]
    last = first + (n - 1) * difference
    steps += [f"{n}-1={n - 1}", *product(difference, n - 1), f"{(n - 1) * difference}+{first}={last}"]
    if level < 3 or level in (7, 8):
        kind, wanted, answer = "term", f"term {n}", last
    else:
        answer = n * (first + last) // 2
        wanted = f"the sum of the first {n} terms"
        steps += [f"{first}+{last}={first + last}", *product(first + last, n), f"{n * (first + last)}/2={answer}"]
        kind = "sum" if level < 5 else "sum mod 1000"
        if level >= 5:
            steps += modulo_1000(answer)
            answer, wanted = answer % 1000, f"{wanted}, mod 1000"
    question = rng.choice(
        (
            f"Arithmetic sequence, {given}. Find {wanted}.",
            f"Find {wanted}: arithmetic, {given}.",
            f"An arithmetic sequence has {given}. What is {wanted}?",
        )
    )
    return draft((kind, *params), question, answer, steps)


def geometric(rng: random.Random, level: int) -> Draft | None:
    """Remainder of a term of a geometric sequence, of a sum of its terms from level 3."""
    modulus = rng.randint(7, (20, 30, 30, 50, 60, 80, 99, 150, 200, 300)[level - 1])
    first, ratio = rng.randint(2, 20 + 8 * level), rng.randint(2, 4 + level)
    n = rng.randint(3, 3 + level // 2) if level < 5 else rng.randint(level - 2, level)
    value, steps = first % modulus, [", ".join(remainder(first, modulus))] if first >= modulus else []
    values = [value]
    for _ in range(n - 1):
        steps.append(", ".join([*product(value, ratio), *remainder(value * ratio, modulus)]))
        value = value * ratio % modulus
        values.append(value)
    wanted = f"term {n}"
    if level >= 3:
        wanted, value = f"the sum of {n} terms", sum(values)
        steps += [total(values), *remainder(value, modulus)]
    if value % modulus == 0:
        return None
    question = rng.choice(
        (
            f"Geometric sequence, first term {first}, ratio {ratio}. Find {wanted} mod {modulus}.",
            f"Start with {first}, multiply by {ratio}. Find {wanted} mod {modulus}.",
            f"First term {first}, ratio {ratio}, geometric. What is {wanted} mod {modulus}?",
        )
    )
    return draft(("term" if level < 3 else "sum", first, ratio, n, modulus), question, value % modulus, steps)


def recurrence(rng: random.Random, level: int) -> Draft | None:
    """Sums of the two terms before; p times the last plus q from level 3, p times the last plus q times the one
    before from level 7.
    """
    params: tuple[str | int, ...]
    if level < 3:
        n = rng.randint(4, 5) if level == 1 else rng.randint(6, 8)
        terms = [rng.randint(1, 40), rng.randint(1, 40)]
        rule, params, modulus = "a_n=a_{n-1}+a_{n-2}", ("fibonacci", n, *terms), 0
        given = f"a_1={terms[0]}, a_2={terms[1]}"
    elif level < 7:
        n = rng.randint(level, level + 1)
        p, q, modulus = rng.randint(2, level), rng.randint(1, 30), 0 if level < 5 else rng.randint(100, 999)
        terms = [rng.randint(1, 20)]
        rule, params = f"a_n={p}a_{{n-1}}+{q}", ("linear", p, q, modulus, n, *terms)
        given = f"a_1={terms[0]}"
    else:
        n = rng.randint(level - 2, level)
        p, q, modulus = rng.randint(2, level), rng.randint(2, level), 1000
        terms = [rng.randint(1, 30), rng.randint(1, 30)]
        rule, params = f"a_n={p}a_{{n-1}}+{q}a_{{n-2}}", ("second order", p, q, n, *terms)
        given = f"a_1={terms[0]}, a_2={terms[1]}"
    steps = []
    while len(terms) < n:
        label = f"a_{len(terms) + 1}: "
        if level < 3:
            lines, value = [total([terms[-1], terms[-2]])], terms[-1] + terms[-2]
        elif level < 7:
            value = p * terms[-1] + q
            lines = [*product(p, terms[-1]), total([p * terms[-1], q])]
        else:
            value = p * terms[-1] + q * terms[-2]
            lines = [*product(p, terms[-1]), *product(q, terms[-2]), total([p * terms[-1], q * terms[-2]])]
        if modulus == 1000:
            lines += modulo_1000(value)
        elif modulus:
            lines += remainder(value, modulus)
        terms.append(value % modulus if modulus else value)
        steps.append(label + ", ".join(lines))
    wanted = f"a_{{{n}}}" + (f" mod {modulus}" if modulus else "")
    question = rng.choice(
        (
            f"Let {given} and ${rule}$. Find ${wanted}$.",
            f"If {given} and {rule}, what is {wanted}?",
            f"Find {wanted}, given {given}, {rule}.",
        )
    )
    return draft(params, question, terms[-1], steps)


FAMILIES = (
    Family("arithmetic", "sequences", arithmetic),
    Family("geometric", "sequences", geometric),
    Family("recurrence", "sequences", recurrence),
)
