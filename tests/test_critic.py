"""The critic: whose values stand where, what it starts from, that it learns, and that its folder is its own."""

import random
from dataclasses import replace

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from kgym.algorithms.batch import pack
from kgym.cli.main import main
from kgym.errors import ConfigError
from kgym.models.policy import load_policy
from kgym.registry import registry
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.train.rl.critic import Critic, load_value_model, token_values
from kgym.train.rl.update import frozen_values, update
from kgym_plugins.models.builtin import nano
from trained import sgd, trained

SMALL = {
    "seed": 4,
    "rollout.problems_per_step": 3,
    "rollout.group_size": 4,
    "env.max_tokens": 48,
    "eval.every": 0,
    "train.save_every": 1,
    "train.threads": 1,
    "algo.inner_steps": 2,
}
SETTINGS = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture
def policy():
    return load_policy(nano())


def train(run, *more, steps=2):
    return main(["train", "--algo", "ppo", "--run", str(run), "--steps", str(steps), *SETTINGS, *more, "--json"])


def example_batch(seed=0, n=6):
    """Answers of several lengths; those with an even first token are right, which a critic can come to know."""
    rng = random.Random(seed)
    answers = [[rng.randrange(5, 90) for _ in range(rng.randint(2, 7))] for _ in range(n)]
    return pack(
        prompt_ids=[[rng.randrange(5, 90) for _ in range(rng.randint(1, 4))] for _ in range(n)],
        token_ids=answers,
        rewards=[float(answer[0] % 2 == 0) for answer in answers],
        group_ids=[number // 2 for number in range(n)],
    )


def with_head(value_model):
    """Give the head weights that tell states apart."""
    torch.manual_seed(0)
    for name, parameter in value_model.own.named_parameters():
        if not name.startswith("model."):
            torch.nn.init.normal_(parameter, std=0.3)
    return value_model


@pytest.mark.parametrize("shared", [False, True])
def test_a_token_has_the_value_of_the_state_before_it(policy, shared):
    value_model = with_head(load_value_model(policy, shared=shared, start=policy.folder))
    batch = example_batch()
    values_T = token_values(value_model, batch).detach()
    assert not values_T[~batch.mask].any()
    for episode in range(batch.n_episodes):
        ids = batch.input_ids[batch.episode_ids == episode]
        by_state = value_model(ids[None])[0].detach()
        mask = batch.mask[batch.episode_ids == episode]
        torch.testing.assert_close(
            values_T[batch.episode_ids == episode][mask], by_state[:-1][mask[1:]], atol=1e-5, rtol=0
        )
    frozen_T = frozen_values(
        trained(policy, microbatch_tokens=20), Critic(value_model, torch.optim.SGD(value_model.own.parameters())), batch
    )
    torch.testing.assert_close(frozen_T, values_T, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shared", [False, True])
def test_a_new_critic_expects_nothing(policy, shared):
    assert not token_values(load_value_model(policy, shared=shared, start=policy.folder), example_batch()).any()


def test_a_critic_keeps_the_head_of_a_reward_model(policy, tmp_path):
    torch.manual_seed(1)
    reward_model = AutoModelForSequenceClassification.from_pretrained(nano(), num_labels=1)
    reward_model.save_pretrained(tmp_path)
    value_model = load_value_model(policy, shared=False, start=str(tmp_path))
    reward_model.eval()
    ids = torch.tensor([[7, 8, 9, 10]])
    reward_model.config.pad_token_id = 0
    assert value_model(ids)[0, -1].item() == pytest.approx(reward_model(ids).logits.item(), abs=1e-6)
    assert abs(value_model(ids)[0, -1].item()) > 1e-3


def test_a_critic_of_another_vocabulary_is_refused(policy, tmp_path):
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=1,
        pad_token_id=0,
    )
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="it has 50 tokens and the policy 102"):
        load_value_model(policy, shared=False, start=str(tmp_path))
    with pytest.raises(ConfigError, match=r"the model folder .*/nothing does not exist; name another critic.model"):
        load_value_model(policy, shared=False, start=str(tmp_path / "nothing"))


