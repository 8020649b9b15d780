"""The environment `sudoku`: four by four, solved by exclusion; the answer is the 16 digits of the grid, row by row."""

import random

from pydantic import Field

from kgym.envs.generated import SPLITS, Draft, Family, GeneratedSource, LevelOptions
from kgym.types import Chat, Message, Problem, ProblemSource
from kgym_envs.sudoku.grid import dig, full_grid, rows
from kgym_envs.sudoku.search import trace

VERSION = 1
MAX_TOKENS = 1024
"""Worked solutions have up to 850 characters."""
WORDINGS = (
    "Fill the 4x4 sudoku {grid}: 0 is an empty cell.",
    "Solve the 4x4 sudoku {grid}, where 0 is an empty cell.",
    "{grid} are the rows of a 4x4 sudoku, with 0 for empty cells. Solve it.",
)


def puzzle(rng: random.Random, level: int) -> Draft | None:
    """Draw a puzzle with `level` + 2 empty cells and one solution; None if the draw fails."""
    full = full_grid(rng)
    grid = dig(full, level + 2, rng)
    if grid is None:
        return None
    lines = trace(grid)
    if lines is None:
        return None
    return Draft((grid,), rng.choice(WORDINGS).format(grid=rows(grid)), full, "\n".join(lines))


FAMILY = Family("puzzle", "sudoku", puzzle)


class SudokuOptions(LevelOptions):
    """Which levels there are."""

    difficulty: int = Field(5, ge=1, le=9)
    """Hardest level: empty cells less 2; the levels up to it take turns."""


class Sudoku:
    """Follows `kgym.envs.task.Task`. A puzzle has one solution, so its digits are compared as an integer."""

    Options = SudokuOptions
    splits = SPLITS
    verifier = "integer"
    max_tokens = MAX_TOKENS

    def __init__(self, options: SudokuOptions) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return endless problems; none of `validation` is in `train`. Raises UnknownName for another split."""
        return GeneratedSource("sudoku", VERSION, split, (FAMILY,), self.options.levels)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\nAnswer with its 16 digits, row by row, in \\boxed{{}}."),)
