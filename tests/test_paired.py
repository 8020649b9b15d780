"""Whether two scores differ: one rule, against scipy, hand-worked numbers and simulated boards."""

import doctest
import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from kgym.score import paired
from kgym.score.paired import (
    EXACT_UP_TO,
    exact_p,
    mcnemar,
    paired_difference,
    paired_interval,
    sign_flip,
    t_interval,
    unpaired_p,
)
from kgym.score.ranks import Standing, rank_intervals


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_sign_flip_is_exact_for_few_problems(differences):
    values = [difference / 4 for difference in differences]
    sums = [
        sum(sign * value for sign, value in zip(signs, values, strict=True))
        for signs in itertools.product((1, -1), repeat=len(values))
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


def test_t_interval_agrees_with_scipy():
    values = [0.0, 0.25, -0.5, 1.0, 0.75]
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert t_interval(values) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_interval_of_one_problem_is_everything():
    assert t_interval([0.5]) == (-1.0, 1.0)


def test_interval_covers_as_often_as_it_says():
    # 30 problems of unequal difficulty, 4 completions each, equally good models: 93 to 97 in 100 intervals hold the 0
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
    """30 problems, one completion each; the other model is better by `skill` on the logit scale."""
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
        for low, high in (
            paired_interval(up, down, 30) for up, down in zip(gained.tolist(), lost.tolist(), strict=True)
        )
    ]
    assert 0.93 <= np.mean(held) <= 0.97


def scores(values):
    return {f"p{i:03d}": float(value) for i, value in enumerate(values)}


def assert_one_rule(before, after):
    """Interval, p, word and rank say the same, and the sign is that of the difference."""
    test = paired_difference(before, after)
    low, high = test.interval
    assert test.distinguishable == (not low <= 0 <= high) == (test.p_value <= 0.05)
    ranks = rank_intervals(
        [Standing(0.5, (0.4, 0.6), 1, lambda samples: before), Standing(0.5, (0.4, 0.6), 1, lambda samples: after)]
    )
    assert ranks == (
        [(1, 2)] * 2 if not test.distinguishable else [(2, 2), (1, 1)] if test.difference > 0 else [(1, 1), (2, 2)]
    )
    return test


def test_five_problems_up_by_half_are_one_finding_everywhere():
    # t = 0.0833 / (0.1895 / sqrt(30)) = 2.408 with 29 degrees of freedom: p = 0.0226. The sign-flip test has 2 of 32
    # patterns: 0.0625
    before, after = scores([0.25] * 30), scores([0.75] * 5 + [0.25] * 25)
    test = assert_one_rule(before, after)
    assert (test.name, test.n) == ("t", 30)
    assert test.p_value == pytest.approx(0.0226, abs=1e-4)
    assert test.interval == pytest.approx((0.0126, 0.1541), abs=1e-4)
    assert exact_p(before, after) == 0.0625


@pytest.mark.parametrize("n", [30, 60])
def test_single_answers_are_one_finding_whatever_is_gained_and_lost(n):
    stricter = 0
    for gained in range(n + 1):
        for lost in range(min(gained, n - gained) + 1):
            before = scores([0.0] * gained + [1.0] * lost + [0.0] * (n - gained - lost))
            after = scores([1.0] * gained + [0.0] * lost + [0.0] * (n - gained - lost))
            test = assert_one_rule(before, after)
            assert test.interval == paired_interval(gained, lost, n)
            stricter += test.distinguishable and mcnemar(gained, lost) > 0.05
    assert stricter >= 12  # the pairs on which the exact test and the interval would contradict each other


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=40))
def test_one_rule_for_any_scores(counts):
    assert_one_rule(scores(a / 8 for a, _ in counts), scores(b / 8 for _, b in counts))


def test_bonett_price_of_single_answers_by_hand():
    # 9 gained of 12: (10 - 1) / 14 over sqrt((11/14 - (9/14)^2) / 14) = 0.6429 / 0.1631, z = 3.94
    test = paired_difference(scores([0.0] * 12), scores([1.0] * 9 + [0.0] * 3))
    assert (test.name, test.n, test.difference) == ("Bonett-Price", 12, 0.75)
    assert test.p_value == pytest.approx(
        2 * scipy.stats.norm.sf((9 / 14) / math.sqrt((11 / 14 - (9 / 14) ** 2) / 14)), rel=1e-9
    )
    assert exact_p(scores([0.0] * 12), scores([1.0] * 9 + [0.0] * 3)) == 2 / 2**9


def test_equal_differences_are_a_sign_test():
    # no spread, no error to estimate: 5 that agree say nothing (2 / 2^5 > 0.05), 6 do
    for n, found in ((1, False), (2, False), (5, False), (6, True), (30, True)):
        test = assert_one_rule(scores([1 / 3] * n), scores([2 / 3] * n))
        assert (test.name, test.distinguishable, test.p_value) == ("sign", found, 2.0 ** (1 - n))
    assert assert_one_rule(scores([0.5] * 30), scores([0.5] * 30)).p_value == 1.0


def test_paired_difference_pairs_by_problem():
    before = {"a": 0.0, "b": 0.5, "c": 0.25, "only before": 1.0}
    after = {"c": 0.5, "b": 1.0, "a": 0.5, "only after": 0.0}
    test = paired_difference(before, after)
    assert (test.n, test.name) == (3, "t")
    assert test.difference == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    assert test.p_value == pytest.approx(scipy.stats.ttest_1samp([0.5, 0.5, 0.25], 0.0).pvalue, rel=1e-9)
    assert exact_p(before, after) == 0.25  # all three up: 2 of 8 patterns


def test_a_difference_that_one_or_two_problems_carry_is_pointed_out():
    start = np.full(30, 0.5)
    spread, four = start + 0.25 * (-1.0) ** np.arange(30), start.copy()
    four[:4] = 1.0
    assert paired_difference(scores(start), scores(spread)).caution == ""
    assert "from 2 of 30 problems" in paired_difference(scores(start), scores(four)).caution  # 2 of 4 alike are half
    solved = np.full(30, 15 / 16)
    assert "fewer than 3 of 30" in paired_difference(scores(solved), scores([*solved[:-1], 1.0])).caution
    assert (
        paired_difference(scores([1.0] * 29 + [0.0]), scores([1.0] * 30)).caution == ""
    )  # single completions: that interval holds


def test_independent_scores_go_by_the_ends_that_face_each_other():
    # Newcombe 1998, table II, contrast (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339; here 95 % decide alike
    one, other = (0.8, 0.6919, 0.8766), (0.6, 0.4905, 0.7003)
    p = unpaired_p(one, other)
    assert p == unpaired_p(other, one)
    reach = math.hypot(0.7003 - 0.6, 0.8 - 0.6919)
    assert 0.2 - reach == pytest.approx(0.0524, abs=2e-4)
    assert p == pytest.approx(2 * scipy.stats.norm.sf(1.959964 * 0.2 / reach), abs=1e-6)
    assert unpaired_p(one, (math.nan, 0.1, 0.2)) == 1.0
    assert unpaired_p(one, (0.5, math.nan, math.nan)) == 1.0
    assert unpaired_p((0.0, 0.0, 0.12), (0.05, 0.03, 0.08)) > 0.4  # none of 30 solved is not "never solves any"


def test_paired_difference_of_strangers_is_refused():
    with pytest.raises(ValueError, match="no scored problem in common"):
        paired_difference({"a": 1.0}, {"b": 1.0})


def test_examples():
    assert doctest.testmod(paired).failed == 0
