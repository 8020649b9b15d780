"""The parts that losses are made of, and the packing of batches."""

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.algorithms.aggregation import aggregate
from kgym.algorithms.base import AlgorithmBase, AlgorithmOptions
from kgym.algorithms.baselines import group_logmeanexp, group_mean, group_std, leave_one_out_mean, whiten
from kgym.algorithms.batch import minibatches, pack, split
from kgym.algorithms.episodes import masked, scored
from kgym.algorithms.kl import kl_estimate
from kgym.algorithms.ratios import sequence_ratios, token_ratios
from kgym.testing.algorithms import check_algorithm, random_batch
from kgym.types import LossOutput, Totals


def example(**changes):
    """Three episodes of 1 + 2, 2 + 1 and 1 + 1 tokens; the last has no trained token."""
    fields = {
        "prompt_ids": [[1], [2, 3], [4]],
        "token_ids": [[10, 11], [12], [13]],
        "token_mask": [[True, True], [True], [False]],
        "rewards": [1.0, 0.0, 9.0],
        "group_ids": [4, 4, 8],
        "truncated": [False, True, False],
    }
    return pack(**(fields | changes))


def test_pack_lays_prompts_and_answers_end_to_end():
    batch = example(engine_logprobs=[[-0.1, -0.2], [-0.3], [-0.4]])
    assert batch.input_ids.tolist() == [1, 10, 11, 2, 3, 12, 4, 13]
    assert batch.episode_ids.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert batch.mask.tolist() == [False, True, True, False, False, True, False, False]
    assert batch.engine_logprobs.tolist() == pytest.approx([0, -0.1, -0.2, 0, 0, -0.3, 0, -0.4])
    assert batch.totals == Totals(tokens=3, episodes=2, groups=1)
    assert batch.truncated.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": [1.0]}, "rewards has 1 episodes, token_ids has 3"),
        ({"token_mask": [[True], [True], [True]]}, "token_mask does not have one entry"),
        ({"prompt_ids": [[1], [], [4]]}, "episode 1 has an empty prompt"),
    ],
)
def test_pack_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        example(**changes)


def test_an_episode_without_tokens_is_allowed_and_counts_for_nothing():
    batch = example(prompt_ids=[[1], [2, 3], []], token_ids=[[10, 11], [12], []], token_mask=None)
    assert batch.totals == Totals(tokens=3, episodes=2, groups=1)
    assert [part.n_episodes for part in split(batch, 100)] == [2]


