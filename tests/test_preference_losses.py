"""The losses of preferences: by hand, by their properties, and over a model."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.algorithms.preference import dpo_loss, pairwise_loss, ranking_loss
from kgym.models.policy import load_policy
from kgym.models.reward_model import load_reward_model
from kgym.supervised_config import DPOConfig, DPOSection
from kgym.train.logprobs import token_logprobs
from kgym.train.policy import TrainedPolicy
from kgym.train.supervised.dpo import DPO, preference_loss
from kgym.train.supervised.pairs import pair_batch
from kgym.train.supervised.reward_model import row_scores, scores_loss
from kgym.train.supervised.rows import encode_row
from test_preference import CPU, TASTE, comparison, taste

# --- losses, by hand --------------------------------------------------------------------------------------------------


def double(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_dpo_and_its_gradient_in_float64():
    # margins beta [(lp - ref)_w - (lp - ref)_l]: 0.1 (1 - (-2)) = 0.3 and 0.1 (-0.5 - 0.5) = -0.1
    chosen, rejected = double(-4.0, -3.0), double(-7.0, -2.0)
    ref_chosen, ref_rejected = double(-5.0, -2.5), double(-5.0, -2.5)
    output = dpo_loss(chosen, rejected, ref_chosen.detach(), ref_rejected.detach(), beta=0.1)
    output.loss.backward()
    assert float(output.loss.detach()) == pytest.approx(
        (-math.log(sigmoid(0.3)) - math.log(sigmoid(-0.1))) / 2, abs=1e-12
    )
    expected = [-0.1 * sigmoid(-0.3) / 2, -0.1 * sigmoid(0.1) / 2]
    assert chosen.grad.tolist() == pytest.approx(expected, abs=1e-12)
    assert rejected.grad.tolist() == pytest.approx([-value for value in expected], abs=1e-12)
    assert output.metrics == pytest.approx({"preference/accuracy_frac": 0.5, "preference/margin_mean": 0.1})


def test_label_smoothing_exchanges_some_labels():
    arguments = double(-4.0), double(-7.0), double(-5.0), double(-5.0)
    output = dpo_loss(*arguments, beta=0.1, label_smoothing=0.2)
    assert float(output.loss.detach()) == pytest.approx(
        -0.8 * math.log(sigmoid(0.3)) - 0.2 * math.log(sigmoid(-0.3)), abs=1e-12
    )


def test_a_ranking_of_three_and_its_gradient_in_float64():
    # best first 2, 0, 1: margins 2, 1, -1, each with the weight 1 / C(3, 2)
    scores = torch.tensor([[2.0, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    output = ranking_loss(scores)
    output.loss.backward()
    assert float(output.loss.detach()) == pytest.approx(
        -sum(math.log(sigmoid(margin)) for margin in (2, 1, -1)) / 3, abs=1e-12
    )
    a, b, c = sigmoid(-2) / 3, sigmoid(-1) / 3, sigmoid(1) / 3
    assert scores.grad[0].tolist() == pytest.approx([-a - b, a - c, b + c], abs=1e-12)


numbers = st.floats(-20, 20)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8), numbers)
@settings(deadline=None, max_examples=50)
def test_a_pairwise_loss_sees_no_constant_and_prefers_one_side_at_most(pairs, shift):
    better, worse = (torch.tensor(side, dtype=torch.float64) for side in zip(*pairs, strict=True))
    loss, metrics = (output := pairwise_loss(better, worse)).loss, output.metrics
    moved = pairwise_loss(better + shift, worse + shift)
    assert float(moved.loss) == pytest.approx(float(loss), rel=1e-9, abs=1e-9)
    turned = pairwise_loss(worse, better)
    assert float(turned.loss - loss) == pytest.approx(
        float((better - worse).mean()), abs=1e-9
    )  # log sigmoid(x) - log sigmoid(-x) = x
    assert metrics["preference/accuracy_frac"] + turned.metrics["preference/accuracy_frac"] <= 1 + 1e-9


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=1, max_size=8), st.floats(0.01, 1))
@settings(deadline=None, max_examples=50)
def test_dpo_at_the_reference_is_log_2_and_falls_as_the_chosen_answer_rises(rows, beta):
    chosen, rejected, ref_chosen, ref_rejected = (
        torch.tensor(side, dtype=torch.float64) for side in zip(*rows, strict=True)
    )
    at_reference = dpo_loss(ref_chosen, ref_rejected, ref_chosen, ref_rejected, beta=beta).loss
    assert float(at_reference) == pytest.approx(math.log(2), abs=1e-12)
    loss = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=beta).loss
    assert float(dpo_loss(chosen + 1, rejected, ref_chosen, ref_rejected, beta=beta).loss) < float(loss) + 1e-12
    assert float(dpo_loss(chosen + 1, rejected + 1, ref_chosen, ref_rejected, beta=beta).loss) == pytest.approx(
        float(loss), rel=1e-9
    )


# --- losses, over a model ---------------------------------------------------------------------------------------------


def test_every_prompt_counts_the_same_however_many_pairs_it_has():
    batch = [comparison("a", "x", "y"), comparison("b", "1", "2", "3")]
    better, worse, weights = pair_batch(batch, lambda one, answer: ([1], [2]), CPU).pairs
    assert better.tolist() == [0, 2, 2, 3]
    assert worse.tolist() == [1, 3, 4, 4]
    assert weights.tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6])


def test_the_pairs_of_micro_batches_are_those_of_the_batch(tiny_model):
    policy = TrainedPolicy.load(str(tiny_model), DPOConfig(train={"microbatch_tokens": 60}).train)
    batch = pair_batch(
        [taste(n) for n in range(7)], lambda one, answer: encode_row(policy.bare, one.prompt, answer), CPU
    )
    found = []
    for micro, places, _ in policy.microbatches(batch.pack, whole_groups=True):
        pairs = batch.within(micro, places)
        rows = batch.pack.episode_ids[places].unique_consecutive()
        found += zip(rows[pairs.better].tolist(), rows[pairs.worse].tolist(), pairs.weights.tolist(), strict=True)
    assert sorted(found) == sorted(zip(*(side.tolist() for side in batch.pairs), strict=True))
    assert len(found) == 14


def dpo_part(tiny_model, **settings):
    """The part of a run, with a policy that has moved away from its reference."""
    part = DPO(DPOConfig(dpo=settings.pop("dpo", {}), train=settings), TASTE)
    part.load(str(tiny_model), None)
    with torch.no_grad():
        part.policy.bare.model.get_input_embeddings().weight.mul_(1.1)
    return part


def test_dpo_sums_the_tokens_of_answers_and_micro_batches_change_nothing(tiny_model):
    policy, reference = load_policy(tiny_model, device="cpu"), load_policy(tiny_model, device="cpu").model
    with torch.no_grad():
        policy.model.get_input_embeddings().weight.mul_(1.1)
    batch = [taste(n) for n in range(5)]

    def total(model, prompt, answer):
        prompt_ids, answer_ids = encode_row(policy, prompt, answer)
        ids = torch.tensor([prompt_ids + answer_ids])
        with torch.no_grad():
            return float(token_logprobs(model, ids, torch.ones_like(ids))[0][0, len(prompt_ids) :].sum())

    expected = 0.0
    for one in batch:
        ahead = [
            total(policy.model, one.prompt, answer) - total(reference, one.prompt, answer) for answer in one.answers
        ]
        expected += (
            sum(-math.log(sigmoid(0.3 * (ahead[i] - ahead[j]))) for i, j in one.pairs) / len(one.pairs) / len(batch)
        )

    found = []
    for tokens in (1, 100_000):
        part = dpo_part(tiny_model, microbatch_tokens=tokens, dpo={"beta": 0.3, "batch_size": 5})
        metrics = part.add_gradient(1)
        found.append((*metrics.values(), part.policy.bare.model.get_input_embeddings().weight.grad.norm().item()))
    assert found[0][0] == pytest.approx(expected, rel=1e-4)
    assert found[1] == pytest.approx(found[0], rel=1e-3, abs=1e-6)


def test_length_normalized_answers_are_means_over_their_tokens(tiny_model):
    policy = load_policy(tiny_model, device="cpu")
    batch = pair_batch([comparison("q", "aaaa", "b")], lambda one, answer: encode_row(policy, one.prompt, answer), CPU)
    logprobs = torch.where(batch.pack.mask, torch.linspace(-3, -1, batch.pack.n_tokens), torch.zeros(()))
    pack = replace(batch.pack, ref_logprobs=torch.zeros_like(logprobs))
    summed, mean = (
        preference_loss(pack, logprobs, batch.pairs, DPOSection(length_normalize=flag)).metrics
        for flag in (False, True)
    )
    assert mean["preference/chosen_logprob_nats"] == pytest.approx(
        summed["preference/chosen_logprob_nats"] / 5
    )  # the end token counts
    assert mean["preference/rejected_logprob_nats"] == pytest.approx(summed["preference/rejected_logprob_nats"] / 2)


def test_a_new_head_scores_every_answer_alike(tiny_model):
    rewarder = load_reward_model(str(tiny_model), device="cpu", new_head=True)
    assert rewarder.scores([("q", "", "a"), ("q", "", "something else")]) == [0.0, 0.0]
    batch = pair_batch([taste(0)], lambda one, answer: rewarder.row(one.question, one.gold, answer), CPU)
    assert float(scores_loss(row_scores(rewarder, batch.pack), batch.pairs).loss.detach()) == pytest.approx(math.log(2))


def test_a_score_does_not_depend_on_the_rows_beside_it_whatever_the_padding_is(tiny_model):
    rewarder = load_reward_model(str(tiny_model), device="cpu", new_head=True)
    with torch.no_grad():
        rewarder.model.score.weight.normal_()
    rewarder.model.config.pad_token_id = 1  # padding with another token than this one would be read
    rows = [rewarder.row("q", "", "a"), rewarder.row("q", "", "a longer answer")]
    batch = pair_batch(
        [comparison("q", "a", "a longer answer")], lambda one, answer: rewarder.row(one.question, "", answer), CPU
    )
    with torch.no_grad():
        alone = [
            rewarder.head(torch.tensor([[*one, *two]]), torch.ones(1, len(one) + len(two))).item() for one, two in rows
        ]
        assert row_scores(rewarder, batch.pack).tolist() == pytest.approx(alone, abs=1e-5)
