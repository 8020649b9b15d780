"""Tokens of older weights: masked out or trained on with importance weights, and what a batch says about its age."""

import copy
import math
import random
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.algorithms.aggregation import mean_over_tokens
from kgym.algorithms.baselines import group_mean
from kgym.algorithms.batch import minibatches, pack, split
from kgym.algorithms.old_tokens import corrected, correction_metrics, older, scale_gradient
from kgym.cli.main import main
from kgym.models.policy import load_policy
from kgym.registry import registry
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.testing.algorithms import check_algorithm, random_batch
from kgym.train.rl.batch import pack_groups
from kgym.train.rl.critic import Critic, load_value_model
from kgym.train.rl.statistics import batch_metrics
from kgym.train.rl.update import update
from kgym.train.scorer import Scorer
from kgym.types import Episode, Group, LossOutput, Message, Observation, Problem, Segment, Totals, UpdatePlan, Verdict
from trained import sgd, trained, trained_copy

NAMES = [name for name in registry().infos("algorithm") if registry().provider("algorithm", name).origin == "kgym"]
CPU = torch.device("cpu")
PROBLEM = Problem(id="test/0", question="?", gold="1")


def segment(version, ids, logprob=-1.0):
    return Segment("x", token_ids=ids, engine_logprobs=[logprob] * len(ids), prompt_ids=[5, 6], version=version)


def episode(*pieces, right=True, **changes):
    verdict = Verdict("correct" if right else "wrong")
    return Episode(PROBLEM, 0, (), list(pieces), verdict, verdict.score, **({"terminated": True} | changes))


def group(*episodes):
    return Group(PROBLEM, list(episodes), [one.reward for one in episodes])


TOOL = Observation(Message("tool", "7"), (40, 41))
MIXED = (
    group(episode(segment(3, [10, 11]), TOOL, segment(4, [12])), episode(segment(4, [13, 2]), right=False)),
    group(
        episode(segment(2, [14]), right=False),
        episode(segment(4, [15])),
        episode(segment(3, [16]), segment(4, [17, 18])),
    ),
)
"""Version 4 is updated. The third episode has old tokens only."""


def packed(old_tokens="mask", groups=MIXED, version=4):
    return pack_groups(groups, device=CPU, version=version, old_tokens=old_tokens)


# --- the pack ---------------------------------------------------------------------------------------------------------


def test_a_pack_has_the_version_of_every_sampled_token_and_none_of_prompts_and_observations():
    for old_tokens in ("mask", "correct"):
        batch = packed(old_tokens)
        assert batch.input_ids.tolist() == [5, 6, 10, 11, 40, 41, 12, 5, 6, 13, 2, 5, 6, 14, 5, 6, 15, 5, 6, 16, 17, 18]
        assert batch.versions.tolist() == [-1, -1, 3, 3, -1, -1, 4, -1, -1, 4, 4, -1, -1, 2, -1, -1, 4, -1, -1, 3, 4, 4]
        assert batch.engine_logprobs.tolist() == [-1.0 if version >= 0 else 0.0 for version in batch.versions.tolist()]


def test_masked_old_tokens_count_for_nothing_but_the_mean_of_their_group():
    batch = packed("mask")
    assert batch.mask.tolist() == [version == 4 for version in batch.versions.tolist()]
    assert batch.totals == Totals(tokens=6, episodes=4, groups=2)
    assert group_mean(batch).tolist() == pytest.approx([1 / 2, 1 / 2, 2 / 3, 2 / 3, 2 / 3])
    assert sum(part.n_episodes for part in split(batch, 7)) == 4  # no forward pass for the one without a trained token
    assert packed("mask", version=5) is None


def test_corrected_old_tokens_are_trained_on():
    batch = packed("correct")
    assert batch.mask.tolist() == [version >= 0 for version in batch.versions.tolist()]
    assert batch.totals == Totals(tokens=10, episodes=5, groups=2)
    assert older(batch, 4).tolist() == [version in (2, 3) for version in batch.versions.tolist()]
    assert packed("correct", version=5).totals.tokens == 10


def test_truncated_and_unscored_episodes_are_left_out_as_ever():
    unscored = Episode(PROBLEM, 0, (), [segment(4, [19])], Verdict("unscored", reason="too_old"), trainable=False)
    cut = episode(segment(3, [20]), segment(4, [21]), trainable=False, truncated=True, terminated=False)
    for old_tokens in ("mask", "correct"):
        batch = packed(old_tokens, [group(unscored, cut, episode(segment(4, [22]), right=False))])
        assert batch.rewards.tolist() == [1.0, 0.0]
        assert batch.input_ids[batch.mask].tolist() == [22]
        assert group_mean(batch).tolist() == [0.5, 0.5]


