"""The two parts of the variance: against statsmodels' analysis of variance, and plans that keep what they promise."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.formula.api import ols

from kgym.score.stats import mean_stderr
from kgym.score.variance import plan_precision, split_variance


def simulated(rng, problems, samples, a=1.0, b=1.0):
    """Scores of shape (problems, samples)."""
    return rng.binomial(1, rng.beta(a, b, size=problems)[:, None], size=(problems, samples)).astype(float)


def split(scores):
    samples = scores.shape[1]
    variances = scores.var(axis=1, ddof=1) if samples > 1 else np.full(len(scores), math.nan)
    return split_variance(scores.mean(axis=1), variances, np.full(len(scores), samples))


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_agree_with_the_analysis_of_variance(seed):
    scores = simulated(np.random.default_rng(seed), 25, 6)
    table = pd.DataFrame({"score": scores.ravel(), "problem": np.repeat(np.arange(25), 6)})
    squares = sm.stats.anova_lm(ols("score ~ C(problem)", table).fit())
    within, between = squares.loc["Residual", "mean_sq"], squares.loc["C(problem)", "mean_sq"]
    found = split(scores)
    assert found.sampling_var == pytest.approx(within, abs=1e-9)
    assert found.problem_var == pytest.approx(max(0.0, (between - within) / 6), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_clustered_error_agrees_with_statsmodels(seed):
    scores = simulated(np.random.default_rng(seed), 25, 6)
    fit = sm.OLS(scores.ravel(), np.ones(scores.size)).fit(
        cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(25), 6)}
    )
    mean, stderr = mean_stderr(scores.mean(axis=1))
    assert (mean, stderr) == pytest.approx((fit.params[0], fit.bse[0]), abs=1e-9)


def test_the_parts_add_up_to_the_error():
    scores = simulated(np.random.default_rng(1), 40, 8)
    found = split(scores)
    assert math.hypot(found.stderr_problems, found.stderr_sampling) == pytest.approx(
        mean_stderr(scores.mean(axis=1))[1], abs=1e-12
    )


def test_the_parts_are_what_was_simulated():
    # uniform difficulty: variance of the true scores 1/12, mean variance of a completion E[p(1-p)] = 1/6
    rng = np.random.default_rng(2)
    found = [split(simulated(rng, 30, 4)) for _ in range(2_000)]
    assert np.mean([one.problem_var for one in found]) == pytest.approx(1 / 12, abs=0.003)
    assert np.mean([one.sampling_var for one in found]) == pytest.approx(1 / 6, abs=0.003)


def test_problems_of_unlike_numbers_of_answers():
    # two completions, right and wrong: variance 1/2; three right ones: 0; pooled over 1 + 2 degrees of freedom: 1/6
    found = split_variance([0.5, 1.0], [0.5, 0.0], [2, 3])
    assert found.sampling_var == pytest.approx(1 / 6)
    assert found.samples == pytest.approx(2 / (1 / 2 + 1 / 3))
    assert found.problem_var == pytest.approx(max(0.0, 0.125 - (1 / 6) / 2.4))


def test_one_answer_each_cannot_be_split():
    found = split(simulated(np.random.default_rng(3), 10, 1))
    assert math.isnan(found.problem_var)
    with pytest.raises(ValueError, match="two scored completions"):
        plan_precision(found, 0.01)


def test_a_plan_keeps_its_promise():
    found = split(simulated(np.random.default_rng(4), 60, 8))
    plan = plan_precision(found, 0.05)
    z = 1.959963984540054

    def reach(problems, samples, problem_var):
        return z * math.sqrt((problem_var + found.sampling_var / samples) / problems)

    assert reach(60, plan.samples_same_problems, 0.0) <= 0.05 < reach(60, plan.samples_same_problems - 1, 0.0)
    assert reach(plan.problems, 8, found.problem_var) <= 0.05 < reach(plan.problems - 1, 8, found.problem_var)
    assert plan.samples is None  # 60 problems of uniform difficulty alone leave 7 points
    generous = plan_precision(found, 0.085)
    assert reach(60, generous.samples, found.problem_var) <= 0.085 < reach(60, generous.samples - 1, found.problem_var)


def test_no_precision_of_zero():
    with pytest.raises(ValueError, match="more than 0"):
        plan_precision(split(simulated(np.random.default_rng(5), 10, 2)), 0.0)