@given(st.integers(0, 999), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_split_of_whole_groups_cuts_none(seed, max_tokens):
    batch, _ = random_batch(seed)
    parts = split(replace(batch, rewards=torch.arange(float(batch.n_episodes))), max_tokens, whole_groups=True)
    kept = sorted(int(number) for part in parts for number in part.rewards)
    assert kept == scored(batch).nonzero().flatten().tolist()
    for one in parts:
        assert (
            len(set(one.group_ids.tolist())) == 1
            or one.n_episodes * int(torch.bincount(one.episode_ids).max()) <= max_tokens
        )
        for other in parts:
            assert one is other or not set(one.group_ids.tolist()) & set(other.group_ids.tolist())


@given(seed=st.integers(0, 10**6), max_tokens=st.integers(1, 60))
@settings(deadline=None, max_examples=50)
def test_split_keeps_every_episode_that_is_trained_on_and_its_budget(seed, max_tokens):
    batch, _ = random_batch(seed)
    parts = split(replace(batch, rewards=torch.arange(16.0)), max_tokens)
    assert sorted(r for part in parts for r in part.rewards.tolist()) == scored(batch).nonzero().flatten().tolist()
    for part in parts:
        lengths = torch.bincount(part.episode_ids)
        assert part.n_episodes == 1 or int(lengths.max()) * part.n_episodes <= max_tokens
        assert part.totals == batch.totals


@given(seed=st.integers(0, 10**6), n=st.integers(2, 6))
@settings(deadline=None, max_examples=50)
def test_minibatches_keep_groups_whole(seed, n):
    batch, _ = random_batch(seed)
    parts = minibatches(batch, n, random.Random(seed))
    groups = [set(part.group_ids.tolist()) for part in parts]
    live = set(batch.group_ids[scored(batch)].tolist())
    assert set.union(*groups) == live
    assert sum(map(len, groups)) == len(live)
    assert sum(part.totals.tokens for part in parts) == batch.totals.tokens
    assert all(part.totals.tokens > 0 for part in parts)
    assert len(parts) == min(n, len(live))


def test_baselines_by_hand():
    # group 0: 1, 0, 0.5, and an unscored 100; group 1: a single 0.3
    batch = pack(
        prompt_ids=[[0]] * 5,
        token_ids=[[1]] * 5,
        token_mask=[[True], [True], [True], [False], [True]],
        rewards=[1.0, 0.0, 0.5, 100.0, 0.3],
        group_ids=[0, 0, 0, 0, 1],
    )
    live = [0, 1, 2, 4]
    assert group_mean(batch)[live].tolist() == pytest.approx([0.5, 0.5, 0.5, 0.3])
    assert group_std(batch)[live].tolist() == pytest.approx([0.5, 0.5, 0.5, 0.0])
    assert group_std(batch, sample=False)[0] == pytest.approx((0.5 / 3) ** 0.5)
    assert leave_one_out_mean(batch)[live].tolist() == pytest.approx([0.25, 0.75, 0.5, 0.3])
    want = 0.1 * torch.tensor([10.0, 0.0, 5.0]).double().exp().mean().log()
    assert group_logmeanexp(batch, 0.1)[live].tolist() == pytest.approx([float(want)] * 3 + [0.3])


def test_whitening_is_over_masked_tokens():
    batch = example()
    white = whiten(batch, torch.tensor([7.0, 1.0, 2.0, 7.0, 7.0, 3.0, 7.0, 7.0]))
    assert white.tolist() == pytest.approx([0, -1, 0, 0, 0, 1, 0, 0], abs=1e-6)


def test_aggregation_by_hand():
    batch = example()
    values = torch.tensor([9.0, 1.0, 2.0, 9.0, 9.0, 6.0, 9.0, 9.0])
    assert float(aggregate(batch, values, "token_mean")) == pytest.approx(9 / 3)
    assert float(aggregate(batch, values, "seq_mean_token_mean")) == pytest.approx((1.5 + 6) / 2)
    assert float(aggregate(batch, values, "seq_mean_token_sum")) == pytest.approx((3 + 6) / 2)
    assert float(aggregate(batch, values, "seq_mean_token_sum_norm", 10)) == pytest.approx(0.45)


def test_ratios_by_hand():
    batch = replace(example(), old_logprobs=torch.tensor([0, -1.0, -2.0, 0, 0, -1.0, 0, 0]))
    logprobs = torch.tensor([5.0, -0.5, -2.3, 5.0, 5.0, 999.0, 5.0, 5.0])
    assert token_ratios(batch, logprobs).log().tolist() == pytest.approx([0, 0.5, -0.3, 0, 0, 20.0, 0, 0], abs=1e-5)
    assert sequence_ratios(batch, logprobs).log().tolist() == pytest.approx([0.1, 20.0, 0.0], abs=1e-5)


def test_kl_estimators_agree_with_the_divergence():
    # expectation over the policy's own tokens: k1 and k3 are unbiased, k2 is not but is close for close policies
    policy, other = torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0.4, 0.35, 0.25]).log()
    kl = float((policy.exp() * (policy - other)).sum())
    for estimator, tolerance in (("k1", 1e-6), ("k3", 1e-6), ("k2", 1e-3)):
        assert float((policy.exp() * kl_estimate(policy, other, estimator)).sum()) == pytest.approx(kl, abs=tolerance)


def test_masked_stops_nan_in_value_and_gradient():
    batch = example()
    values = torch.where(batch.mask, torch.tensor(2.0), torch.tensor(float("nan"))).requires_grad_()
    masked(batch, values).sum().backward()
    assert values.grad.tolist() == batch.mask.float().tolist()


class Leaky(AlgorithmBase):
    """Breaks one rule of the contract, named by `rule`."""

    def __init__(self, rule):
        super().__init__(AlgorithmOptions())
        self.rule = rule

    def advantages(self, batch):
        values = batch.rewards[batch.episode_ids]
        return values if self.rule == "advantages are not 0" else masked(batch, values)

    def loss(self, batch, logprobs):
        values = logprobs * batch.advantages
        if self.rule == "masked out have a gradient":
            return LossOutput((logprobs * logprobs.detach().abs()).sum())
        if self.rule == "micro-batches: the loss":
            return LossOutput(masked(batch, values).sum() / max(int(batch.mask.sum()), 1))
        if self.rule == "micro-batches: the metric":
            return LossOutput(masked(batch, values).sum(), {"policy/tokens": 1.0})
        if self.rule == "longer prompts":
            return LossOutput((masked(batch, values) * torch.bincount(batch.episode_ids)[batch.episode_ids]).sum())
        return LossOutput(masked(batch, values).sum() / batch.totals.tokens)


BROKEN = [
    "advantages are not 0",
    "masked out have a gradient",
    "micro-batches: the loss",
    "micro-batches: the metric",
    "longer prompts",
]


@pytest.mark.parametrize("rule", BROKEN)
def test_the_contract_catches_what_breaks_it(rule):
    with pytest.raises(AssertionError, match=rule):
        check_algorithm(Leaky(rule))


def test_the_contract_accepts_what_keeps_it():
    check_algorithm(Leaky("none"))