@given(seed=st.integers(0, 10**6), max_tokens=st.integers(1, 60), n=st.integers(2, 5))
@settings(max_examples=30)
def test_versions_and_weights_travel_with_their_tokens(seed, max_tokens, n):
    batch, _ = random_batch(seed)
    batch = replace(batch, engine_logprobs=batch.old_logprobs - batch.versions * 0.1)
    batch = replace(corrected(batch, 2), input_ids=torch.arange(batch.n_tokens))
    for part in [micro for mini in minibatches(batch, n, random.Random(seed)) for micro in split(mini, max_tokens)]:
        assert part.versions.tolist() == batch.versions[part.input_ids].tolist()
        if batch.correction is not None:
            assert part.correction.tolist() == batch.correction[part.input_ids].tolist()


# --- the weights ------------------------------------------------------------------------------------------------------


def worked():
    """One completion of four tokens, the first three of older weights; old - engine is ln 5, -0.5, 0 and, by the
    engine's fault, 0.7.
    """
    batch = pack(
        prompt_ids=[[5]],
        token_ids=[[7, 8, 9, 2]],
        engine_logprobs=[[0.0] * 4],
        versions=[[0, 1, 1, 2]],
        rewards=[1.0],
        group_ids=[0],
    )
    old_T = torch.tensor([0.0, -1.0, -2.0, -3.0, -4.0], dtype=torch.float64)
    gap_T = torch.tensor([0.0, math.log(5), -0.5, 0.0, 0.7], dtype=torch.float64)
    return replace(batch, old_logprobs=old_T, engine_logprobs=old_T - gap_T)


def test_weights_by_hand():
    batch = corrected(worked(), 2)
    assert batch.correction.tolist() == pytest.approx([1.0, 2.0, math.exp(-0.5), 1.0, 1.0], abs=1e-15)
    assert batch.correction[4] == 1.0  # to the last bit: what the engine did is the business of the algorithm
    assert (batch.old_logprobs - batch.engine_logprobs).tolist() == pytest.approx([0, 0, 0, 0, 0.7])
    total, squares = 3 + math.exp(-0.5), 5 + math.exp(-1)
    assert correction_metrics(batch, 2) == pytest.approx(
        {
            "old_tokens/weight_mean": total / 3,
            "old_tokens/capped_frac": 1 / 3,
            "old_tokens/ess_frac": total**2 / (3 * squares),
        }
    )
    assert corrected(worked(), 2, cap=10.0).correction[1] == pytest.approx(5.0)


def test_a_batch_without_old_tokens_stays_as_it_is():
    batch = worked()
    for fresh, version in (
        (batch, 0),
        (replace(batch, versions=None), 2),
        (replace(batch, mask=batch.versions == 2), 2),
    ):
        assert corrected(fresh, version) is fresh
        assert correction_metrics(fresh, version) == {}
        logprobs_T = torch.zeros(5, requires_grad=True)
        assert scale_gradient(fresh, logprobs_T) is logprobs_T


def test_old_tokens_need_what_the_engine_reported():
    with pytest.raises(ValueError, match="engine_logprobs is missing"):
        corrected(replace(worked(), engine_logprobs=None), 2)


def test_the_gradient_is_scaled_and_the_value_is_not():
    batch = corrected(worked(), 2)
    logprobs_T = batch.old_logprobs.clone().requires_grad_()
    scaled_T = scale_gradient(batch, logprobs_T)
    assert torch.equal(scaled_T, logprobs_T)
    mean_over_tokens(batch, scaled_T).backward()
    assert logprobs_T.grad.tolist() == pytest.approx([0.0, 2 / 4, math.exp(-0.5) / 4, 1 / 4, 1 / 4], abs=1e-15)


@pytest.mark.parametrize("mismatch", ["off", "truncate", "mask"])
@pytest.mark.parametrize("level", ["token", "geometric", "sequence"])
@pytest.mark.parametrize("name", NAMES)
def test_every_algorithm_weighs_old_tokens_once(name, mismatch, level):
    """For any mismatch option: that is about the engine under the same weights, of which the fresh tokens tell."""
    options = {"mismatch": mismatch, "mismatch_level": level}
    algorithm = registry().create("algorithm", name, options)
    batch, logprobs_T = random_batch(11)
    fresh_T = batch.versions == 2
    batch = replace(batch, engine_logprobs=torch.where(fresh_T, batch.old_logprobs, batch.engine_logprobs))
    exact = replace(batch, engine_logprobs=batch.old_logprobs)

    def gradient(batch):
        leaf_T = logprobs_T.clone().requires_grad_()
        batch = replace(batch, advantages=algorithm.advantages(batch))
        algorithm.loss(batch, scale_gradient(batch, leaf_T)).loss.backward()
        return leaf_T.grad

    weights_T = (batch.old_logprobs - batch.engine_logprobs).exp().clamp(max=2.0)
    wanted_T = torch.where(batch.mask, weights_T, 0.0) * gradient(exact)
    assert float((gradient(corrected(batch, 2)) - wanted_T).abs().max()) < 1e-12
    assert not torch.allclose(wanted_T, gradient(exact), rtol=0.1, atol=0)


