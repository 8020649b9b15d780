"""Nothing that is not finite is trained on, scored or saved, and the message names whose number it was and what to
do.
"""

import math
import random
import re
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from kgym.algorithms.batch import pack
from kgym.cli.main import main
from kgym.envs.setup import EnvSetup
from kgym.errors import ConfigError, EngineError, RunError
from kgym.models.load import broken_weight
from kgym.models.policy import load_policy
from kgym.models.weights import ModelWeights
from kgym.registry import configure, registry
from kgym.rollout.engine import generate
from kgym.rollout.episodes import play_groups
from kgym.testing.engines import ScriptedEngine
from kgym.train.checkpoint import check_weights, way_on
from kgym.train.rl.critic import Critic, load_value_model
from kgym.train.rl.ptx import pretraining_term
from kgym.train.rl.update import update
from kgym.train.scorer import Scorer
from kgym.train.supervised.examples import Example
from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.engines.sampling import choose
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions
from trained import trained

SMALL = {
    "rollout.problems_per_step": 2,
    "rollout.group_size": 2,
    "env.max_tokens": 8,
    "env.truncated": "score",
    "eval.every": 0,
    "train.threads": 1,
}


@pytest.fixture(autouse=True)
def _plugins():
    configure(["breaking"])
    yield
    configure([])


def train(tiny_model, run, *more, **settings):
    words = [word for key, value in (SMALL | settings).items() for word in ("--set", f"{key}={value}")]
    return main(
        [
            "train",
            "-p",
            "breaking",
            "--env",
            "arithmetic",
            "--model",
            str(tiny_model),
            "--run",
            str(run),
            *words,
            *more,
            "-q",
        ]
    )


def requests(n, temperature):
    return [
        GenerateRequest(
            f"r{i}", (Message("user", "1" * (i + 1)),), max_tokens=4, sampling=Sampling(temperature=temperature), seed=i
        )
        for i in range(n)
    ]


# --- engines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_a_row_of_logits_that_are_not_finite_is_seen_and_spoils_no_other(value, temperature):
    logits_BV = torch.zeros(3, 7)
    logits_BV[1, 4] = value
    uniform_B, temperature_B = torch.full((3,), 0.999999, dtype=torch.float64), torch.full((3,), temperature)
    for cut in (None, torch.tensor([3, 3, 3])):
        ids_B, logprobs_B = choose(logits_BV, uniform_B, temperature_B, cut)
        assert (ids_B < 7).all()
        assert logprobs_B.isfinite().tolist() == [True, False, True]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(("version", "remedy"), [(0, "check the weights of that folder"), (3, "an earlier checkpoint")])
def test_the_engine_says_which_weights_and_what_to_do(tiny_model, temperature, version, remedy):
    engine = TransformersEngine(TransformersOptions(), tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        model.model.norm.weight.fill_(3e38)  # finite, and the logits are not
    engine.load(version, ModelWeights(model))
    with pytest.raises(
        EngineError, match=rf"logits of .* are not finite in 3 of 3 completions \(weights of version {version}, float32"
    ) as error:
        list(generate(engine, requests(3, temperature)))
    assert remedy in str(error.value)
    assert "sample in float32" in str(error.value)


def test_log_probabilities_of_any_engine_are_looked_at():
    class Broken(ScriptedEngine):
        def _answer(self, request):
            return super()._answer(request)[0], math.nan

    setup = EnvSetup("arithmetic", {"max_tokens": 10})
    with pytest.raises(
        EngineError, match=r"engine Broken: it returned a log-probability that is not finite \(weights of version 0\)"
    ):
        play_groups(setup, Broken(lambda request: "7"), [0], sampling=Sampling(), seed_parts=("s",))


@pytest.mark.parametrize("temperature", ["1e-40", "inf", "nan", "-1"])
def test_a_temperature_that_no_logit_can_be_divided_by_is_refused(tiny_model, tmp_path, capsys, temperature):
    argv = [
        "eval",
        "--model",
        str(tiny_model),
        "--bench",
        "arithmetic:validation",
        "--temperature",
        temperature,
        "--run",
        str(tmp_path / "e"),
    ]
    assert main(argv) == 2
    assert "temperature" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="temperature"):
        registry().options("verifier", "judge", {"model": "nano", "temperature": float(temperature)})


# --- the update -------------------------------------------------------------------------------------------------------


