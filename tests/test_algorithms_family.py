"""Every algorithm on the example of `test_algorithms.py`, its loss and gradient worked out by hand, and on a bandit
that it must solve.
"""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.algorithms.preference import dpo_loss, ranking_loss
from kgym.errors import ConfigError
from kgym.registry import registry
from kgym.testing.algorithms import check_algorithm

NAMES = [name for name in registry().infos("algorithm") if registry().provider("algorithm", name).origin == "kgym"]
AGGREGATIONS = ["token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "seq_mean_token_sum_norm"]

# Two completions of one problem, the first right, the second wrong. Ratios e^0.2, e^0.1 and e^-0.3.
LOGPROBS = [[-1.0, -0.5], [-0.7]]
OLD = [[-1.2, -0.6], [-0.4]]
REF = [[-1.1, -0.6], [-0.9]]  # log old - log ref = -0.1, 0 and 0.5
A = 0.5 / (math.sqrt(0.5) + 1e-6)
E2, E1, E3 = math.exp(0.2), math.exp(0.1), math.exp(-0.3)


TAUGHT = "opd"  # learns from its reference, and not from rewards


def make(name, **options):
    return registry().create("algorithm", name, options)


def differentiate(name, options=None, **changes):
    rows = [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in changes.pop("logprobs", LOGPROBS)]
    changes = ({"ref_logprobs": REF} if name == TAUGHT else {}) | changes
    output = make(name, **(options or {})).loss_on(
        rows, **({"old_logprobs": OLD, "rewards": [1.0, 0.0], "group_ids": [0, 0]} | changes)
    )
    output.loss.backward()
    return float(output.loss.detach()), [value for row in rows for value in row.grad.tolist()]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


# 1, 1, 0 of three tokens, and 0.5, 0.5, -0.5 as well, whitened: deviations 1/3, 1/3, -2/3 and a sample variance of 1/3
WHITE = [math.sqrt(3) * deviation for deviation in (1 / 3, 1 / 3, -2 / 3)]
WORKED = {
    # name: options, loss, gradient of the three tokens
    "reinforce": ({}, -(0.5 * -1.5 - 0.5 * -0.7) / 3, [-0.5 / 3, -0.5 / 3, 0.5 / 3]),
    "rloo": ({"kl_coef": 0}, -(1 * -1.5 - 1 * -0.7) / 2, [-0.5, -0.5, 0.5]),
    "gpg": ({}, -(0.5 * -1.5 - 0.5 * -0.7) / 3, [-0.5 / 3, -0.5 / 3, 0.5 / 3]),
    "dr_grpo": ({"max_tokens": 10}, -0.5 * (1.2 + E1 - 0.8) / 20, [0, -0.5 * E1 / 20, 0]),
    "dapo": ({"clip_high": 0.2}, -A * (1.2 + E1 - 0.8) / 3, [0, -A * E1 / 3, 0]),
    "cispo": ({"clip_high": 0.2}, -A * (-1.2 - 0.5 * E1 + 0.7 * E3) / 3, [-1.2 * A / 3, -E1 * A / 3, E3 * A / 3]),
    "gspo": (
        {"clip_low": 0.3, "clip_high": 0.4},
        -A * (math.exp(0.15) - E3) / 2,
        [-A * math.exp(0.15) / 4] * 2 + [A * E3 / 2],
    ),
    "gmpo": (
        {"clip_low": 0.25, "clip_high": 0.15},
        -A * (math.exp(0.125) - math.exp(-0.25)) / 2,
        [0, -A * math.exp(0.125) / 4, 0],
    ),
    "sapo": (
        {},
        -A * (2 * (sigmoid(E2 - 1) + sigmoid(E1 - 1)) - 4 / 1.05 * sigmoid(1.05 * (E3 - 1))) / 2,
        [
            *(-A * r * 4 * sigmoid(r - 1) * (1 - sigmoid(r - 1)) / 4 for r in (E2, E1)),
            A * E3 * 4 * sigmoid(1.05 * (E3 - 1)) * (1 - sigmoid(1.05 * (E3 - 1))) / 2,
        ],
    ),
    "dro": (
        {"beta": 0.1},
        -(0.5 * -1.5 - 0.5 * -0.7 - 0.05 * (0.04 + 0.01 + 0.09)) / 3,
        [-(0.5 - 0.02) / 3, -(0.5 - 0.01) / 3, -(-0.5 + 0.03) / 3],
    ),
    "rest": ({}, 1.5 / 3, [-1 / 3, -1 / 3, 0]),
    "raft": ({}, 1.5 / 3, [-1 / 3, -1 / 3, 0]),
    # log ref - log old = 0.1, 0 and -0.5, the latter cut to -0.3
    "opd": ({"max_advantage": 0.3}, -(0.1 * E2 - 0.3 * E3) / 3, [-0.1 * E2 / 3, 0, 0.3 * E3 / 3]),
}
WHITENED = (-(WHITE[0] * (1.2 + E1) + WHITE[2] * 0.8) / 3, [0, -WHITE[0] * E1 / 3, 0])
for name in ("reinforce++", "reinforce++-baseline", "ppo"):
    WORKED[name] = ({"kl_coef": 0} | ({"lam": 1.0} if name == "ppo" else {}), *WHITENED)


@pytest.mark.parametrize("name", WORKED)
def test_worked_by_hand(name):
    options, want_loss, want_grad = WORKED[name]
    loss, grad = differentiate(name, options)
    tolerance = (
        1e-6 if name in ("ppo", "reinforce++", "reinforce++-baseline") else 1e-9
    )  # 1e-8 under the root of the variance
    assert loss == pytest.approx(want_loss, abs=tolerance)
    assert grad == pytest.approx(want_grad, abs=tolerance)


def test_every_algorithm_is_worked_by_hand():
    assert set(NAMES) == set(WORKED) | {"remax"} | {"mirror", "grpo"}  # the latter two in test_algorithms.py


def test_remax_by_hand():
    # greedy completion worth 0.25: advantages 0.75 and -0.25, sums of tokens, mean over completions
    loss, grad = differentiate("remax", {"kl_coef": 0}, greedy_rewards=[0.25, 0.25])
    assert loss == pytest.approx(-(0.75 * -1.5 - 0.25 * -0.7) / 2, abs=1e-12)
    assert grad == pytest.approx([-0.375, -0.375, 0.125])
    _, grad = differentiate("remax", {"kl_coef": 0.1}, greedy_rewards=[0.25, 0.25], ref_logprobs=REF)
    assert grad == pytest.approx([-(0.75 + 0.01) / 2] * 2 + [-(-0.25 - 0.05) / 2])
    with pytest.raises(ConfigError, match="greedy_rewards"):
        differentiate("remax", {"kl_coef": 0})


def test_rloo_kl_in_the_reward():
    # R = 1 + 0.1 * 0.1 and 0 - 0.1 * 0.5: each completion is compared with the other
    _, grad = differentiate("rloo", {"kl_coef": 0.1}, ref_logprobs=REF)
    assert grad == pytest.approx([-1.06 / 2, -1.06 / 2, 1.06 / 2])


def test_reinforce_pp_kl_to_go():
    # token rewards -0.1 (old - ref): to go 1.01, 1.0 and -0.05, then whitened; ratios 1 on fresh data
    _, grad = differentiate("reinforce++", {"kl_coef": 0.1}, logprobs=OLD, ref_logprobs=REF)
    to_go = torch.tensor([1.01, 1.0, -0.05], dtype=torch.float64)
    assert grad == pytest.approx((-(to_go - to_go.mean()) / to_go.std() / 3).tolist(), abs=1e-6)


def test_kl_in_the_loss():
    # equal rewards leave the KL alone; d = ref - now = -0.1, -0.1, -0.2
    k3 = [math.exp(d) - d - 1 for d in (-0.1, -0.1, -0.2)]
    for name, want in [
        ("dapo", 0.1 * sum(k3) / 3),
        ("gspo", 0.1 * ((k3[0] + k3[1]) / 2 + k3[2]) / 2),
        ("gmpo", 0.1 * ((k3[0] + k3[1]) / 2 + k3[2]) / 2),
        ("sapo", 0.1 * ((k3[0] + k3[1]) / 2 + k3[2]) / 2),
        ("cispo", 0.1 * sum(k3) / 3),
        ("reinforce", 0.1 * sum(k3) / 3),
        ("reinforce++-baseline", 0.1 * (0.01 + 0.01 + 0.04) / 2 / 3),
    ]:
        loss, _ = differentiate(name, {"kl_coef": 0.1}, rewards=[1.0, 1.0], ref_logprobs=REF)
        assert loss == pytest.approx(want, abs=1e-12), name


def test_ppo_critic_by_hand():
    # gamma 1, lam 0.5, old values 0.2, 0.6 and 0.5: deltas 0.4, 0.4, -0.5; A = 0.6, 0.4, -0.5; returns 0.8, 1.0, 0.0
    values = [
        torch.tensor([0.5, 0.7], dtype=torch.float64, requires_grad=True),
        torch.tensor([0.5], dtype=torch.float64, requires_grad=True),
    ]
    output = make("ppo", lam=0.5, kl_coef=0, value_coef=2.0).loss_on(
        LOGPROBS, OLD, rewards=[1, 0], group_ids=[0, 0], values=values, old_values=[[0.2, 0.6], [0.5]]
    )
    advantages = torch.tensor([0.6, 0.4, -0.5], dtype=torch.float64)
    white = ((advantages - advantages.mean()) / advantages.std()).tolist()
    policy = -(white[0] * 1.2 + white[1] * E1 + white[2] * 0.8) / 3
    critic = (
        0.5 * ((0.4 - 0.8) ** 2 + 0.3**2 + 0.5**2) / 3
    )  # the first value is held at 0.2 + 0.2, which is the worse of the two
    assert float(output.loss.detach()) == pytest.approx(policy + 2 * critic, abs=1e-6)
    assert output.metrics["critic/loss"] == pytest.approx(critic)
    output.loss.backward()
    assert values[0].grad.tolist() == pytest.approx([0.0, 2 * -0.3 / 3])
    assert values[1].grad.tolist() == pytest.approx([2 * 0.5 / 3])


def test_ppo_kl_in_the_loss_and_not_in_the_reward():
    # equal rewards and no critic: the whitened advantages are 0, and the k3 of now and reference is left
    rows = {"rewards": [1.0, 1.0], "ref_logprobs": REF}
    loss, _ = differentiate("ppo", {"kl_coef": 0.1, "kl_in": "loss", "lam": 1.0}, **rows)
    assert loss == pytest.approx(0.1 * sum(math.exp(d) - d - 1 for d in (-0.1, -0.1, -0.2)) / 3, abs=1e-12)
    # in the reward: 1 + 0.01, 1 + 0 and 1 - 0.05 to go, as with reinforce++
    _, grad = differentiate("ppo", {"kl_coef": 0.1, "lam": 1.0}, logprobs=OLD, **rows)
    to_go = torch.tensor([1.01, 1.0, 0.95], dtype=torch.float64)
    assert grad == pytest.approx((-(to_go - to_go.mean()) / to_go.std() / 3).tolist(), abs=1e-5)


def test_ppo_and_remax_say_what_they_need():
    assert make("ppo").plan.needs_values
    assert make("remax").plan.needs_greedy
    assert make("ppo").plan.needs_reference


def test_gpg_makes_good_for_groups_that_teach_nothing():
    rows = {"logprobs": [[-1.0]] * 4, "old_logprobs": [[-1.0]] * 4, "group_ids": [0, 0, 1, 1]}
    _, one_of_two = differentiate("gpg", rewards=[1, 0, 1, 1], **rows)
    assert one_of_two == pytest.approx([-2 * 0.5 / 4, 2 * 0.5 / 4, 0, 0])
    _, none = differentiate("gpg", rewards=[0.1, 0.1, 1, 1], **rows)
    assert none == pytest.approx([0, 0, 0, 0], abs=1e-12)


def test_raft_takes_the_best_of_each_group_and_rest_the_right():
    rows = {
        "logprobs": [[-1.0]] * 4,
        "old_logprobs": [[-1.0]] * 4,
        "group_ids": [0, 0, 1, 1],
        "rewards": [0.2, 0.1, 0.9, 0.7],
    }
    assert differentiate("raft", **rows)[1] == [-0.25, 0, -0.25, 0]
    assert differentiate("rest", **rows)[1] == [0, 0, -0.25, -0.25]


GROUPED = ["mirror", "grpo", "dr_grpo", "dapo", "gspo", "gmpo", "cispo", "sapo", "gpg", "rloo", "reinforce++-baseline"]


@pytest.mark.parametrize("name", GROUPED)
@given(rewards=st.lists(st.sampled_from([0.1, 0.7, 1 / 3]), min_size=2, max_size=4), size=st.integers(2, 8))
@settings(deadline=None, max_examples=10)
def test_groups_of_equal_rewards_teach_nothing(name, rewards, size):
    n = len(rewards)
    old = -torch.rand(n * size, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    logprobs = old.clone().requires_grad_()
    all_rewards, groups = [r for r in rewards for _ in range(size)], [g for g in range(n) for _ in range(size)]
    make(name).loss_on(logprobs, old, rewards=all_rewards, group_ids=groups).loss.backward()
    assert float(logprobs.grad.abs().max()) < 1e-8


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10**6))
def test_contract(name, seed):
    check_algorithm(make(name), seed=seed)