@pytest.mark.parametrize("shared", [False, True])
def test_a_critic_learns_what_answers_are_worth(policy, shared):
    value_model = load_value_model(policy, shared=shared, start=policy.folder)
    lr = 1e-3
    critic = Critic(value_model, torch.optim.AdamW(value_model.own.parameters(), lr=lr))
    learner = trained(
        policy, lambda parameters: torch.optim.AdamW(parameters, lr=lr if shared else 1e-9), microbatch_tokens=40
    )
    algorithm = registry().create("algorithm", "ppo", {"kl_coef": 0, "lam": 1.0, "clip_value": 10.0, "inner_steps": 4})
    batch = example_batch(n=12)

    def gap():
        last = batch.mask.clone()
        last[:-1] &= batch.episode_ids[1:] != batch.episode_ids[:-1]
        return float((token_values(value_model, batch).detach()[last] - batch.rewards).abs().mean())

    before = gap()
    for step in range(8):
        metrics = update(
            learner,
            algorithm,
            batch,
            temperature=1.0,
            max_grad_norm=1.0,
            rng=random.Random(step),
            critic=critic,
        )
    assert gap() < 0.5 * before
    assert metrics["optim/critic_grad_norm"] > 0
    assert {"critic/loss", "critic/value_mean", "critic/return_mean"} <= metrics.keys()


def test_micro_batches_do_not_change_the_critics_update(policy):
    after = []
    for microbatch_tokens in (10_000, 20):
        start = load_policy(nano())
        value_model = with_head(load_value_model(start, shared=False, start=start.folder))
        critic = Critic(value_model, torch.optim.SGD(value_model.own.parameters(), lr=0.1))
        update(
            trained(start, sgd(0.1), microbatch_tokens=microbatch_tokens),
            registry().create("algorithm", "ppo", {"kl_coef": 0, "inner_steps": 1}),
            example_batch(),
            temperature=1.0,
            max_grad_norm=1e9,
            rng=random.Random(0),
            critic=critic,
        )
        after.append(torch.cat([parameter.detach().flatten() for parameter in value_model.own.parameters()]))
    torch.testing.assert_close(after[0], after[1], atol=1e-6, rtol=0)


def test_a_shared_backbone_learns_from_both_losses(policy):
    batch = replace(example_batch(), advantages=None)
    value_model = with_head(load_value_model(policy, shared=True, start=policy.folder))
    assert sum(parameter.numel() for parameter in value_model.own.parameters()) == policy.model.config.hidden_size + 1
    token_values(value_model, batch).sum().backward()
    assert policy.model.base_model.layers[0].mlp.up_proj.weight.grad.abs().sum() > 0


def test_the_folder_of_a_critic_is_its_own(tmp_path):
    run = tmp_path / "run"
    assert train(run) == 0
    checkpoint = run / "checkpoints" / "step-2"
    policy = AutoModelForCausalLM.from_pretrained(checkpoint)
    critic = AutoModelForTokenClassification.from_pretrained(checkpoint / "critic")
    assert not any("score" in name for name, _ in policy.named_parameters())
    assert critic.score.weight.abs().sum() > 0
    assert not policy.get_input_embeddings().weight.equal(critic.get_input_embeddings().weight)
    assert (
        main(
            [
                "eval",
                "--model",
                str(run),
                "--bench",
                "arithmetic:validation",
                "--problems",
                "2",
                "--run",
                str(tmp_path / "eval"),
            ]
        )
        == 0
    )


@pytest.mark.parametrize(
    "more",
    [
        [],
        pytest.param(["--set", "critic.backbone=shared"], marks=pytest.mark.slow),
        pytest.param(["--set", "algo.kl_in=loss", "--set", "algo.minibatches=2"], marks=pytest.mark.slow),
    ],
)
def test_a_resumed_critic_goes_on_in_the_same_numbers(tmp_path, more):
    straight, halves = tmp_path / "straight", tmp_path / "halves"
    assert train(straight, *more, steps=2) == 0
    assert train(halves, *more, steps=1) == 0
    assert main(["train", "--run", str(halves), "--resume", "--steps", "2", "--json"]) == 0
    first, second = (
        [
            {key: value for key, value in line.items() if not key.startswith(CLOCK)}
            for line in read_metrics(run / "metrics.jsonl")
        ]
        for run in (straight, halves)
    )
    assert first == second
    assert first[-1]["critic/value_mean"] != 0


def test_a_shared_critic_has_no_model_of_its_own(tmp_path, capsys):
    assert train(tmp_path / "run", "--set", "critic.backbone=shared", "--set", f"critic.model={tmp_path}") == 2
    assert "for a separate backbone" in capsys.readouterr().err
    assert train(tmp_path / "run", "--set", f"critic.model={tmp_path}") == 2
    assert "does not contain a model" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