class Corrected:
    """An algorithm on corrected batches, as the trainer calls it: what is required of its loss and gradient holds
    with the weights.
    """

    def __init__(self, name):
        self.inner = registry().create("algorithm", name, {})
        self.plan = self.inner.plan

    def advantages(self, batch):
        return self.inner.advantages(corrected(batch, 2))

    def loss(self, batch, logprobs):
        batch = corrected(batch, 2)
        return self.inner.loss(batch, scale_gradient(batch, logprobs))

    def value_loss(self, batch, values):
        return self.inner.value_loss(corrected(batch, 2), values)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=5)
def test_the_contract_holds_with_weights(name, seed):
    """Order, padding, longer prompts, micro-batches and masked-out tokens."""
    assert int(older(random_batch(seed)[0], 2).sum()) > 5
    check_algorithm(Corrected(name), seed=seed)


# --- whole updates ----------------------------------------------------------------------------------------------------


@pytest.fixture
def policy(tiny_model):
    return load_policy(tiny_model, device="cpu")


def sampled(policy, batch):
    """Return the batch as an engine without an error reports it: the log-probabilities of the policy."""
    old_T, _ = trained(policy).frozen_logprobs(replace(batch, mask=batch.versions >= 0))
    return replace(batch, engine_logprobs=old_T)


def drifted(batch):
    """Let older weights have given some tokens other probabilities: their weights are 2 (cut), e^-0.4 and 1, in
    turn.
    """
    shift_T = torch.tensor([-1.5, 0.4, 0.0])[torch.arange(batch.n_tokens) % 3]
    return replace(
        batch, engine_logprobs=torch.where(batch.versions < 4, batch.engine_logprobs + shift_T, batch.engine_logprobs)
    )


class Linear:
    """Plain policy gradient, which knows nothing of mismatch weights: all that the protocol asks for."""

    plan = UpdatePlan()

    def advantages(self, batch):
        return torch.where(batch.mask, (batch.rewards - group_mean(batch)).float()[batch.episode_ids], 0.0)

    def loss(self, batch, logprobs):
        return LossOutput(-mean_over_tokens(batch, batch.advantages * logprobs))


def algorithm(name, **options):
    return Linear() if name == "linear" else registry().create("algorithm", name, options)


def updated(policy, batch, name="linear", *, version=4, microbatch_tokens=1000, options=None, **parts):
    """Return the change of all weights by SGD, end to end, and the metrics."""
    learner = trained_copy(policy, sgd(), microbatch_tokens=microbatch_tokens)
    metrics = update(
        learner,
        algorithm(name, **(options or {})),
        batch,
        temperature=1.0,
        max_grad_norm=1e9,
        rng=random.Random(0),
        version=version,
        **parts,
    )
    pairs = zip(learner.parameters(), policy.model.parameters(), strict=True)
    return torch.cat([(new - old).detach().flatten() for new, old in pairs]), metrics


def by_hand(policy, batch, weights_T):
    """Return minus the gradient of - sum of w A log p over the masked-in tokens / their number."""
    model = copy.deepcopy(policy.model)
    logprobs_T, _ = Scorer(model)(batch, temperature=1.0)
    (-(weights_T * Linear().advantages(batch) * logprobs_T)[batch.mask].sum() / batch.mask.sum()).backward()
    return -torch.cat([weight.grad.flatten() for weight in model.parameters()])


