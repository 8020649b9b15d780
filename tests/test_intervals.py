"""Intervals of a score: against statsmodels and scipy, and how often they hold what they should."""

import doctest
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from kgym.score import intervals
from kgym.score.intervals import bootstrap_interval, score_interval, wilson
from kgym.score.stats import mean_stderr, t_quantile

LEADERBOARDS = 4_000


@given(st.integers(0, 400), st.integers(1, 400), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels(solved, n, level):
    solved = min(solved, n)
    expected = proportion_confint(solved, n, alpha=1 - level, method="wilson")
    assert wilson(solved / n, n, scipy.stats.norm.ppf(0.5 + level / 2)) == pytest.approx(expected, abs=1e-9)


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=2, max_size=60).filter(
        lambda values: set(values) - {0.0, 1.0}
    )
)
def test_the_interval_is_wilson_over_the_effective_number_of_answers(values):
    mean, stderr = mean_stderr(values)
    n_eff = min(mean * (1 - mean) / stderr**2 if stderr else math.inf, 4 * len(values))
    alpha = 2 * scipy.stats.norm.sf(
        t_quantile(0.975, len(values) - 1)
    )  # Student's quantile by way of statsmodels' normal one
    expected = proportion_confint(mean * n_eff, n_eff, alpha=alpha, method="wilson")
    assert score_interval(values, n_answers=4 * len(values)) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=60))
def test_of_single_answers_it_is_wilson_as_statsmodels_has_it(values):
    expected = proportion_confint(sum(values), len(values), method="wilson")
    assert score_interval(values, n_answers=len(values)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("samples", [4, 16, 64])
@pytest.mark.parametrize("difficulty", [(1, 1), (0.5, 0.5), (4, 1), (1, 2), (0.4, 0.4), (50, 50)], ids=str)
def test_of_30_problems_95_in_100_intervals_hold_the_true_score(difficulty, samples):
    """Each leaderboard draws its own 30 problems, and `samples` completions of each; the true score is the mean over
    all problems.
    """
    rng = np.random.default_rng(20250101)
    chances = rng.beta(*difficulty, size=(LEADERBOARDS, 30))
    scores = rng.binomial(samples, chances) / samples
    true = difficulty[0] / sum(difficulty)
    held = [low <= true <= high for low, high in (score_interval(row, n_answers=30 * samples) for row in scores)]
    assert 0.93 <= np.mean(held) <= 0.97


def test_near_the_end_of_the_scale_mean_and_error_do_not_cover_and_ours_does():
    rng = np.random.default_rng(1)
    scores = rng.binomial(1, rng.beta(8, 1, size=(LEADERBOARDS, 30))).astype(float)
    plain = [abs(mean - 8 / 9) <= 1.96 * stderr for mean, stderr in map(mean_stderr, scores)]
    ours = [low <= 8 / 9 <= high for low, high in (score_interval(row, n_answers=30) for row in scores)]
    assert np.mean(plain) < 0.90
    assert 0.93 <= np.mean(ours) <= 0.97


@pytest.mark.parametrize("takes", [[1], [1, 2, 4, 8, 16, 32, 64]], ids=["one answer", "any"])
def test_over_many_leaderboards_of_unlike_models_it_covers_as_it_says(takes):
    """With one completion each there are 31 scores, and coverage jumps between 92 and 98 % with the true score; the
    mean over models counts.
    """
    rng = np.random.default_rng(2)
    held = []
    for _ in range(LEADERBOARDS):
        a, b = rng.uniform(0.3, 5, size=2)
        samples = int(rng.choice(takes))
        low, high = score_interval(rng.binomial(samples, rng.beta(a, b, size=30)) / samples, n_answers=30 * samples)
        held.append(low <= a / (a + b) <= high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_what_few_problems_say():
    assert all(map(math.isnan, score_interval([], n_answers=0)))
    assert score_interval([0.5], n_answers=8) == (0.0, 1.0)
    low, high = score_interval([0.0] * 30, n_answers=30)
    assert low == 0.0
    assert high == pytest.approx(1.96**2 / (30 + 1.96**2), abs=1e-4)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50), st.integers(1, 64))
def test_the_interval_is_in_the_scale_and_holds_the_mean(values, samples):
    low, high = score_interval(values, n_answers=samples * len(values))
    assert 0.0 <= low <= np.mean(values) + 1e-12
    assert np.mean(values) - 1e-12 <= high <= 1.0


def test_the_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(3).choice([0.0, 0.25, 0.5, 1.0], size=40)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(4)
    )
    simulation = (
        0.003  # of a quantile of 10,000 draws: about 2.7 sigma / sqrt(10,000) with sigma = 0.06, four times over
    )
    assert bootstrap_interval(values) == pytest.approx(tuple(expected.confidence_interval), abs=4 * simulation)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval([0.5] * 5) == (0.5, 0.5)
    assert all(map(math.isnan, bootstrap_interval([])))


def test_the_bootstrap_of_as_many_values_as_problems():
    values = np.random.default_rng(5).random(300)
    low, high = bootstrap_interval(values)
    reach = 1.96 * values.std() / math.sqrt(300)
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.1 * reach)


def test_examples():
    assert doctest.testmod(intervals).failed == 0