def batch(rewards=(1.0, 0.0)):
    return pack(
        prompt_ids=[[5, 6], [5, 6]],
        token_ids=[[7, 8], [9, 2]],
        rewards=list(rewards),
        group_ids=[0, 0],
        engine_logprobs=[[-1.0, -1.0], [-1.0, -1.0]],
    )


def updated(policy, *, algorithm="reinforce", rewards=(1.0, 0.0), reference=None, **parts):
    learner = trained(policy, lr=1e-3, microbatch_tokens=64)
    learner._reference = reference
    learner.has_reference = reference is not None
    return update(
        learner,
        registry().create("algorithm", algorithm, {}),
        batch(rewards),
        temperature=1.0,
        max_grad_norm=1.0,
        rng=random.Random(0),
        **parts,
    )


def spoilt(model, value=math.nan):
    with torch.no_grad():
        next(iter(model.parameters())).fill_(value)
    return model


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_each_number_of_an_update_is_named_when_it_is_not_finite(tiny_model, value):
    def policy():
        return load_policy(tiny_model, device="cpu")

    before = [weight.clone() for weight in policy().model.parameters()]
    fresh = policy()
    with pytest.raises(FloatingPointError, match="a reward is"):
        updated(fresh, rewards=(value, 0.0))
    with pytest.raises(FloatingPointError, match="a log-probability of the reference is nan"):
        updated(fresh, algorithm="grpo", reference=Scorer(spoilt(policy().model, value), "padded"))
    critic = load_value_model(fresh, shared=False, start=str(tiny_model))
    spoilt(critic.own, value)
    with pytest.raises(FloatingPointError, match="a value of the critic is nan"):
        updated(fresh, algorithm="ppo", critic=Critic(critic, torch.optim.SGD(critic.own.parameters(), lr=0.1)))
    assert all(map(torch.equal, before, fresh.model.parameters()))  # nothing was trained
    with pytest.raises(FloatingPointError, match="a log-probability of the policy is nan"):
        updated(type(fresh)(spoilt(policy().model, value), fresh.tokenizer, fresh.folder))


def test_prompts_may_contain_tokens_that_the_model_never_writes(tiny_model):
    """Their log-probability is minus infinity, and no one trains on it."""
    policy = load_policy(tiny_model, device="cpu")
    head = policy.model.get_output_embeddings()
    mask = torch.zeros(head.out_features)
    mask[6] = -math.inf
    head.register_forward_hook(lambda module, inputs, output: output + mask)
    logprobs_T, entropy_T = trained(policy).frozen_logprobs(batch())
    assert logprobs_T.isfinite().all()
    assert entropy_T.isfinite().all()
    assert (logprobs_T == 0).tolist() == [True, True, False, False] * 2


def test_a_checkpoint_is_named_only_if_it_is_there(tmp_path):
    model = spoilt(torch.nn.Linear(2, 2))
    with pytest.raises(RunError, match="the run has no checkpoint yet, so start again with less"):
        check_weights(broken_weight(model), "the policy", tmp_path, "less")
    for step in (2, 10):
        (tmp_path / f"step-{step}").mkdir()
        (tmp_path / f"step-{step}" / "trainer.pt").touch()
    assert f"start a new run from it (--model {tmp_path / 'step-10'}) with less" in way_on(tmp_path, "less")
    check_weights(broken_weight(torch.nn.Linear(2, 2)), "the policy", tmp_path, "less")


# --- whole commands ---------------------------------------------------------------------------------------------------