def test_an_update_of_mixed_versions_by_hand(policy):
    # advantages 1/2 and -1/2, then -2/3, 1/3 and 1/3
    for old_tokens in ("mask", "correct"):
        batch = drifted(sampled(policy, packed(old_tokens)))
        shift_T = torch.tensor([2.0, math.exp(-0.4), 1.0])[torch.arange(batch.n_tokens) % 3]
        weights_T = torch.where(batch.versions < 4, shift_T, 1.0)
        change, metrics = updated(policy, batch)
        torch.testing.assert_close(change, by_hand(policy, batch, weights_T), atol=1e-6, rtol=1e-4)
        assert metrics["policy/engine_gap_nats"] < 1e-6
    # old tokens at the places 2, 3, 13 and 19: shifts 0, -1.5, 0.4 and 0.4
    weights = [1.0, 2.0, math.exp(-0.4), math.exp(-0.4)]
    assert metrics["old_tokens/gap_nats"] == pytest.approx((1.5 + 0.4 + 0.4) / 4, abs=1e-5)
    assert metrics["old_tokens/weight_mean"] == pytest.approx(sum(weights) / 4, abs=1e-5)
    assert metrics["old_tokens/capped_frac"] == 0.25
    assert metrics["old_tokens/ess_frac"] == pytest.approx(
        sum(weights) ** 2 / (4 * sum(w * w for w in weights)), abs=1e-5
    )
    assert not torch.equal(change, by_hand(policy, batch, torch.ones_like(weights_T)))


def critic_for(policy, tiny_model):
    value_model = load_value_model(policy, shared=False, start=str(tiny_model))
    return Critic(value_model, torch.optim.SGD(value_model.own.parameters(), lr=0.1))


@pytest.mark.parametrize("name", ["mirror", "grpo", "gspo", "ppo", "linear"])
def test_a_batch_without_old_tokens_gives_the_same_numbers_in_both_modes(policy, tiny_model, name):
    groups = [
        group(
            *[
                episode(segment(4, ids), right=right)
                for ids, right in (([10, 11, 2], True), ([12, 2], False), ([13], False))
            ]
        ),
        group(episode(segment(4, [14, 15]), TOOL, segment(4, [16])), episode(segment(4, [17, 2]), right=False)),
    ]
    options = (
        {} if name == "linear" else {"inner_steps": 2, **({"kl_coef": 0.0} if name in ("grpo", "gspo", "ppo") else {})}
    )
    results = []
    for old_tokens, version in (("mask", 4), ("correct", 4), ("mask", 0), ("correct", 0)):
        critic = critic_for(policy, tiny_model) if name == "ppo" else None
        results.append(
            updated(policy, packed(old_tokens, groups, version), name, version=version, options=options, critic=critic)
        )
    for change, metrics in results[1:]:
        assert torch.equal(change, results[0][0])
        assert metrics == results[0][1]
    assert float(results[0][0].abs().max()) > 1e-4
    assert not any(key.startswith("old_tokens/") for key in metrics)


@pytest.mark.parametrize("name", ["mirror", "grpo", "ppo", "linear"])
@pytest.mark.parametrize("old_tokens", ["mask", "correct"])
def test_micro_batches_and_the_order_of_groups_change_nothing(policy, tiny_model, name, old_tokens):
    options = {} if name == "linear" else {"inner_steps": 2, **({"kl_coef": 0.0} if name in ("grpo", "ppo") else {})}
    batch = drifted(sampled(policy, packed(old_tokens)))

    def run(batch, microbatch_tokens):
        critic = critic_for(policy, tiny_model) if name == "ppo" else None
        return updated(policy, batch, name, microbatch_tokens=microbatch_tokens, options=options, critic=critic)

    change, metrics = run(batch, 1000)
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    backwards = torch.cat([torch.nonzero(batch.episode_ids == e).flatten() for e in reversed(range(batch.n_episodes))])
    moved = {
        key: value[backwards] if value.shape == backwards.shape else value.flip(0)
        for key, value in tensors.items()
        if isinstance(value, torch.Tensor)
    }
    other = replace(batch, **moved, totals=batch.totals)
    other = replace(other, episode_ids=batch.n_episodes - 1 - other.episode_ids)
    for changed, changed_metrics in (run(batch, 8), run(batch, 1), run(other, 1000)):
        torch.testing.assert_close(changed, change, atol=2e-6, rtol=1e-4)
        assert changed_metrics == pytest.approx(metrics, abs=1e-4, rel=1e-3)


@pytest.mark.parametrize("name", ["mirror", "grpo", "ppo", "linear"])
def test_exact_old_tokens_are_corrected_by_nothing(policy, tiny_model, name):
    """Older weights that were the same weights: `correct` trains as if all tokens were fresh."""
    options = {} if name == "linear" else {"inner_steps": 2, **({"kl_coef": 0.0} if name in ("grpo", "ppo") else {})}
    batch = sampled(policy, packed("correct"))
    changes = []
    for version in (4, 0):
        critic = critic_for(policy, tiny_model) if name == "ppo" else None
        changes.append(updated(policy, batch, name, version=version, options=options, critic=critic)[0])
    torch.testing.assert_close(*changes, atol=1e-5, rtol=1e-4)