@pytest.mark.parametrize("how", AGGREGATIONS)
@pytest.mark.parametrize("name", [name for name in NAMES if "aggregation" in type(make(name).options).model_fields])
def test_contract_of_every_aggregation(name, how):
    for seed in range(3):
        check_algorithm(make(name, aggregation=how, max_tokens=7), seed=seed)


def test_the_contract_sees_a_critic_that_breaks_it():
    algorithm = make("ppo")
    right = algorithm.value_loss
    algorithm.value_loss = lambda batch, values: right(replace(batch, mask=torch.ones_like(batch.mask)), values)
    with pytest.raises(AssertionError, match="masked out"):
        check_algorithm(algorithm)


# --- engine and trainer
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("mismatch", "factor"), [("off", 1.0), ("truncate", 2.0), ("mask", 0.0)])
@pytest.mark.parametrize("level", ["token", "geometric", "sequence"])
def test_every_algorithm_weighs_what_the_engine_sampled_otherwise(name, mismatch, factor, level):
    # every token five times as likely to the trainer as to the engine: a weight of 5, cut at 2, masked at 2, or none
    options = {"kl_coef": 0} if "kl_coef" in type(make(name).options).model_fields else {}
    rows = {"logprobs": OLD, "greedy_rewards": [0.25, 0.25]}
    _, plain = differentiate(name, options, **rows)
    engine = [[value - math.log(5) for value in row] for row in OLD]
    options |= {"mismatch": mismatch, "mismatch_level": level}
    _, weighed = differentiate(name, options, **rows, engine_logprobs=engine)
    assert max(map(abs, plain)) > 1e-4
    assert weighed == pytest.approx([factor * value for value in plain], rel=1e-9)


