"""Worked solutions of sudoku: fill one cell after another that can hold only one digit.

    1003 0210 0300 4001
    12: 13 23 12 > 4            row 1, column 2: the digits of its row, column and block, and the remaining ones
    1403 0210 0300 4001         one digit remains: the grid with it
    13: 134 1 123 > 2           and so on from the first empty cell; cells with several candidates are skipped

Puzzles of four by four with one solution rarely need more than that.
"""

from kgym_envs.sudoku.grid import EMPTY, SIDE, candidates, put, rows, seen


def trace(grid: str) -> list[str] | None:
    """Return the lines that fill a grid, or None if at some point no cell is certain."""
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
