"""Statistics of scores, against hand-worked numbers, brute force and scipy."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from kgym.score.stats import (
    EXACT_UP_TO,
    mcnemar,
    mean_stderr,
    paired_difference,
    paired_interval,
    pass_at_k,
    sign_flip,
    t_interval,
    t_quantile,
)


def test_standard_error_is_over_problems_and_not_over_answers():
    # two problems, always and never solved: 8 answers, but only 2 observations, whose mean is 0.5 +- 0.5
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


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_sign_flip_is_exact_for_few_problems(differences):
    values = [difference / 4 for difference in differences]
    sums = [
        sum(sign * value for sign, value in zip(signs, values, strict=True)) for signs in itertools.product((1, -1), repeat=len(values))
    ]
    expected = sum(abs(s) >= abs(sum(values)) for s in sums) / len(sums)  # quarters add up exactly
    assert sign_flip(values) == pytest.approx(expected, abs=1e-12)


def test_sign_flip_agrees_with_scipy_where_it_is_sampled():
    values = np.random.default_rng(0).choice([-0.5, -0.25, 0.0, 0.25, 0.5, 0.75], size=60)
    assert np.count_nonzero(values) > EXACT_UP_TO
    expected = scipy.stats.permutation_test(
        (values,), np.sum, permutation_type="samples", n_resamples=40_000, rng=np.random.default_rng(1)
    ).pvalue
    assert 0.001 < expected < 0.5  # or the comparison says nothing
    assert sign_flip(values) == pytest.approx(expected, abs=5 * math.sqrt(expected / 40_000))
    assert sign_flip(values, seed=3) == sign_flip(values, seed=3)


def test_sign_flip_never_says_zero():
    assert sign_flip([1.0] * 100) == pytest.approx(1 / 100_001)
    assert sign_flip([0.0, 0.0]) == 1.0


def test_sign_flip_over_many_blocks_of_problems():
    # +1 and -1 in turn: a sum of 0 is never extreme, so every pattern is at least as far out
    assert sign_flip([1.0, -1.0] * 1_500, draws=2_000) == 1.0


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_binomial_test(gained, lost):
    expected = scipy.stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=16))
def test_mcnemar_and_sign_flip_agree_on_zeros_and_ones(differences):
    gained, lost = differences.count(1.0), differences.count(-1.0)
    assert mcnemar(gained, lost) == pytest.approx(sign_flip(differences), abs=1e-12)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 29, 199, 200, 201, 499, 10**6])
@pytest.mark.parametrize("p", [0.5, 0.6, 0.9, 0.975, 0.9995])
def test_t_quantile_agrees_with_scipy(p, df):
    assert t_quantile(p, df) == pytest.approx(scipy.stats.t.ppf(p, df), rel=1e-8, abs=1e-9)


def test_t_interval_agrees_with_scipy():
    values = [0.0, 0.25, -0.5, 1.0, 0.75]
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert t_interval(values) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_interval_of_one_problem_is_everything():
    assert t_interval([0.5]) == (-1.0, 1.0)


def test_interval_covers_as_often_as_it_says():
    # 30 problems of unequal difficulty, 4 answers each, both models equally good: 93 to 97 in 100 intervals hold the 0
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(2_000):
        difficulty = rng.beta(1, 1, size=30)
        before, after = rng.binomial(4, difficulty) / 4, rng.binomial(4, difficulty) / 4
        low, high = t_interval(after - before)
        covered += low <= 0 <= high
    assert 0.93 <= covered / 2_000 <= 0.97


def test_interval_of_paired_single_answers():
    # 5 gained and none lost of 60, with one more each: 6/62 - 1/62 +- 1.96 sqrt((7/62 - (5/62)^2) / 62)
    reach = 1.959964 * math.sqrt((7 / 62 - (5 / 62) ** 2) / 62)
    assert paired_interval(5, 0, 60) == pytest.approx((5 / 62 - reach, 5 / 62 + reach), abs=1e-6)
    low, high = paired_interval(0, 0, 30)
    assert low == -high < 0  # no difference seen is not none


@pytest.mark.parametrize("skill", [0.0, 0.5, 1.5])
def test_interval_of_paired_single_answers_covers_as_often_as_it_says(skill):
    """30 problems, one answer each; the other model is better by `skill` on the logit scale."""
    rng = np.random.default_rng(8)
    difficulty = rng.normal(size=200_000)
    before, after = 1 / (1 + np.exp(-difficulty)), 1 / (1 + np.exp(-difficulty - skill))
    true = (after - before).mean()
    gained, lost = np.zeros(4_000, dtype=int), np.zeros(4_000, dtype=int)
    for i in range(4_000):
        drawn = rng.integers(0, 200_000, size=30)
        moved = (rng.random(30) < after[drawn]).astype(int) - (rng.random(30) < before[drawn])
        gained[i], lost[i] = (moved > 0).sum(), (moved < 0).sum()
    held = [
        low <= true <= high
        for low, high in (paired_interval(up, down, 30) for up, down in zip(gained.tolist(), lost.tolist(), strict=True))
    ]
    assert 0.93 <= np.mean(held) <= 0.97


def test_the_interval_and_the_test_agree_about_a_handful_of_problems():
    for gained in range(1, 6):  # 2 / 2^gained > 0.05
        low, high = paired_interval(gained, 0, 60)
        assert low < 0 < high


def test_paired_difference_pairs_by_problem():
    before = {"a": 0.0, "b": 0.5, "c": 0.25, "only before": 1.0}
    after = {"c": 0.5, "b": 1.0, "a": 0.5, "only after": 0.0}
    test = paired_difference(before, after)
    assert test.n == 3
    assert test.difference == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    assert (test.name, test.p_value) == ("sign-flip", 0.25)  # all three up: 2 of 8 patterns
    assert not test.distinguishable


def test_paired_difference_of_single_answers_is_mcnemar():
    before = {str(i): 0.0 for i in range(12)}
    after = {str(i): float(i < 9) for i in range(12)}
    test = paired_difference(before, after)
    assert (test.name, test.p_value) == ("McNemar", 2 / 2**9)
    assert test.distinguishable
    assert test.interval[0] < 0.75 < test.interval[1]


def test_paired_difference_of_strangers_is_refused():
    with pytest.raises(ValueError, match="no scored problem in common"):
        paired_difference({"a": 1.0}, {"b": 1.0})
