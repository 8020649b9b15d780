"""Statistics of scores, against hand-worked numbers, brute force and scipy."""

import itertools
import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from kgym.score.stats import mean_stderr, pass_at_k, t_quantile


def test_standard_error_is_over_problems_and_not_over_answers():
    # two problems, always and never solved: 8 completions, but only 2 observations, whose mean is 0.5 +- 0.5
    assert mean_stderr([1.0, 0.0]) == (0.5, pytest.approx(0.5))


def test_one_problem_has_no_standard_error():
    mean, stderr = mean_stderr([0.25])
    assert mean == 0.25
    assert math.isnan(stderr)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_standard_error_agrees_with_scipy(values):
    assert mean_stderr(values)[1] == pytest.approx(float(scipy.stats.sem(values)), abs=1e-12)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_counts_the_subsets_with_a_correct_answer(case):
    n, c, k = case
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-15)


def test_pass_at_k_refuses_to_flatter():
    with pytest.raises(ValueError, match="k=5"):
        pass_at_k(4, 1, 5)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 29, 199, 200, 201, 499, 10**6])
@pytest.mark.parametrize("p", [0.5, 0.6, 0.9, 0.975, 0.9995])
def test_t_quantile_agrees_with_scipy(p, df):
    assert t_quantile(p, df) == pytest.approx(scipy.stats.t.ppf(p, df), rel=1e-8, abs=1e-9)
