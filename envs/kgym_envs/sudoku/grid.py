"""Grids of four by four, as texts of 16 digits row by row, 0 for an empty cell."""

import random
from collections.abc import Iterator
from itertools import islice

SIDE, BLOCK = 4, 2
DIGITS = "1234"
EMPTY = "0"
CELLS = SIDE * SIDE


def _units(cell: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    row, column = divmod(cell, SIDE)
    top, left = row - row % BLOCK, column - column % BLOCK
    return (
        tuple(row * SIDE + other for other in range(SIDE)),
        tuple(other * SIDE + column for other in range(SIDE)),
        tuple((top + down) * SIDE + left + across for down in range(BLOCK) for across in range(BLOCK)),
    )


UNITS = tuple(_units(cell) for cell in range(CELLS))
"""Cells of the row, the column and the block of each cell."""


def seen(grid: str, cell: int) -> tuple[str, str, str]:
    """Return the digits in the row, the column and the block of a cell, each in order.

    >>> seen("1003021003004001", 1)
    ('13', '23', '12')
    """
    row, column, block = (
        "".join(sorted(grid[other] for other in unit if grid[other] != EMPTY)) for unit in UNITS[cell]
    )
    return row, column, block


def candidates(grid: str, cell: int) -> str:
    """Return the digits that an empty cell can hold, in order."""
    taken = "".join(seen(grid, cell))
    return "".join(digit for digit in DIGITS if digit not in taken)


def put(grid: str, cell: int, digit: str) -> str:
    """Return the grid with one cell filled."""
    return f"{grid[:cell]}{digit}{grid[cell + 1 :]}"


def solutions(grid: str) -> Iterator[str]:
    """Yield the full grids that a grid can become."""
    empty = [cell for cell, digit in enumerate(grid) if digit == EMPTY]
    if not empty:
        yield grid
        return
    cell = min(empty, key=lambda one: len(candidates(grid, one)))
    for digit in candidates(grid, cell):
        yield from solutions(put(grid, cell, digit))


def is_unique(grid: str) -> bool:
    """Whether a grid has exactly one solution."""
    return len(list(islice(solutions(grid), 2))) == 1


def full_grid(rng: random.Random) -> str:
    """Return a full grid, drawn at random."""
    grid = EMPTY * CELLS
    for cell in rng.sample(range(CELLS), 4):
        options = candidates(grid, cell)
        if options:
            grid = put(grid, cell, rng.choice(options))
    return next(solutions(grid), None) or full_grid(rng)


def dig(grid: str, empty: int, rng: random.Random) -> str | None:
    """Empty `empty` cells of a full grid, in a random order, so that the solution stays unique; None if that is not
    possible.
    """
    for cell in rng.sample(range(CELLS), CELLS):
        if grid.count(EMPTY) == empty:
            break
        if is_unique(without := put(grid, cell, EMPTY)):
            grid = without
    return grid if grid.count(EMPTY) == empty else None


def rows(grid: str) -> str:
    """Write a grid down.

    >>> rows("1003021003004001")
    '1003 0210 0300 4001'
    """
    return " ".join(grid[start : start + SIDE] for start in range(0, CELLS, SIDE))
