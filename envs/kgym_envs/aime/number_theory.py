"""Number theory: greatest common divisors, remainders of powers, numbers of divisors."""

import random
from math import gcd, prod

from kgym.envs.generated import Draft, Family
from kgym_envs.aime.working import draft, euclid, product, remainder, span

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23)


def common_divisor(rng: random.Random, level: int) -> Draft | None:
    """Greatest common divisor of two numbers, of three from level 6; harder levels take more steps of Euclid's
    algorithm.
    """
    divisor, high = rng.randint(2, span(level, 12, 90)), span(level, 200, 3000)
    numbers = [divisor * rng.randint(2, high // divisor) for _ in range(2 if level < 6 else 3)]
    if len(set(numbers)) < len(numbers):
        return None
    steps, answer = [], numbers[0]
    for number in numbers[1:]:
        steps += euclid(answer, number)
        answer = gcd(answer, number)
    if not min(level + 1, 5) <= len(steps) <= level + 2:
        return None
    listed = ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
    question = rng.choice(
        (
            f"Find $\\gcd({','.join(map(str, numbers))})$.",
            f"What is the greatest common divisor of {listed}?",
            f"Find the largest integer that divides {listed}.",
        )
    )
    return draft(tuple(sorted(numbers)), question, answer, steps)


def power(rng: random.Random, level: int) -> Draft | None:
    """Remainder of a power, by multiplying and reducing; from level 5 by squaring."""
    modulus_high = (14, 17, 19, 30, 40, 50, 60, 70, 80, 99)[level - 1]
    modulus = rng.randint(modulus_high // 2, modulus_high)
    exponent_high = (3, 3, 4, 5, 6, 8, 11, 16, 24, 40)[level - 1]
    base, exponent = rng.randint(13, 100 + 50 * level), rng.randint(max(2, exponent_high // 2), exponent_high)
    reduced = base % modulus
    if reduced < 2:
        return None
    steps = remainder(base, modulus)
    value, done = reduced, 1
    for bit in bin(exponent)[3:] if level >= 5 else "":
        done *= 2
        value = _times(steps, value, value, modulus, f"{reduced}^{done}")
        if bit == "1":
            done += 1
            value = _times(steps, value, reduced, modulus, f"{reduced}^{done}")
    while done < exponent:
        done += 1
        value = _times(steps, value, reduced, modulus, f"{reduced}^{done}")
    if value < 2:
        return None
    question = rng.choice(
        (
            f"Find the remainder when ${base}^{{{exponent}}}$ is divided by {modulus}.",
            f"What is {base}^{exponent} mod {modulus}?",
            f"Divide {base}^{exponent} by {modulus}. What is the remainder?",
        )
    )
    return draft((base, exponent, modulus), question, value, steps)


def _times(steps: list[str], a: int, b: int, modulus: int, label: str) -> int:
    """Write down a*b mod modulus and return it."""
    lines = [*product(a, b), *remainder(a * b, modulus)]
    steps.append(f"{label}: " + ", ".join(lines))
    return a * b % modulus


def divisors(rng: random.Random, level: int) -> Draft | None:
    """Number of divisors: of a factored number, of a plain one from level 6, of a power of a plain one from level 9."""
    steps: list[str] = []
    if level < 6:
        count, high = (2, 9 * level) if level < 3 else (3, 2 + level)
        primes = sorted(rng.sample(PRIMES, count))
        exponents = [rng.randint(1, high) for _ in primes]
        number = "*".join(f"{p}^{e}" for p, e in zip(primes, exponents, strict=True))
        params: tuple[int, ...] = tuple(x for pair in zip(primes, exponents, strict=True) for x in pair)
    else:
        factors = sorted(
            rng.choices(PRIMES[:6], k=rng.randint(level - 3, level) if level < 9 else rng.randint(level - 5, level - 3))
        )
        n, outer = prod(factors), 1 if level < 9 else rng.randint(2, level - 5)
        primes = sorted(set(factors))
        exponents = [factors.count(p) * outer for p in primes]
        number, params = (f"{n}", (n,)) if outer == 1 else (f"{n}^{outer}", (n, outer))
        rest = n
        for p in factors:
            steps.append(f"{rest}/{p}={rest // p}")
            rest //= p
        steps += [f"{p}: {factors.count(p)}*{outer}={e}" for p, e in zip(primes, exponents, strict=True) if outer > 1]
    steps.append(", ".join(f"{e}+1={e + 1}" for e in exponents))
    answer = exponents[0] + 1
    for exponent in exponents[1:]:
        steps += product(answer, exponent + 1)
        answer *= exponent + 1
    question = rng.choice(
        (
            f"How many positive divisors does ${number}$ have?",
            f"Find the number of positive divisors of {number}.",
            f"How many positive integers divide {number}?",
        )
    )
    return draft(params, question, answer, steps)


FAMILIES = (
    Family("gcd", "number theory", common_divisor),
    Family("power", "number theory", power),
    Family("divisors", "number theory", divisors),
)