DEFAULTS = {
    # what the papers take, where they say it
    "mirror": {"inner_steps": 2, "length_normalize": False, "log_partition": "mean"},
    "grpo": {"kl_coef": 0.04, "clip_low": 0.2, "clip_high": 0.2, "std": "sample", "aggregation": "seq_mean_token_mean"},
    "dr_grpo": {"kl_coef": 0.0, "clip_low": 0.2, "clip_high": 0.2, "aggregation": "seq_mean_token_sum_norm"},
    "dapo": {"kl_coef": 0.0, "clip_low": 0.2, "clip_high": 0.28, "aggregation": "token_mean", "max_rounds": 10},
    "gspo": {"kl_coef": 0.0, "clip_low": 3e-4, "clip_high": 4e-4},
    "gmpo": {"kl_coef": 0.0, "clip_low": 0.4, "clip_high": 0.4},
    "cispo": {"kl_coef": 0.0, "aggregation": "token_mean"},
    "sapo": {"kl_coef": 0.0, "t_positive": 1.0, "t_negative": 1.05, "aggregation": "seq_mean_token_mean"},
    "dro": {"aggregation": "token_mean"},
    "gpg": {"aggregation": "token_mean"},
    "reinforce": {"kl_coef": 0.0, "aggregation": "token_mean"},
    "rloo": {"aggregation": "seq_mean_token_sum"},
    "reinforce++": {"clip_low": 0.2, "clip_high": 0.2, "aggregation": "token_mean"},
    "reinforce++-baseline": {"clip_low": 0.2, "clip_high": 0.2, "aggregation": "token_mean"},
    "remax": {"aggregation": "seq_mean_token_sum"},
    "ppo": {
        **{"kl_coef": 0.02, "kl_in": "reward", "clip_low": 0.2, "clip_high": 0.2, "clip_value": 0.2},
        **{"gamma": 1.0, "lam": 0.95, "aggregation": "token_mean"},
    },
    "rest": {"aggregation": "token_mean"},
    "raft": {"aggregation": "token_mean"},
    "opd": {"aggregation": "token_mean", "inner_steps": 1},
}


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_the_papers(name):
    options = make(name).options.model_dump()
    assert {key: options[key] for key in DEFAULTS[name]} == DEFAULTS[name]
    assert (options["mismatch"], options["mismatch_cap"]) == ("truncate", 2.0)
    if name != "dapo":
        assert options["max_rounds"] == 1


