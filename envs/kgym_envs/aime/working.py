"""Lines of working, the vocabulary of the worked solutions.

Every function returns lines in which each `=` holds between numbers, in steps small enough to be learnt from
characters: products are cut into digits, division takes one digit of the quotient at a time, Euclid's algorithm shows
each remainder. A line may begin with a label (`7^2: 7*7=49`); several statements on a line are set apart by a comma and
a space.
"""

from collections.abc import Iterable
from math import comb, gcd

from kgym.envs.generated import Draft


def span(level: int, low: int, high: int) -> int:
    """Return the integer that grows linearly from `low` at level 1 to `high` at level 10."""
    return low + (high - low) * (level - 1) // 9


def draft(params: tuple[str | int, ...], question: str, answer: int, steps: Iterable[str]) -> Draft | None:
    """Put a problem together; None unless its answer is one the examination could have."""
    if not 0 <= answer <= 999:
        return None
    return Draft(params, question, answer, "\n".join([*steps, f"\\boxed{{{answer}}}"]))


def parts(n: int) -> list[int]:
    """Cut a number into its digits' values: 407 is 400 and 7."""
    text = str(n)
    return [int(digit) * 10 ** (len(text) - 1 - place) for place, digit in enumerate(text) if digit != "0"]


def total(terms: Iterable[int]) -> str:
    """Add from the left: `3+4+5=7+5=12`."""
    left = list(terms)
    chain = ["+".join(map(str, left))]
    while len(left) > 1:
        left[:2] = [left[0] + left[1]]
        chain.append("+".join(map(str, left)))
    return "=".join(chain)


def product(a: int, b: int) -> list[str]:
    """Multiply digit by digit; up to 12 times 12 it is a fact."""
    if max(a, b) <= 12 or min(len(parts(a)), len(parts(b))) == 0 or min(a, b) in (1, 10, 100):
        return [f"{a}*{b}={a * b}"]
    if len(parts(a)) == 1 and len(parts(b)) == 1:
        return [f"{a}*{b}={a * b}"]
    if min(a, b) < 10:
        pieces = [min(a, b) * part for part in parts(max(a, b))]
        return [f"{a}*{b}={total(pieces)}"]
    pieces = [a * part for part in parts(b)]
    lines = []
    for part, piece in zip(parts(b), pieces, strict=True):
        digit = int(str(part)[0])
        lines += product(a, digit) if digit > 1 else []
        lines += [f"{a}*{part}={piece}"] if part >= 10 and len(pieces) > 1 else []
    return [*lines, f"{a}*{b}={total(pieces)}"]


def remainder(n: int, m: int) -> list[str]:
    """Take multiples of m away from n until less than m is left, one digit of the quotient at a time; no lines if n
    < m.
    """
    lines = []
    for part in parts(n // m):
        taken = part * m
        lines.append(f"{n}-{taken}={n - taken}" if m < 20 or part == 1 else f"{n}-{part}*{m}={n}-{taken}={n - taken}")
        n -= taken
    return lines


def modulo_1000(n: int) -> list[str]:
    """Keep the last three digits; no lines if there are no more."""
    return [f"{n} mod 1000={n % 1000}"] if n >= 1000 else []


def floor_quotient(n: int, m: int) -> list[str]:
    """Divide and drop the remainder; short division by up to 12 is done in the head."""
    return [*([] if m <= 12 else remainder(n, m)), f"floor({n}/{m})={n // m}"]


def euclid(a: int, b: int) -> list[str]:
    """Euclid's algorithm; ends with remainder 0, or with remainder 1, after which there is nothing to find."""
    a, b = max(a, b), min(a, b)
    lines = []
    while b > 1:
        quotient, rest = divmod(a, b)
        lines.append(f"{a} mod {b}={rest}" if b < 100 or quotient == 1 else f"{a} mod {b}={a}-{quotient * b}={rest}")
        a, b = b, rest
    return lines


def lcm_of(a: int, b: int) -> str:
    """`lcm(6,9)=6*9/3=54/3=18`."""
    g = gcd(a, b)
    return f"lcm({a},{b})={a}*{b}/{g}={a * b}/{g}={a * b // g}" if g > 1 else f"lcm({a},{b})={a}*{b}={a * b}"


def choose(n: int, k: int) -> list[str]:
    """Binomial coefficients C(n,2), C(n,3), ... up to C(n,k), each from the one before."""
    short = min(k, n - k)
    lines = [f"C({n},{short})={n if short else 1}"] if short < 2 else []
    for j in range(2, short + 1):
        above = comb(n, j - 1) * (n - j + 1)
        lines.append(f"C({n},{j})={comb(n, j - 1)}*{n - j + 1}/{j}={above}/{j}={comb(n, j)}")
    return [*lines, f"C({n},{k})=C({n},{short})={comb(n, k)}"] if k > short else lines


def lowest_terms(m: int, n: int) -> list[str]:
    """Reduce m/n by Euclid's algorithm and add its two halves."""
    g = gcd(m, n)
    lines = euclid(m, n)
    if g > 1:
        lines.append(f"{m}/{g}={m // g}, {n}/{g}={n // g}")
    return [*lines, total([m // g, n // g])]
