"""PPO-ptx: the term is the supervised loss times its coefficient, on examples that move on from step to step."""

import json

import pytest
import torch

from kgym.errors import ConfigError, DataError
from kgym.keys import load_config
from kgym.models.names import resolve_model
from kgym.train.policy import TrainedPolicy
from kgym.train.rl.ptx import pretraining_examples, pretraining_term
from kgym.train.supervised.sft import add_likelihood


@pytest.fixture
def policy():
    return TrainedPolicy.load(resolve_model("nano"), load_config(overrides=["train.microbatch_tokens=100"]).train)


def gradient(policy):
    return torch.cat([parameter.grad.flatten() for parameter in policy.parameters()])


def test_the_term_adds_coef_times_the_gradient_of_the_supervised_loss(policy):
    examples = pretraining_examples(load_config(overrides=["ptx.coef=0.5"]))
    add_likelihood(policy, [examples(n) for n in (6, 7, 8)])
    alone = gradient(policy)
    add = pretraining_term(policy, examples, coef=0.5, batch_size=3, first=1)
    policy.zero_grad()
    metrics = add(1)  # the third optimizer step of the run: examples 6, 7 and 8
    assert torch.allclose(gradient(policy), 0.5 * alone, atol=1e-6)
    assert metrics["ptx/loss_nats"] > 0
    add(0)
    assert not torch.allclose(gradient(policy), alone, atol=1e-3)  # it adds to what is there, and other examples


def test_examples_are_those_of_the_environment_or_of_a_file_and_depend_on_the_seed(tmp_path):
    assert pretraining_examples(load_config()) is None
    worked = pretraining_examples(load_config(overrides=["ptx.coef=1", "env.name=arithmetic"]))
    other = pretraining_examples(load_config(overrides=["ptx.coef=1", "env.name=arithmetic", "seed=1"]))
    assert "\\boxed{" in worked(0).solution
    assert worked(0) != other(0)
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps({"question": "q", "solution": "s"}) + "\n")
    assert pretraining_examples(load_config(overrides=["ptx.coef=1", f"ptx.data={file}"]))(5).solution == "s"
    with pytest.raises(DataError, match="absent"):
        pretraining_examples(load_config(overrides=["ptx.coef=1", "ptx.data=absent.jsonl"]))
    with pytest.raises(ConfigError, match=r"ptx\.coef"):
        load_config(overrides=["ptx.coef=-1"])
