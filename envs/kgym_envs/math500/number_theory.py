"""Number Theory: bases, common multiples, divisors, remainders, congruences."""

import random
from math import gcd, lcm

from kgym.envs.generated import Draft, Family
from kgym_envs.math500.latex import draft, in_base, plain_sum


def base_sum(digits: str, base: int) -> str:
    """Write the value of digits for the working: `2*25+4*5+3=73`."""
    terms = [f"{digit}*{base**place}" for place, digit in zip(range(len(digits) - 1, -1, -1), digits, strict=True)]
    return f"{'+'.join(terms)}={int(digits, base)}"


def to_base(n: int, base: int) -> list[str]:
    """Divide until nothing is left; the remainders are the digits, last one first."""
    lines = []
    while n:
        lines.append(f"{n}={n // base}*{base}+{n % base}")
        n //= base
    return lines


def base(rng: random.Random, level: int) -> Draft | None:
    """Numbers in other bases: into ten, from ten, between two bases, sums and products in a base."""
    params: list[str | int]
    b, c = rng.sample(range(3, 10), 2)
    m = rng.randint(b**2, b**3 + 30 * level)
    k = rng.randint(b, b**2 * level)
    if level == 1:
        text = in_base(m, b)
        ask, answer, steps, params = f"{text}_{b}", f"{m}", [base_sum(text, b)], ["ten", b, m]
        words = ("Write ${}$ in base ten.", "What is the base ten value of ${}$?", "Convert ${}$ to base ten.")
    elif level == 2:
        ask, answer, steps, params = f"{m}", f"{in_base(m, b)}_{b}", to_base(m, b), ["into", b, m]
        words = (
            f"Write ${{}}$ in base ${b}$.",
            f"What is the base-${b}$ representation of ${{}}$?",
            f"Convert the base ten number ${{}}$ to base ${b}$.",
        )
    elif level == 3:
        text = in_base(m, b)
        ask, answer, params = f"{text}_{b}", f"{in_base(m, c)}_{c}", ["between", b, c, m]
        steps = [base_sum(text, b), *to_base(m, c)]
        words = (
            f"Write ${{}}$ in base ${c}$.",
            f"What is ${{}}$ when it is written in base ${c}$?",
            f"Convert ${{}}$ to base ${c}$.",
        )
    else:
        sign, value = ("+", m + k) if level == 4 else (" \\cdot ", m * k)
        ask, answer = f"{in_base(m, b)}_{b}{sign}{in_base(k, b)}_{b}", f"{in_base(value, b)}_{b}"
        steps = [
            base_sum(in_base(m, b), b),
            base_sum(in_base(k, b), b),
            f"{m}{sign.strip().replace(chr(92) + 'cdot', '*')}{k}={value}",
        ]
        steps += to_base(value, b)
        params = ["sum" if level == 4 else "product", b, *sorted((m, k))]
        words = (
            f"Compute ${{}}$. Write the result in base ${b}$.",
            f"What is ${{}}$, in base ${b}$?",
            f"Work in base ${b}$: find ${{}}$.",
        )
    return draft(params, rng.choice(words).format(ask), answer, *steps)


def common_multiple(rng: random.Random, level: int) -> Draft | None:
    """Least common multiples and greatest common divisors, of three numbers from level 4."""
    least = rng.random() < 0.5
    g = rng.randint(2, 4 * level)
    numbers = sorted(g * rng.randint(2, 6 + 3 * level) for _ in range(2 if level < 4 else 3))
    if len(set(numbers)) < len(numbers) or numbers[-1] % numbers[0] == 0:
        return None
    listed = ", ".join(f"${n}$" for n in numbers[:-1]) + f" and ${numbers[-1]}$"
    steps, now = [], numbers[0]
    for n in numbers[1:]:
        common, a, b = gcd(now, n), max(now, n), min(now, n)
        while b:
            steps.append(f"{a}={a // b}*{b}+{a % b}")
            a, b = b, a % b
        if least:
            steps.append(f"{now}*{n}/{common}={lcm(now, n)}")
        now = lcm(now, n) if least else common
    what = "least common multiple" if least else "greatest common divisor"
    question = rng.choice(
        (
            f"What is the {what} of {listed}?",
            f"Find the {what} of {listed}.",
            f"Compute the {what} of the numbers {listed}.",
        )
    )
    return draft([what, *numbers], question, now, *steps)


def divisor_list(rng: random.Random, level: int) -> Draft | None:
    """All divisors; from level 3 those that are multiples of a number. The answer is a list."""
    n = rng.randint(20 * level, 60 * level + 40)
    d = 1 if level < 3 else rng.randint(2, 6)
    found = [k for k in range(1, n + 1) if n % k == 0 and k % d == 0]
    if not 3 <= len(found) <= 12:
        return None
    which = "" if d == 1 else f" that are multiples of ${d}$"
    question = rng.choice(
        (
            f"List all positive divisors of ${n}${which}, in increasing order and separated by commas.",
            f"Which positive integers{which} divide ${n}$? List them in increasing order, separated by commas.",
            f"Write down the positive divisors of ${n}${which} from the smallest to the largest, separated by commas.",
        )
    )
    return draft([n, d], question, ", ".join(map(str, found)), ", ".join(f"{k}*{n // k}={n}" for k in found))