@pytest.fixture
def damage(monkeypatch):
    """Let the first optimizer step leave a NaN, as AdamW does in float16 where a gradient is 0."""
    step, done = torch.optim.AdamW.step, []

    def damaging(self, *arguments):
        step(self, *arguments)
        if not done:
            with torch.no_grad():
                self.param_groups[0]["params"][-1][0, 0] = math.nan
        done.append(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", damaging)


def error_of(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("kgym: error: ")


def test_a_shaper_is_blamed_for_its_own_numbers(tiny_model, tmp_path, capsys):
    assert train(tiny_model, tmp_path / "run", "--steps", "3", "--algo", "grpo", **{"shapers.breaking": "{}"}) == 1
    message = error_of(capsys)
    assert re.match(r"shaper 'breaking'.*, problem arithmetic/.*: it returned the reward nan in step 2", message)
    assert train(tiny_model, tmp_path / "remax", "--steps", "3", "--algo", "remax", **{"shapers.breaking": "{}"}) == 1
    assert error_of(capsys).startswith("shaper 'breaking'")


@pytest.mark.parametrize(
    ("algorithm", "whose"),
    [("breaking", "an advantage of algorithm 'breaking'"), ("breaking-loss", "the loss of algorithm 'breaking-loss'")],
)
def test_an_algorithm_is_blamed_for_its_own_numbers_and_the_last_checkpoint_named(
    tiny_model, tmp_path, capsys, algorithm, whose
):
    checkpoint = tmp_path / "run" / "checkpoints" / "step-1"
    assert train(tiny_model, tmp_path / "run", "--steps", "3", "--algo", algorithm, **{"train.save_every": 1}) == 1
    message = error_of(capsys)
    assert message.startswith(f"step 2: {whose}")
    assert f"the last good checkpoint is {checkpoint}: start a new run from it (--model {checkpoint})" in message
    again = train(checkpoint, tmp_path / "again", "--steps", "1", "--algo", "grpo")
    assert again == 0  # as the message says


@pytest.mark.usefixtures("damage")
def test_weights_that_are_not_finite_are_not_saved(tiny_model, tmp_path, capsys):
    assert train(tiny_model, tmp_path / "run", "--steps", "1", "--algo", "breaking", **{"train.save_every": 1}) == 1
    message = error_of(capsys)
    assert message.startswith("step 1: the policy is not finite any more (weights model.")
    assert message.endswith("the run has no checkpoint yet, so start again with a smaller train.lr (now 0.0001)")
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.usefixtures("damage")  # its step is the first
def test_a_critic_that_is_not_finite_is_not_saved(tiny_model, tmp_path, capsys):
    settings = {"train.save_every": 1, "algo.inner_steps": 1, "algo.minibatches": 1}
    assert train(tiny_model, tmp_path / "run", "--steps", "1", "--algo", "ppo", **settings) == 1
    message = error_of(capsys)
    assert message.startswith("step 1: the critic is not finite any more (weights ")
    assert message.endswith("or a smaller critic.lr (now 0.001)")
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.usefixtures("damage")
@pytest.mark.parametrize("command", ["sft", "dpo", "rm"])
def test_no_supervised_command_saves_what_is_not_finite(tiny_model, tmp_path, capsys, command):
    argv = [
        command,
        "--model",
        str(tiny_model),
        "--env",
        "arithmetic",
        "--run",
        str(tmp_path / "run"),
        "--batch",
        "2",
        "--steps",
        "1",
    ]
    assert main([*argv, *(["--set", "pairs.held_out=2"] if command != "sft" else [])]) == 1
    message = error_of(capsys)
    assert message.startswith("step 1: the policy is not finite any more (weights ")
    assert "start again with a smaller train.lr" in message
    assert not (tmp_path / "run" / "summary.json").exists()
    assert not list((tmp_path / "run" / "checkpoints").glob("step-*"))


@pytest.mark.parametrize("command", ["train", "sft", "dpo", "rm"])
def test_float16_is_refused_for_training(tiny_model, tmp_path, capsys, command):
    if command == "train":
        assert train(tiny_model, tmp_path / "out", **{"train.dtype": "float16"}) == 2
    else:
        argv = [
            command,
            "--model",
            str(tiny_model),
            "--env",
            "arithmetic",
            "--run",
            str(tmp_path / "out"),
            "--dtype",
            "float16",
        ]
        assert main(argv) == 2
    message = error_of(capsys)
    assert "the eps of AdamW (1e-8) is 0 in it" in message
    assert "use bfloat16" in message
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="float16"):
        load_policy(tiny_model, dtype="float16")


def test_a_gradient_that_overflows_ends_the_run(tiny_model, tmp_path, capsys):
    assert train(tiny_model, tmp_path / "run", "--steps", "1", "--algo", "grpo", **{"ptx.coef": 1e39}) == 1
    assert "step 1: the gradient norm is" in error_of(capsys)


def test_rewards_beyond_float32_are_refused(tiny_model):
    with pytest.raises(FloatingPointError, match="a reward is inf"):
        updated(load_policy(tiny_model, device="cpu"), rewards=(1e39, 0.0))
    assert replace(batch(), rewards=torch.tensor([1e38, 0.0])).rewards.isfinite().all()


def test_the_examples_of_ptx_are_blamed_for_their_loss(tiny_model):
    policy = load_policy(tiny_model, device="cpu")
    spoilt(policy.model)
    learner = trained(policy, microbatch_tokens=64)
    term = pretraining_term(learner, lambda n: Example((Message("user", "1"),), "2"), coef=1.0, batch_size=2, first=0)
    with pytest.raises(FloatingPointError, match="the loss of the examples of ptx is nan"):
        term(0)
