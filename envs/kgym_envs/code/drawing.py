"""Random inputs and parameters of the families."""

import random
from collections.abc import Callable
from typing import Any

Case = tuple[Any, ...]
"""The arguments of one call."""
Inputs = Callable[[random.Random, int], Case]
Params = Callable[[random.Random], dict[str, int]]


def between(**ranges: tuple[int, int]) -> Params:
    """Draw each parameter from its range, ends included."""
    return lambda rng: {name: rng.randint(low, high) for name, (low, high) in ranges.items()}


def rising(low: str, high: str, smallest: int, largest: int, gap: int) -> Params:
    """Draw two parameters of which the second is greater, by at most `gap`."""

    def draw(rng: random.Random) -> dict[str, int]:
        first = rng.randint(smallest, largest)
        return {low: first, high: first + rng.randint(1, gap)}

    return draw


def remainder(rng: random.Random) -> dict[str, int]:
    """Draw a divisor m and a remainder r."""
    m = rng.randint(2, 12)
    return {"m": m, "r": rng.randint(0, m - 1)}


def number(largest: int, smallest: int = 0) -> Inputs:
    """Draw one number; larger ones at higher levels."""
    return lambda rng, level: (rng.randint(smallest, smallest + max(5, (largest - smallest) * level // 10)),)


def numbers(low: int = -30, high: int = 30) -> Inputs:
    """Draw a list of numbers; longer ones at higher levels."""
    return lambda rng, level: ([rng.randint(low, high) for _ in range(rng.randint(2, 8 + 2 * level))],)


def letters(alphabet: str = "abcdefgh", shortest: int = 1) -> Inputs:
    """Draw a text; longer ones at higher levels."""
    return lambda rng, level: (
        "".join(rng.choice(alphabet) for _ in range(rng.randint(shortest, shortest + 10 + 3 * level))),
    )


def words(alphabet: str = "abcdefg") -> Inputs:
    """Draw words with single blanks between them."""

    def draw(rng: random.Random, level: int) -> Case:
        return (" ".join(str(letters(alphabet)(rng, 0)[0]) for _ in range(rng.randint(1, 4 + level))),)

    return draw