def divisor_sum(rng: random.Random, level: int) -> Draft | None:
    """The sum of the divisors, or their number, from the prime factors."""
    primes = sorted(rng.sample((2, 3, 5, 7, 11, 13), 2 if level < 4 else 3))
    powers = [rng.randint(1, 1 + level) for _ in primes]
    n = 1
    for prime, power in zip(primes, powers, strict=True):
        n *= prime**power
    if not 20 * level < n < 10 ** (2 + level // 2):
        return None
    counting = rng.random() < 0.5
    factors = [
        power + 1 if counting else (prime ** (power + 1) - 1) // (prime - 1)
        for prime, power in zip(primes, powers, strict=True)
    ]
    answer = 1
    for factor in factors:
        answer *= factor
    what = "number" if counting else "sum"
    question = rng.choice(
        (
            f"What is the {what} of the positive divisors of ${n}$?",
            f"Find the {what} of all positive divisors of ${n}$.",
            f"Consider all positive integers that divide ${n}$. What is their {what}?",
        )
    )
    steps = ["*".join(f"{prime}^{power}" for prime, power in zip(primes, powers, strict=True)) + f"={n}"]
    for prime, power, factor in zip(primes, powers, factors, strict=True):
        steps.append(
            f"{power}+1={factor}" if counting else "+".join(str(prime**k) for k in range(power + 1)) + f"={factor}"
        )
    return draft([what, n], question, answer, *steps, "*".join(map(str, factors)) + f"={answer}")


def remainder(rng: random.Random, level: int) -> Draft | None:
    """The remainder of a power by repeated squaring; plus a second power from level 4."""
    m = rng.randint(5, 8 + 8 * level)
    steps, total, texts = [], 0, []
    params: list[tuple[int, int]] = []
    for _ in range(1 if level < 4 else 2):
        a, n = rng.randint(2, 4 + 6 * level), rng.randint(3, 6 * level**2)
        power, square, left = 1, a % m, n
        while left:
            if left % 2:
                steps.append(f"{power}*{square} mod {m}={power * square % m}")
                power = power * square % m
            left //= 2
            if left:
                steps.append(f"{square}^2 mod {m}={square * square % m}")
                square = square * square % m
        texts.append(f"{a}^{{{n}}}")
        params.append((a, n))
        total += power
    if len(texts) == 2:
        steps.append(f"{total} mod {m}={total % m}")
    text = "+".join(texts)
    question = rng.choice(
        (
            f"What is the remainder when ${text}$ is divided by ${m}$?",
            f"Find the remainder of ${text}$ upon division by ${m}$.",
            f"Which integer from $0$ to ${m - 1}$ is congruent to ${text}$ modulo ${m}$?",
        )
    )
    return draft([m, *(part for pair in sorted(params) for part in pair)], question, total % m, *steps)


def congruence(rng: random.Random, level: int) -> Draft | None:
    """Linear congruences; two at once from level 4."""
    if level < 4:
        m = rng.randint(7, 12 + 18 * level)
        a, b = rng.randint(2, m - 1), rng.randint(1, m - 1)
        if gcd(a, m) > 1:
            return None
        inverse = pow(a, -1, m)
        x = inverse * b % m
        question = rng.choice(
            (
                f"Find the smallest non-negative integer $x$ with ${a}x \\equiv {b} \\pmod{{{m}}}$.",
                f"Solve ${a}x \\equiv {b} \\pmod{{{m}}}$ for an integer $x$ from $0$ to ${m - 1}$.",
                f"What is the least non-negative solution of ${a}x \\equiv {b} \\pmod{{{m}}}$?",
            )
        )
        return draft([a, b, m], question, x, f"{a}*{inverse} mod {m}=1", f"{inverse}*{b} mod {m}={x}")
    m, n = rng.sample(range(5, 10 + 4 * level), 2)
    if gcd(m, n) > 1:
        return None
    a, b = rng.randint(1, m - 1), rng.randint(1, n - 1)
    inverse = pow(m, -1, n)
    k = (b - a) * inverse % n
    x = a + m * k
    question = rng.choice(
        (
            f"What is the smallest positive integer with remainder ${a}$ on division by ${m}$ and remainder ${b}$ on "
            f"division by ${n}$?",
            f"Find the least positive integer $x$ with $x \\equiv {a} \\pmod{{{m}}}$ and $x \\equiv {b} "
            f"\\pmod{{{n}}}$.",
            f"A positive integer has remainder ${a}$ modulo ${m}$ and remainder ${b}$ modulo ${n}$. How small can it "
            "be?",
        )
    )
    params = [part for pair in sorted(((m, a), (n, b))) for part in pair]
    steps = [
        f"{m}*{inverse} mod {n}=1",
        f"{plain_sum([b, -a])}={b - a}",
        f"({b - a})*{inverse} mod {n}={k}",
        f"{a}+{m}*{k}={x}",
    ]
    return draft(params, question, x, *steps)


FAMILIES = tuple(
    Family(make.__name__, "Number Theory", make)
    for make in (base, common_multiple, divisor_list, divisor_sum, remainder, congruence)
)
