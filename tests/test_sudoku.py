"""Sudoku of four by four: puzzles with one solution, and worked solutions in which every line holds."""

import random
from collections import Counter
from itertools import islice, permutations

import pytest

from kgym_envs.sudoku.grid import BLOCK, CELLS, EMPTY, SIDE, dig, full_grid, is_unique, put, solutions
from kgym_envs.sudoku.search import trace
from kgym_envs.sudoku.task import MAX_TOKENS, Sudoku, SudokuOptions


def valid(grid):
    """Whether every row, column and block of a full grid holds each digit once; written apart from the environment's
    own tables.
    """
    cells = [list(map(int, grid[start : start + SIDE])) for start in range(0, CELLS, SIDE)]
    columns = [list(column) for column in zip(*cells, strict=True)]
    blocks = [
        [cells[row + down][column + across] for down in range(BLOCK) for across in range(BLOCK)]
        for row in (0, 2)
        for column in (0, 2)
    ]
    return all(sorted(unit) == [1, 2, 3, 4] for unit in [*cells, *columns, *blocks])


ALL = [grid for rows in permutations(["".join(p) for p in permutations("1234")], SIDE) if valid(grid := "".join(rows))]


def problems(level, n, split="train"):
    source = Sudoku(SudokuOptions(difficulty=level, min_difficulty=level)).source(split)
    return [source[index] for index in range(n)]


def test_all_grids_are_found_and_any_can_be_drawn():
    assert len(ALL) == 288
    assert set(solutions(EMPTY * CELLS)) == set(ALL)
    rng = random.Random(0)
    assert len({full_grid(rng) for _ in range(1500)}) > 200


@pytest.mark.parametrize("level", range(1, 10))
def test_puzzles_have_one_solution_which_is_the_answer(level):
    for problem in problems(level, 15):
        grid = "".join(problem.solution.split("\n")[0].split())
        assert " ".join(grid[start : start + SIDE] for start in range(0, CELLS, SIDE)) in problem.question
        assert grid.count(EMPTY) == level + 2
        fitting = [full for full in ALL if all(digit in (EMPTY, full[cell]) for cell, digit in enumerate(grid))]
        assert fitting == [problem.gold]
        assert problem.solution.endswith(f"\n\\boxed{{{problem.gold}}}")
        assert len(problem.solution) <= MAX_TOKENS


@pytest.mark.parametrize("level", [1, 5, 9])
def test_every_line_of_a_worked_solution_holds(level):
    for problem in problems(level, 15):
        grid, cell, left = "", 0, ""
        for line in problem.solution.split("\n")[:-1]:
            if ":" not in line:
                following = line.replace(" ", "")
                assert not grid or following == put(grid, cell, left)
                grid = following
                continue
            name, _, rest = line.partition(": ")
            held, _, left = rest.partition(" > ")
            row, column = int(name[0]) - 1, int(name[1]) - 1
            cell = row * SIDE + column
            assert grid[cell] == EMPTY
            shown = [set(group.strip("-")) for group in held.split(" ")]
            rows = [grid[start : start + SIDE] for start in range(0, CELLS, SIDE)]
            block = "".join(
                line[column // 2 * 2 : column // 2 * 2 + 2] for line in rows[row // 2 * 2 : row // 2 * 2 + 2]
            )
            assert shown == [set(text) - {EMPTY} for text in (rows[row], grid[column::SIDE], block)]
            assert set(left) == set("1234") - set.union(*shown)


def test_a_grid_without_a_certain_cell_has_no_worked_solution():
    assert trace(EMPTY * CELLS) is None
    assert not is_unique(EMPTY * CELLS)
    assert dig(ALL[0], 14, random.Random(0)) is None, "two digits never decide a grid"


def test_splits_share_no_puzzle_and_answers_cannot_be_guessed():
    train, validation = (
        {problem.solution.split("\n")[0] for problem in problems(3, 300, split)} for split in ("train", "validation")
    )
    assert not train & validation
    assert Counter(problem.gold for problem in problems(3, 300)).most_common(1)[0][1] < 10
    assert len(list(islice(solutions(ALL[0]), 2))) == 1
