"""Mirror descent and GRPO: the worked example of the papers' equations, and what must hold on any batch."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.testing.algorithms import check_algorithm
from kgym_plugins.algorithms.grpo import GRPO
from kgym_plugins.algorithms.mirror import Mirror

# Two completions of one problem, the first right, the second wrong; every number below can be checked by hand.
LOGPROBS = [[-1.0, -0.5], [-0.7]]
OLD = [[-1.2, -0.6], [-0.4]]
A = 0.5 / (math.sqrt(0.5) + 1e-6)


def make(algorithm, **options):
    return algorithm(algorithm.Options(**options))


def differentiate(algorithm, **changes):
    """Loss and gradient of the example, with some of its tables exchanged."""
    rows = [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in changes.pop("logprobs", LOGPROBS)]
    output = algorithm.loss_on(rows, **({"old_logprobs": OLD, "rewards": [1.0, 0.0], "group_ids": [0, 0]} | changes))
    output.loss.backward()
    return float(output.loss.detach()), [row.grad.tolist() for row in rows]


def test_mirror_by_hand():
    # D = (0.3, -0.3), residuals 0.5 - 0.5 * 0.3 and its opposite, L = 0.35^2 / (2 * 0.5); the gradient is -residual / 2
    # for every token
    loss, grad = differentiate(make(Mirror, tau=0.5))
    assert loss == pytest.approx(0.1225, abs=1e-9)
    assert grad[0] == pytest.approx([-0.175, -0.175], abs=1e-9)
    assert grad[1] == pytest.approx([0.175], abs=1e-9)


def test_mirror_length_normalised():
    # D = (0.15, -0.3), residuals 0.425 and -0.35; a token of the first completion gets half of its gradient
    loss, grad = differentiate(make(Mirror, tau=0.5, length_normalize=True))
    assert loss == pytest.approx((0.425**2 + 0.35**2) / 2, abs=1e-9)
    assert grad[0] == pytest.approx([-0.425 / 4] * 2, abs=1e-9)
    assert grad[1] == pytest.approx([0.175], abs=1e-9)


def test_mirror_log_partition():
    # tau log Z = 0.5 log((e^2 + 1) / 2) = 0.716890; the mean of the rewards is its limit for large tau
    log_z = 0.5 * math.log((math.exp(2) + 1) / 2)
    loss, _ = differentiate(make(Mirror, tau=0.5, log_partition="logmeanexp"))
    assert loss == pytest.approx(((1 - log_z - 0.15) ** 2 + (-log_z + 0.15) ** 2) / 2, abs=1e-9)
    mild = [
        differentiate(make(Mirror, tau=1e4, log_partition=how), logprobs=OLD)[1][0][0] for how in ("mean", "logmeanexp")
    ]
    assert mild[0] == pytest.approx(mild[1], rel=1e-4)
    sharp = differentiate(make(Mirror, tau=1e-3, log_partition="logmeanexp"), logprobs=OLD)[1]
    assert sharp[0][0] == pytest.approx(-1e-3 * math.log(2) / 2, rel=1e-6)  # nothing overflows: 1 - (1 - tau log 2)


def test_mirror_scale_does_not_depend_on_tau_at_the_start():
    # on fresh data D = 0, so the gradient is that of a policy gradient with a mean baseline for any tau
    for tau in (0.01, 1.0, 100.0):
        _, grad = differentiate(make(Mirror, tau=tau), logprobs=OLD)
        assert grad == [pytest.approx([-0.25, -0.25]), pytest.approx([0.25])]


def test_grpo_by_hand():
    # ratios e^0.2 -> clipped at 1.2, e^0.1 free; the wrong completion's e^-0.3 is below 0.8, so it has no gradient
    loss, grad = differentiate(make(GRPO, kl_coef=0))
    assert loss == pytest.approx(-0.1246576, abs=1e-6)
    assert grad[0] == pytest.approx([0.0, -math.exp(0.1) * A / 4], abs=1e-9)
    assert grad[0][1] == pytest.approx(-0.1953682, abs=1e-6)
    assert grad[1] == [0.0]


def test_grpo_token_mean_by_hand():
    loss, _ = differentiate(make(GRPO, kl_coef=0, aggregation="token_mean"))
    assert loss == pytest.approx(-A * (1.2 + math.exp(0.1) - 0.8) / 3, abs=1e-9)
    assert loss == pytest.approx(-0.3547717, abs=1e-6)


def test_grpo_kl_by_hand():
    # equal rewards leave only the KL: d = ref - lp = (0.3, 0, -0.2), k3 = e^d - d - 1, gradient 1 - e^d
    k3 = [math.exp(d) - d - 1 for d in (0.3, 0.0, -0.2)]
    loss, grad = differentiate(make(GRPO, kl_coef=0.1), rewards=[1.0, 1.0], ref_logprobs=[[-0.7, -0.5], [-0.9]])
    assert loss == pytest.approx(0.1 * ((k3[0] + k3[1]) / 2 + k3[2]) / 2, abs=1e-12)
    assert grad[0] == pytest.approx([0.1 * (1 - math.exp(0.3)) / 4, 0.0], abs=1e-12)
    assert grad[1] == pytest.approx([0.1 * (1 - math.exp(-0.2)) / 2], abs=1e-12)


def test_grpo_population_std():
    _, grad = differentiate(make(GRPO, kl_coef=0, std="population"), logprobs=OLD)
    assert grad[1] == pytest.approx([0.5 / (0.5 + 1e-6) / 2])


@pytest.mark.parametrize("algorithm", [make(Mirror), make(GRPO, kl_coef=0)])
@pytest.mark.parametrize("reward", [0.1, 1 / 3, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rewards_teach_nothing(algorithm, reward, dtype):
    # in float32 the mean of seven times 0.1 is not 0.1; divided by std + 1e-6 that would be an advantage
    old = torch.full((7, 3), -1.0, dtype=dtype)
    logprobs = old.clone().requires_grad_()
    algorithm.loss_on(logprobs, old, rewards=[reward] * 7, group_ids=[0] * 7).loss.backward()
    assert float(logprobs.grad.abs().max()) < 1e-9


def test_mismatch_weights_by_hand():
    # old - engine = (1, 0) and (-0.5): weights min(e, 2) = 2, 1 and e^-0.5 by token; min(e, 2) = 2 and e^-0.5 by
    # sequence
    engine = [[-2.2, -0.6], [0.1]]
    fresh = {"logprobs": OLD, "engine_logprobs": engine}
    _, token = differentiate(make(GRPO, kl_coef=0), **fresh)
    assert token == [pytest.approx([-A * 2 / 4, -A / 4]), pytest.approx([A * math.exp(-0.5) / 2])]
    _, sequence = differentiate(make(GRPO, kl_coef=0, mismatch_level="sequence"), **fresh)
    assert sequence == [pytest.approx([-A * 2 / 4, -A * 2 / 4]), pytest.approx([A * math.exp(-0.5) / 2])]
    _, masked = differentiate(make(GRPO, kl_coef=0, mismatch="mask"), **fresh)
    assert masked == [pytest.approx([0, -A / 4]), pytest.approx([A * math.exp(-0.5) / 2])]
    _, off = differentiate(make(GRPO, kl_coef=0, mismatch="off"), **fresh)
    assert off == [pytest.approx([-A / 4, -A / 4]), pytest.approx([A / 2])]
    _, mirror = differentiate(make(Mirror, mismatch_level="sequence", mismatch_cap=3.0), **fresh)
    assert mirror == [pytest.approx([-math.e / 4] * 2), pytest.approx([math.exp(-0.5) / 4])]


def test_loss_on_takes_tensors_and_lists_alike():
    algorithm = make(GRPO, kl_coef=0)
    ragged = algorithm.loss_on(LOGPROBS, OLD, rewards=[1, 0], group_ids=[5, 5]).loss
    padded = torch.tensor([[-1.0, -0.5], [-0.7, math.nan]], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([[-1.2, -0.6], [-0.4, -9.0]], dtype=torch.float64)
    output = algorithm.loss_on(
        padded, old, mask=[[1, 1], [1, 0]], rewards=torch.tensor([1, 0]), group_ids=torch.tensor([5, 5])
    )
    output.loss.backward()
    assert ragged.dtype == torch.float64
    assert float(output.loss.detach()) == pytest.approx(float(ragged), abs=1e-12)
    assert padded.grad[1, 1] == 0  # not NaN


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"old_logprobs": [[-1.0], [-1.0]]}, r"old_logprobs has rows of \[1, 1\] tokens, logprobs has \[2, 1\]"),
        ({"mask": [[1, 1]]}, "mask has rows"),
        ({"rewards": [1.0]}, "one entry for each of 2"),
    ],
)
def test_loss_on_refuses_what_does_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        differentiate(make(GRPO), **changes)


CASES = [
    make(Mirror),
    make(Mirror, tau=0.5, length_normalize=True, log_partition="logmeanexp", mismatch_level="sequence"),
    make(GRPO),
    make(GRPO, kl_coef=0, aggregation="token_mean", mismatch="mask"),
    make(GRPO, aggregation="seq_mean_token_sum", std="population"),
    make(GRPO, aggregation="seq_mean_token_sum_norm", max_tokens=10),
]


@pytest.mark.parametrize("algorithm", CASES, ids=lambda a: f"{type(a).__name__}-{CASES.index(a)}")
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_contract(algorithm, seed):
    check_algorithm(algorithm, seed=seed)


def test_plans_say_what_the_trainer_must_do():
    assert make(Mirror).plan.inner_steps > 1  # with one optimizer step the proximal term has no gradient
    assert not make(Mirror).plan.needs_reference
    assert make(GRPO).plan.needs_reference
    assert not make(GRPO, kl_coef=0).plan.needs_reference
