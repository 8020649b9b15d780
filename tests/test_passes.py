"""pass@k and G-Pass@k: against brute force, the scalar formula and scipy."""

import doctest
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from kgym.score import passes
from kgym.score.passes import THRESHOLDS, g_pass_at_k, pass_at_ks
from kgym.score.stats import mean_stderr, pass_at_k

TABLES = st.lists(
    st.integers(0, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=12
)


@given(TABLES)
def test_pass_at_all_k_is_the_mean_of_the_exact_formula(table):
    found, errors = pass_at_ks([n for n, _ in table], [c for _, c in table], 40)
    for k in range(1, 41):
        exact = [pass_at_k(n, c, k) for n, c in table if n >= k]
        assert found[k - 1] == pytest.approx(np.mean(exact), abs=1e-12) if exact else math.isnan(found[k - 1])
        expected = mean_stderr(exact)[1]
        assert errors[k - 1] == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_pass_at_k_of_random_tables_agrees_with_scipy():
    rng = np.random.default_rng(0)
    correct = rng.binomial(256, rng.beta(0.5, 2, size=80))
    found, _ = pass_at_ks(np.full(80, 256), correct, 256)
    for k in (1, 2, 16, 100, 255, 256):
        expected = scipy.stats.hypergeom.sf(0, 256, correct, k).mean()
        assert found[k - 1] == pytest.approx(expected, abs=1e-9)
    assert (np.diff(found) >= -1e-12).all()


@pytest.mark.parametrize("k", [2, 3, 8, 16, 64])
def test_g_pass_agrees_with_scipy(k):
    rng = np.random.default_rng(k)
    correct = rng.binomial(64, rng.beta(1, 1, size=50))
    found, errors = g_pass_at_k(np.full(50, 64), correct, k)
    for tau in THRESHOLDS:
        at_least = math.ceil(tau * k)
        chances = scipy.stats.hypergeom.sf(at_least - 1, 64, correct, k)
        assert found[str(tau)] == pytest.approx(chances.mean(), abs=1e-9)
        assert errors[str(tau)] == pytest.approx(scipy.stats.sem(chances), abs=1e-6)
    above_half = (
        2 / k * sum(scipy.stats.hypergeom.sf(i - 1, 64, correct, k) for i in range(math.ceil(k / 2) + 1, k + 1))
    )
    assert found["mean"] == pytest.approx(above_half.mean(), abs=1e-9)
    assert errors["mean"] == pytest.approx(scipy.stats.sem(above_half), abs=1e-6)


def test_g_pass_of_a_large_table_is_exact_and_fast():
    correct = np.arange(0, 1001)
    found, _ = g_pass_at_k(np.full(1001, 1000), correct, 512)
    expected = scipy.stats.hypergeom.sf(255, 1000, correct, 512).mean()
    assert found["0.5"] == pytest.approx(expected, abs=1e-9)


def test_g_pass_leaves_out_problems_with_too_few_answers():
    assert g_pass_at_k([4, 1], [4, 0], 2)[0]["1.0"] == pytest.approx(1.0)
    assert g_pass_at_k([1], [1], 2) == ({}, {})


def test_the_extremes_of_g_pass():
    # 3 of 4 right, k=2: at least one right is certain; both right in 3 of 6 pairs
    found, errors = g_pass_at_k([4], [3], 2)
    assert (found["0.5"], found["1.0"]) == (pytest.approx(1.0), pytest.approx(0.5))
    assert found["mean"] == pytest.approx(0.5)  # 2/2 times the one threshold above a half
    assert math.isnan(errors["mean"])  # one problem says nothing of others


def test_the_error_of_pass_at_k_is_its_spread_over_boards():
    """30 problems, 64 completions: the clustered error is what the figure differs by from board to board."""
    rng = np.random.default_rng(3)
    figures, errors = [], []
    for _ in range(1_500):
        found, error = pass_at_ks(np.full(30, 64), rng.binomial(64, rng.beta(0.15, 0.6, size=30)), 64)
        figures.append((found[7], found[63]))
        errors.append((error[7], error[63]))
    assert np.mean(errors, axis=0) == pytest.approx(np.std(figures, axis=0), rel=0.06)


def test_examples():
    assert doctest.testmod(passes).failed == 0
