"""How often equal models are told apart, and intervals hold: the tables of `benchmarks/comparisons.py`, with fewer
boards.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("benchmark_comparisons", ROOT / "benchmarks" / "comparisons.py")
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)


@pytest.mark.parametrize("k", [1, 4, 16])
@pytest.mark.parametrize("difficulty", benchmark.HARD.values(), ids=benchmark.HARD)
def test_equal_models_are_told_apart_at_most_5_times_in_100(difficulty, k):
    found = benchmark.equal_models(np.random.default_rng(0), difficulty, k=k, n=30, boards=1_000, exact=False)
    assert np.mean(found.told_apart) <= 0.064  # 0.05 and two standard errors of 1,000 boards


def test_the_exact_test_contradicts_the_interval_and_is_not_the_rule():
    found = benchmark.equal_models(np.random.default_rng(0), (0.15, 0.6), k=1, n=30, boards=1_000)
    assert np.mean(found.contradicted) > 0.005
    assert np.mean(found.exact) < np.mean(found.told_apart) <= 0.05


@pytest.mark.parametrize("k", [1, 4, 16])
def test_differences_of_a_training_are_held(k):
    held, cautious = benchmark.difference_coverage(np.random.default_rng(1), benchmark.trained, k=k, n=30, boards=1_000)
    assert 0.93 <= np.mean(held) <= 0.97
    assert np.mean(cautious) < 0.01


def test_where_intervals_fall_short_there_is_a_caution():
    held, cautious = benchmark.difference_coverage(np.random.default_rng(2), benchmark.lost, k=16, n=30, boards=500)
    assert np.mean(held) < 0.9 < np.mean(cautious)
    held, cautious = benchmark.accuracy_coverage(np.random.default_rng(2), (0.05, 1), k=16, n=30, boards=1_000)
    assert np.mean(held) < 0.92
    assert np.mean(cautious) > 0.9


def test_unlike_numbers_of_answers_keep_the_level_only_where_they_are_cut():
    found = benchmark.unlike_answers(np.random.default_rng(3), (1, 19), few=1, many=64, n=30, boards=500)
    assert min(np.mean(found.uncut), np.mean(found.by_errors)) > 0.15
    assert max(np.mean(found.cut), np.mean(found.unpaired)) <= 0.05


def test_the_report_is_tables():
    lines = list(benchmark.report(boards=2, seed=0))
    assert sum(line.lstrip().startswith("|") for line in lines) == len(lines) >= 30
