"""Families of straight-line programs: read one to three whole numbers, compute with them line by line, print one
number.

They need neither loops nor branches nor functions, so that a very small model can learn to write them. The number of
operations grows with the level.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from kgym.envs.generated import Draft, Family
from kgym.judging.cases import Cases

N_CASES = 16
LARGEST = 99
"""Of the numbers in a problem and of those that are read."""


class Operation(NamedTuple):
    """One line of a program: what is done to `n`."""

    asks: str
    code: str
    compute: Callable[[int, int], int]


class Start(NamedTuple):
    """How the first value of `n` comes from the numbers that are read."""

    asks: str
    code: str
    compute: Callable[..., int]


OPERATIONS = {
    "add": Operation("add {k}", "n = n + {k}", lambda n, k: n + k),
    "subtract": Operation("subtract {k}", "n = n - {k}", lambda n, k: n - k),
    "multiply": Operation("multiply by {k}", "n = n * {k}", lambda n, k: n * k),
    "divide": Operation("divide by {k}, rounding down", "n = n // {k}", lambda n, k: n // k),
    "remainder": Operation("take the remainder modulo {k}", "n = n % {k}", lambda n, k: n % k),
    "from": Operation("subtract it from {k}", "n = {k} - n", lambda n, k: k - n),
    "largest": Operation("take the larger of it and {k}", "n = max(n, {k})", max),
    "smallest": Operation("take the smaller of it and {k}", "n = min(n, {k})", min),
}
STARTS = {
    "number": Start("Read a number.", "n = int(input())", lambda a: a),
    "sum": Start("Read two numbers and add them.", "a, b = map(int, input().split())\nn = a + b", lambda a, b: a + b),
    "difference": Start(
        "Read two numbers and subtract the second from the first.",
        "a, b = map(int, input().split())\nn = a - b",
        lambda a, b: a - b,
    ),
    "product": Start(
        "Read two numbers and multiply them.",
        "a, b = map(int, input().split())\nn = a * b",
        lambda a, b: a * b,
    ),
    "total": Start(
        "Read three numbers and add them.",
        "a, b, c = map(int, input().split())\nn = a + b + c",
        lambda a, b, c: a + b + c,
    ),
    "extremes": Start(
        "Read three numbers and subtract the smallest from the largest.",
        "a, b, c = map(int, input().split())\nn = max(a, b, c) - min(a, b, c)",
        lambda a, b, c: max(a, b, c) - min(a, b, c),
    ),
}
NUMBERS = {"number": 1, "sum": 2, "difference": 2, "product": 2, "total": 3, "extremes": 3}
"""How many numbers are read."""


def drafting(start: str) -> Callable[[random.Random, int], Draft | None]:
    """Return what makes the problems of a family."""

    def draft(rng: random.Random, level: int) -> Draft | None:
        steps = [(rng.choice(list(OPERATIONS)), rng.randint(2, LARGEST)) for _ in range((level + 1) // 2)]
        inputs = [tuple(rng.randint(0, LARGEST) for _ in range(NUMBERS[start])) for _ in range(N_CASES)]
        inputs += [(0,) * NUMBERS[start], tuple(range(100, 100 + NUMBERS[start])), (-7,) * NUMBERS[start]]
        cases = tuple((f"{' '.join(map(str, given))}\n", f"{_result(start, steps, given)}") for given in inputs)
        if len({output for _, output in cases}) <= N_CASES // 2:  # such as the larger of 99 and what is at most 40
            return None
        asks = [OPERATIONS[name].asks.format(k=k) for name, k in steps]
        question = (
            f"Write a program in Python. {STARTS[start].asks} Then {', then '.join(asks)}. Print the result.\n"
            f"Example: {cases[0][0].strip()} gives {cases[0][1]}."
        )
        lines = [STARTS[start].code, *(OPERATIONS[name].code.format(k=k) for name, k in steps), "print(n)"]
        key = [word for name, k in steps for word in (name, k)]
        return Draft(tuple(key), question, Cases("stdin", cases).gold(), "```python\n" + "\n".join(lines) + "\n```")

    return draft


def _result(start: str, steps: list[tuple[str, int]], given: tuple[int, ...]) -> int:
    n = STARTS[start].compute(*given)
    for name, k in steps:
        n = OPERATIONS[name].compute(n, k)
    return n


FAMILIES = tuple(Family(f"formula_of_{start}", "formulas", drafting(start)) for start in STARTS)
