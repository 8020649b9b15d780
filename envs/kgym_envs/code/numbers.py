"""Families of problems about whole numbers."""

from kgym_envs.code.drawing import between, letters, number, numbers, remainder, rising
from kgym_envs.code.spec import Spec


def sum_of_multiples(values: list[int], *, k: int) -> int:
    return sum(value for value in values if value % k == 0)


def digit_sum(n: int, *, base: int) -> int:
    total = 0
    while n > 0:
        total += n % base
        n //= base
    return total


def in_base(n: int, *, base: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while n > 0:
        text = digits[n % base] + text
        n //= base
    return text or "0"


def divisions(n: int, *, k: int) -> int:
    count = 0
    while n % k == 0:
        n //= k
        count += 1
    return count


def either_divides(n: int, *, a: int, b: int) -> int:
    return sum(1 for value in range(1, n + 1) if value % a == 0 or value % b == 0)


def last_digits(n: int, *, a: int, m: int) -> int:
    result = 1
    for _ in range(n):
        result = result * a % m
    return result


def primes_with_remainder(n: int, *, m: int, r: int) -> int:
    count = 0
    for value in range(2, n + 1):
        if value % m == r % m and all(value % d for d in range(2, int(value**0.5) + 1)):
            count += 1
    return count


def sequence(n: int, *, a: int, b: int, m: int) -> int:
    first, second = a % m, b % m
    for _ in range(n):
        first, second = second, (first + second) % m
    return first


def common_divisor(values: list[int], *, k: int) -> int:
    result = k
    for value in values:
        other = abs(value)
        while other:
            result, other = other, result % other
    return result


def smallest_without(text: str, *, k: int) -> str:
    kept: list[str] = []
    left = k
    for digit in text:
        while kept and left > 0 and kept[-1] > digit:
            kept.pop()
            left -= 1
        kept.append(digit)
    return "".join(kept[: len(text) - k]) or "-"


def squares_from(n: int, *, k: int) -> int:
    count = 0
    root = 0
    while root * root <= n:
        if root * root >= k:
            count += 1
        root += 1
    return count


def climbs(n: int, *, k: int) -> int:
    ways = [1]
    for step in range(1, n + 1):
        ways.append(sum(ways[max(0, step - k) : step]))
    return ways[n]


def ways_to_pay(n: int, *, a: int, b: int) -> int:
    return sum(1 for ones in range(n + 1) for many in range((n - ones) // a + 1) if (n - ones - many * a) % b == 0)


def fewest_coins(n: int, *, a: int, b: int) -> int:
    fewest = [0]
    for amount in range(1, n + 1):
        fewest.append(1 + min(fewest[amount - coin] for coin in (1, a, b) if coin <= amount))
    return fewest[n]


def reversed_sums(n: int, *, k: int) -> int:
    for _ in range(k):
        n += int(str(n)[::-1])
    return n


def digits_spoken(text: str, *, k: int) -> str:
    for _ in range(k):
        spoken = ""
        start = 0
        while start < len(text):
            end = start
            while end < len(text) and text[end] == text[start]:
                end += 1
            spoken += str(end - start) + text[start]
            start = end
        text = spoken
    return text


FAMILIES = (
    Spec(
        sum_of_multiples,
        "the sum of those values that are divisible by {k}",
        numbers(),
        between(k=(2, 12)),
        edges=(([],), ([0],)),
    ),
    Spec(
        digit_sum,
        "the sum of the digits of n written in base {base}",
        number(10**6),
        between(base=(2, 36)),
        edges=((0,), (1,)),
    ),
    Spec(
        in_base,
        "n written in base {base}, with the digits 0-9 and a-z",
        number(10**6),
        between(base=(2, 36)),
        edges=((0,),),
    ),
    Spec(
        divisions,
        "how many times n, at least 1, can be divided by {k} without a remainder",
        lambda rng, level: (rng.randint(1, 50) * rng.choice([2, 3, 5, 6, 7]) ** rng.randint(0, level + 2),),
        between(k=(2, 40)),
        edges=((1,), (5040,), (2**12 * 3**6 * 5**3 * 7**2 * 11**2,)),
    ),
    Spec(
        either_divides,
        "how many of the numbers from 1 to n are divisible by {a} or by {b}",
        number(2000),
        between(a=(2, 12), b=(2, 12)),
        edges=((0,), (144,)),
    ),
    Spec(
        last_digits,
        "the remainder of {a} to the power n when it is divided by {m}",
        number(2000),
        between(a=(2, 50), m=(2, 1000)),
        edges=((0,), (1,)),
    ),
    Spec(
        primes_with_remainder,
        "how many prime numbers up to n leave the remainder {r} when they are divided by {m}",
        number(1000),
        remainder,
        edges=((1,), (2,), (499,)),
    ),
    Spec(
        sequence,
        (
            "the element with index n, from 0 on, of the sequence that begins with {a} and {b}, where each later "
            "element is the sum of the two before; as its remainder when divided by {m}"
        ),
        number(300),
        between(a=(0, 20), b=(1, 20), m=(10, 1000)),
        edges=((0,), (1,), (2,)),
    ),
    Spec(
        common_divisor,
        "the greatest common divisor of {k} and all of the values",
        lambda rng, level: ([rng.choice([2, 3, 4, 6, 12]) * rng.randint(-20, 20) for _ in range(rng.randint(1, 3))],),
        between(k=(12, 720)),
        edges=(([],), ([0],)),
    ),
    Spec(
        smallest_without,
        (
            "the smallest text that is left when exactly {k} of the digits of the text are taken out, in the "
            "order in which they are, or - if nothing is left"
        ),
        letters("0123456789", 8),
        between(k=(1, 8)),
        edges=(("11111111",), ("12345678",), ("87654321",)),
    ),
    Spec(
        squares_from,
        "how many square numbers (0, 1, 4, 9, ...) are at least {k} and at most n",
        number(5000),
        between(k=(0, 200)),
        edges=((0,), (100,), (144,), (5000,)),
    ),
    Spec(
        climbs,
        "in how many ways one can climb n steps, taking from 1 to {k} steps at a time",
        number(30),
        between(k=(2, 12)),
        edges=((0,), (1,), (13,)),
    ),
    Spec(
        ways_to_pay,
        ("in how many ways the amount n can be paid with coins of 1, {a} and {b}; the order does not matter"),
        number(100),
        rising("a", "b", 2, 9, 9),
        edges=((0,), (36,)),
    ),
    Spec(
        fewest_coins,
        "the smallest number of coins of 1, {a} and {b} that pay the amount n",
        number(300),
        rising("a", "b", 2, 12, 12),
        edges=((0,), (1,), (48,)),
    ),
    Spec(
        reversed_sums,
        "what comes of n when the number with its digits reversed is added to it, {k} times in a row",
        number(10**5, 1),
        between(k=(1, 30)),
        edges=((1,), (10,)),
    ),
    Spec(
        digits_spoken,
        (
            "what comes of the text when it is read aloud {k} times: each run of equal characters becomes its "
            "length and the character, so that 1121 becomes 211211"
        ),
        letters("123"),
        between(k=(1, 16)),
        edges=(("1",), ("1121",)),
    ),
)