# --- observations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old_tokens", ["mask", "correct"])
def test_an_observation_is_read_and_not_trained_on(policy, old_tokens):
    def answers(tool):
        return [group(episode(segment(4, [10, 11]), tool, segment(4, [12])), episode(segment(4, [13, 2]), right=False))]

    batch = sampled(policy, packed(old_tokens, answers(TOOL)))
    assert batch.mask[:7].tolist() == [False, False, True, True, False, False, True]
    assert batch.totals.tokens == 5
    change, metrics = updated(policy, batch)
    torch.testing.assert_close(change, by_hand(policy, batch, torch.ones(batch.n_tokens)), atol=1e-6, rtol=1e-4)
    # the loss is over the five sampled tokens: -(1/2 of those of the first completion - 1/2 of those of the second) / 5
    first, second = batch.engine_logprobs[:7].sum().item(), batch.engine_logprobs[7:].sum().item()
    assert metrics["policy/loss"] == pytest.approx(-(first - second) / 2 / 5, abs=1e-5)

    other = sampled(policy, packed(old_tokens, answers(Observation(TOOL.message, (40, 50)))))
    gap_T = (other.engine_logprobs - batch.engine_logprobs).abs()
    assert gap_T[2:4].max() < 1e-6  # tokens before it
    assert gap_T[6] > 1e-4  # the token after it was chosen in the light of it
    assert gap_T[7:].max() < 1e-6


def test_the_gradient_of_an_observation_is_zero(policy):
    batch = replace(
        drifted(sampled(policy, packed("correct"))), old_logprobs=sampled(policy, packed("correct")).engine_logprobs
    )
    for name in NAMES:
        subject = registry().create("algorithm", name, {})
        full = replace(
            batch,
            ref_logprobs=batch.old_logprobs,
            old_values=torch.zeros(batch.n_tokens),
            greedy_rewards=torch.zeros(batch.n_episodes),
        )
        full = corrected(full, 4)
        full = replace(full, advantages=subject.advantages(full))
        logprobs_T = full.old_logprobs.clone().requires_grad_()
        subject.loss(full, scale_gradient(full, logprobs_T)).loss.backward()
        assert logprobs_T.grad[4:6].tolist() == [0.0, 0.0], name
        assert logprobs_T.grad.isfinite().all(), name


# --- what is said of it -----------------------------------------------------------------------------------------------


def test_the_age_of_a_batch_by_hand():
    # oldest tokens of the episodes: 3, 4, 2, 4, 3; four of ten sampled tokens are older than 4
    age = {"rollout/age_mean": 4 / 5, "rollout/age_max": 2.0, "rollout/old_tokens_frac": 0.4}
    # lengths 3, 2, 1, 1, 3; the third has no trained token where old ones are masked
    assert batch_metrics(packed("mask"), 4) == pytest.approx(age | {"rollout/tokens_trained_mean": 9 / 4})
    assert batch_metrics(packed("correct"), 4) == pytest.approx(age | {"rollout/tokens_trained_mean": 10 / 5})
    fresh = batch_metrics(packed("mask", version=0), 0)
    assert fresh["rollout/old_tokens_frac"] == 0.0


def test_a_run_says_how_old_its_tokens_are_and_both_modes_agree_without_old_ones(tiny_model, tmp_path):
    lines = {}
    for mode in ("mask", "correct"):
        values = {
            "rollout.problems_per_step": 3,
            "rollout.group_size": 4,
            "env.max_tokens": 8,
            "env.truncated": "score",
            "rollout.schedule": "partial",
            "rollout.old_tokens": mode,
            "eval.every": 0,
            "train.threads": 1,
        }
        settings = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        run = tmp_path / mode
        arguments = [
            "-p",
            "fixed_verdicts",
            "train",
            "--env",
            "arithmetic",
            "--model",
            str(tiny_model),
            "--run",
            str(run),
        ]
        assert main([*arguments, "--steps", "2", *settings, "--set", "verifier=even-length", "-q"]) == 0
        lines[mode] = [
            {key: value for key, value in line.items() if not key.startswith(CLOCK)}
            for line in read_metrics(run / "metrics.jsonl")
        ]
    assert lines["mask"] == lines["correct"]
    for line in lines["mask"]:
        assert line["rollout/age_max"] == line["rollout/age_mean"] == line["rollout/old_tokens_frac"] == 0.0
        assert line["rollout/segments_mean"] == 1.0
        assert line["rollout/tokens_sampled_mean"] == line["episode/tokens_mean"]
        assert line["optim/grad_norm"] > 0
        assert "old_tokens/gap_nats" not in line