def test_remax_learns_nothing_from_answers_as_good_as_the_greedy_one():
    _, grad = differentiate("remax", {"kl_coef": 0}, rewards=[0.7, 0.7], greedy_rewards=[0.7, 0.7])
    assert grad == [0.0, 0.0, 0.0]


# --- a bandit of two tokens
# ---------------------------------------------------------------------------------------------


def solve_bandit(name, options=None, steps=30, taught=None):
    """Train a table of logits to write token 2, then token 0; returns the chance of the right answer before and after.

    Answers have two tokens of four; half the reward is for either. Real inner steps: at least two, so that clips and
    proximal terms act.
    """
    algorithm = make(name, **(options or {}))
    generator = torch.Generator().manual_seed(0)
    logits = torch.zeros(2, 4, requires_grad=True)
    critic = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([logits, critic], lr=0.1)
    reference = (logits.detach() if taught is None else taught).log_softmax(-1)
    places = torch.arange(2)

    def reward(answers):
        return (answers == torch.tensor([2, 0])).float().mean(-1)

    for _ in range(steps):
        answers = torch.stack(
            [torch.multinomial(row, 32, replacement=True, generator=generator) for row in logits.detach().softmax(-1)],
            1,
        )
        old = logits.detach().log_softmax(-1)[places, answers]
        old_values = critic.detach().expand(32, 2)
        for _ in range(max(2, algorithm.plan.inner_steps)):
            loss = algorithm.loss_on(
                logits.log_softmax(-1)[places, answers],
                old,
                rewards=reward(answers),
                group_ids=torch.arange(32) // 8,
                engine_logprobs=old,
                ref_logprobs=reference[places, answers],
                values=critic.expand(32, 2),
                old_values=old_values,
                greedy_rewards=reward(logits.detach().argmax(-1)).expand(32),
            ).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return 1 / 16, float(logits.detach().softmax(-1)[places, torch.tensor([2, 0])].prod())


