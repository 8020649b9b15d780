"""Worked solutions of countdown: a depth-first search, written down with its dead ends.

    3 5 8 20 for 72           the numbers and the target                             (planning)
    8+5=13: 3 13 20           a first move, and what is left
    .13+3=16: 16 20 > 36 4 320            one more, and every value of the last two  (evaluation)
    .20-13=7: 3 7 > 10 4 21               none is the target: the next move          (dead end, backtracking)
    20+5=25: 3 8 25                       all moves from 3 13 20 were tried          (exploration)
    .8*3=24: 24 25 > 49 1 600
    .25-3=22: ...
    72=24*3=(20+4)*3          the solution, its numbers replaced one by one          (reflection)
    \\boxed{...}

A line begins with a dot for each move before it. Quotients that are not whole and values above `LARGEST` are left out.
Sources: Gandhi et al. 2024, Stream of Search (arXiv:2404.03683), for search as text; Kimi k1.5, section 2.2, for the
four habits.
"""

import random
import re
from dataclasses import dataclass

from kgym_envs.countdown.moves import Move, State, after, moves, pair_moves, reaches

EXPLORED = 3
"""Most numbers left in a state without a solution that is searched through. Larger ones are avoided, since their
searches would be too long.
"""


def trace(state: State, target: int, rng: random.Random, *, dead_ends: float) -> list[str] | None:
    """Return the lines of a search that finds the target, or None if there is nothing to find.

    The moves of a state are taken in a random order up to one that leads to the target; each move before it is tried
    with probability `dead_ends`, and otherwise left out.
    """
    if not reaches(state, target):
        return None
    search = _Search(target, rng, dead_ends, [f"{' '.join(map(str, state))} for {target}"])
    path = search.find(state, depth=0)
    return [*search.lines, *conclusion(path)]


@dataclass(frozen=True)
class _Search:
    """A search as it is written down."""

    target: int
    rng: random.Random
    dead_ends: float
    lines: list[str]

    def find(self, state: State, depth: int) -> list[Move]:
        """Search from a state that reaches the target; return the moves that do."""
        if len(state) == 2:
            return [next(move for move in pair_moves(*state) if move.value == self.target)]
        options = moves(state)
        self.rng.shuffle(options)
        for move in options:
            if reaches(after(state, move), self.target):
                break
            if len(state) - 1 <= EXPLORED and self.rng.random() < self.dead_ends:
                self.exhaust(state, move, depth)
        self.write(state, move, depth)
        return [move, *self.find(after(state, move), depth + 1)]

    def exhaust(self, state: State, move: Move, depth: int) -> None:
        """Try a move that leads nowhere, and all that comes after it."""
        self.write(state, move, depth)
        left = after(state, move)
        if len(left) > 2:
            for further in moves(left):
                self.exhaust(left, further, depth + 1)

    def write(self, state: State, move: Move, depth: int) -> None:
        """Write down a move, what it leaves and, where that is two numbers, all of their values."""
        left = after(state, move)
        line = f"{'.' * depth}{move}: {' '.join(map(str, left))}"
        if len(left) == 2:
            values = [further.value for further in pair_moves(*left)]
            line = f"{line} > {' '.join(map(str, values))}{' yes' if self.target in values else ''}"
        self.lines.append(line)


def conclusion(path: list[Move]) -> list[str]:
    r"""Return the last lines of a search: the moves that reach the target, put into one expression.

    >>> conclusion([Move(8, "-", 5, 3), Move(20, "+", 4, 24), Move(24, "*", 3, 72)])
    ['72=24*3=(20+4)*3=(20+4)*(8-5)', '\\boxed{(20+4)*(8-5)}']
    """
    *before, last = path
    text = f"{last.a}{last.op}{last.b}"
    chain = [str(last.value), text]
    for move in reversed(before):
        text = _put_back(text, move)
        chain.append(text)
    return ["=".join(chain), f"\\boxed{{{text}}}"]


def _put_back(text: str, move: Move) -> str:
    """Replace a number by the move that made it. Any number of that value will do: the numbers of the text stay the
    same.
    """
    return re.sub(rf"\b{move.value}\b", f"({move.a}{move.op}{move.b})", text, count=1)
