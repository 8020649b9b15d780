"""Worked solutions of sudoku: one cell after another that can hold one digit alone.

    1003 0210 0300 4001
    12: 13 23 12 > 4            row 1, column 2: what its row, column and block hold, and what is left
    1403 0210 0300 4001         one digit is left: the grid with it
    13: 134 1 123 > 2           and so on from the first empty cell; cells with several candidates are passed over

A puzzle of four by four with one solution hardly ever needs more than that.
"""

from kgym_envs.sudoku.grid import EMPTY, SIDE, candidates, put, rows, seen


def trace(grid: str) -> list[str] | None:
    """Return the lines that fill a grid, or None if there comes a point at which no cell is certain."""
    lines = [rows(grid)]
    while EMPTY in grid:
        found = _fill_one(grid, lines)
        if found is None:
            return None
        grid = found
        lines.append(rows(grid))
    return [*lines, f"\\boxed{{{grid}}}"]


def _fill_one(grid: str, lines: list[str]) -> str | None:
    """Look at the empty cells in order; return the grid with the first certain one filled, None without one."""
    for cell, digit in enumerate(grid):
        if digit != EMPTY:
            continue
        left = candidates(grid, cell)
        name = f"{cell // SIDE + 1}{cell % SIDE + 1}"
        lines.append(f"{name}: {' '.join(held or '-' for held in seen(grid, cell))} > {left}")
        if len(left) == 1:
            return put(grid, cell, left)
    return None
