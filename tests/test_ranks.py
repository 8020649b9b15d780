"""Many comparisons at once: Holm against statsmodels, ranks against simulation."""

import doctest

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from kgym.score import ranks
from kgym.score.intervals import score_interval
from kgym.score.paired import mcnemar, paired_difference
from kgym.score.ranks import Standing, holm, rank_intervals
from kgym.score.stats import t_two_sided


@pytest.mark.parametrize("n", [1, 2, 3, 10, 45])
def test_holm_agrees_with_statsmodels(n):
    p_values = np.random.default_rng(n).beta(0.3, 1, size=n)
    assert holm(p_values.tolist()) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-9)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_statsmodels(gained, lost):
    if gained + lost:
        assert mcnemar(gained, lost) == pytest.approx(
            statsmodels_mcnemar([[0, gained], [lost, 0]], exact=True).pvalue, abs=1e-9
        )


@pytest.mark.parametrize("df", [1, 2, 5, 29, 499, 20_000])
@pytest.mark.parametrize("t", [0.0, 0.3, -1.7, 2.05, 6.0])
def test_t_two_sided_agrees_with_scipy(t, df):
    assert t_two_sided(t, df) == pytest.approx(2 * scipy.stats.t.sf(abs(t), df), abs=1e-9)


def standing(scores, paired=True, samples=1):
    by_problem = {str(i): float(score) for i, score in enumerate(scores)}
    interval = score_interval(scores, n_answers=len(scores) * samples)
    return Standing(
        float(np.mean(scores)), interval, samples, lambda k: by_problem if paired and k == samples else None
    )


def test_clear_differences_give_single_ranks():
    clear = [standing(np.repeat([1.0, 0.0], (solved, 100 - solved))) for solved in (90, 20, 50)]
    assert rank_intervals(clear) == [(1, 1), (3, 3), (2, 2)]


def test_ties_share_their_ranks():
    top, twin, last = [1.0] * 80 + [0.0] * 20, [0.0] * 3 + [1.0] * 80 + [0.0] * 17, [1.0] * 5 + [0.0] * 95
    assert rank_intervals([standing(top), standing(twin), standing(last)]) == [(1, 2), (1, 2), (3, 3)]


def test_pairing_finds_what_means_alone_do_not():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 0.8, size=60)
    one, other = hard, hard + 0.05 + rng.normal(0, 0.03, size=60)
    assert rank_intervals([standing(one), standing(other)]) == [(2, 2), (1, 1)]
    assert rank_intervals([standing(one, paired=False), standing(other, paired=False)]) == [(1, 2), (1, 2)]


def test_what_is_unknown_may_have_any_rank():
    assert rank_intervals([Standing(float("nan")), standing([1.0, 0.5, 0.25])]) == [(1, 2), (1, 2)]
    assert rank_intervals([Standing(0.9), standing([0.0] * 20)]) == [(1, 2), (1, 2)]
    assert rank_intervals([standing([0.5] * 20), standing([0.5] * 20)]) == [(1, 2), (1, 2)]
    assert rank_intervals([standing([0.25] * 20), standing([0.5] * 20)]) == [
        (2, 2),
        (1, 1),
    ]  # better on every one of 20
    assert rank_intervals([]) == []


def test_a_rank_has_the_direction_of_the_tested_difference():
    # one solves 40 problems that the other has no score for, and none of the 20 that both have, of which the other
    # solves 10
    one = {f"own {i}": 1.0 for i in range(40)} | {f"both {i}": 0.0 for i in range(20)}
    other = {f"both {i}": float(i < 10) for i in range(20)}
    assert paired_difference(one, other).difference == 0.5
    assert rank_intervals(
        [Standing(40 / 60, (0.5, 0.8), 1, lambda k: one), Standing(0.5, (0.3, 0.7), 1, lambda k: other)]
    ) == [
        (2, 2),
        (1, 1),
    ]


def test_unlike_numbers_of_answers_are_compared_over_those_that_both_have():
    asked = []

    def scores(k):
        asked.append(k)
        return {str(i): 0.5 for i in range(30)}

    rank_intervals([Standing(0.5, (0.4, 0.6), 16, scores), Standing(0.5, (0.4, 0.6), 4, scores)])
    assert asked == [4, 4]


def test_all_rank_intervals_of_a_table_hold_at_once():
    """Six models, two of them equal, 60 problems, 4 completions each: 95 of 100 tables hold every true rank."""
    rng = np.random.default_rng(1)
    skills = np.array([-0.6, -0.3, 0.0, 0.0, 0.4, 0.9])
    lowest = np.array([1 + (skills > skill).sum() for skill in skills])
    highest = np.array([(skills >= skill).sum() for skill in skills])
    held = 0
    for _ in range(300):
        chances = 1 / (1 + np.exp(-(rng.normal(size=(1, 60)) + skills[:, None])))
        found = rank_intervals([standing(row) for row in rng.binomial(4, chances) / 4])
        held += all(low <= lowest[i] and highest[i] <= high for i, (low, high) in enumerate(found))
    assert held / 300 >= 0.93


def test_examples():
    assert doctest.testmod(ranks).failed == 0
