"""States of the game, and which of them reach the target.

A state is the sorted tuple of the numbers that are left. A move combines two of them: (3, 5, 8) becomes (5, 11) by
8+3=11. Differences are positive, quotients are whole, and no number is above `LARGEST`. A division by 1 is left out,
since it equals the product by 1.
"""

from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

LARGEST = 999
State = tuple[int, ...]


class Move(NamedTuple):
    """`a` and `b` become `value`: Move(8, "+", 3, 11)."""

    a: int
    op: str
    b: int
    value: int

    def __str__(self) -> str:
        return f"{self.a}{self.op}{self.b}={self.value}"


def pair_moves(x: int, y: int) -> list[Move]:
    """Return the moves of two numbers, the larger first: sum, difference, product, quotient.

    >>> [str(move) for move in pair_moves(2, 8)]
    ['8+2=10', '8-2=6', '8*2=16', '8/2=4']
    """
    a, b = max(x, y), min(x, y)
    values = {"+": a + b, "-": a - b, "*": a * b}
    if b > 1 and a % b == 0:
        values["/"] = a // b
    return [Move(a, op, b, value) for op, value in values.items() if 0 < value <= LARGEST]


def moves(state: State) -> list[Move]:
    """Return the different moves of a state, in a fixed order."""
    return [move for x, y in sorted(set(combinations(state, 2))) for move in pair_moves(x, y)]


def after(state: State, move: Move) -> State:
    """Return the state that a move leads to.

    >>> after((3, 5, 8), Move(8, "+", 3, 11))
    (5, 11)
    """
    left = list(state)
    left.remove(move.a)
    left.remove(move.b)
    return tuple(sorted([*left, move.value]))


@lru_cache(maxsize=100_000)
def reaches(state: State, target: int) -> bool:
    """Whether some moves from a state leave only the target."""
    if len(state) == 1:
        return state[0] == target
    return any(reaches(after(state, move), target) for move in moves(state))