@pytest.mark.parametrize("name", [name for name in NAMES if name != TAUGHT])
def test_learns_a_bandit(name):
    before, after = solve_bandit(name, {"threshold": 0.4} if name == "rest" else None)
    assert after > 0.5 > before


def test_learns_a_bandit_from_a_teacher_whatever_the_rewards_say():
    teacher = torch.tensor([[0.0, 0.0, 4.0, 0.0], [4.0, 0.0, 0.0, 0.0]])
    before, after = solve_bandit(TAUGHT, taught=teacher)
    assert after > 0.5 > before
    other = torch.tensor([[4.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0]])
    assert solve_bandit(TAUGHT, taught=other)[1] < before, (
        "the teacher writes other tokens than those that are rewarded"
    )


# --- preference
# ---------------------------------------------------------------------------------------------------------


def test_dpo_by_hand():
    # beta 0.1, margins of the sums: chosen +1, rejected -2; -log sigmoid(0.3), gradient -0.1 sigmoid(-0.3)
    chosen, rejected = torch.tensor([-4.0], requires_grad=True), torch.tensor([-7.0], requires_grad=True)
    output = dpo_loss(chosen, rejected, torch.tensor([-5.0]), torch.tensor([-5.0]), beta=0.1)
    output.loss.backward()
    assert float(output.loss.detach()) == pytest.approx(-math.log(sigmoid(0.3)))
    assert float(chosen.grad) == pytest.approx(-0.1 * sigmoid(-0.3))
    assert float(rejected.grad) == pytest.approx(0.1 * sigmoid(-0.3))
    assert output.metrics["preference/accuracy_frac"] == 1.0


def test_ranking_by_hand():
    # three completions, best first, scores 2, 0, 1: pairs (2 over 0), (2 over 1), (0 over 1), the last one wrong;
    # 1 / C(3, 2)
    output = ranking_loss(torch.tensor([[2.0, 0.0, 1.0]]))
    assert float(output.loss) == pytest.approx(
        -(math.log(sigmoid(2)) + math.log(sigmoid(1)) + math.log(sigmoid(-1))) / 3
    )
    assert output.metrics["preference/accuracy_frac"] == pytest.approx(2 / 3)
