"""The types of weights, computation and checkpoints: what is refused, what stays float32, and that a resumed run is
exact.
"""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from kgym.algorithms.batch import pack
from kgym.cli.main import main
from kgym.config import RunConfig
from kgym.keys import load_config
from kgym.models.save import save_model
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.train.optim import SplitAdamW
from kgym.train.policy import TrainedPolicy
from kgym.train.precision import Precision
from kgym.train_config import TrainConfig

BFLOAT16 = {"dtype": "bfloat16"}
SHORT = {"master_dtype": "bfloat16", "optimizer": "adamw-split"}
ROUNDED = {"master_dtype": "bfloat16", "optimizer": "adamw-rounded"}


def policy_of(folder, **settings):
    return TrainedPolicy.load(str(folder), TrainConfig(device="cpu", microbatch_tokens=20, **settings))


def batch():
    return pack(
        prompt_ids=[[5, 6, 9], [5, 6, 9], [11, 4], [11, 4]],
        token_ids=[[7, 8, 2], [9, 2], [6, 7, 13, 2], [8, 2]],
        rewards=[1.0, 0.0, 0.0, 1.0],
        group_ids=[0, 0, 1, 1],
        engine_logprobs=[[-1.0] * 3, [-1.0] * 2, [-1.0] * 4, [-1.0] * 2],
    )


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["train.master_dtype=bfloat16", "train.lr=1e-6"],
            "train.lr=1e-06 with train.master_dtype=bfloat16: AdamW loses most changes of bfloat16 weights below "
            "1e-05; "
            "set train.optimizer=adamw-split, which keeps them, or train.optimizer=adamw-rounded to lose them on "
            "purpose",
        ),
        (["train.master_dtype=bfloat16", "critic.lr=1e-6"], "critic.lr=1e-06 with train.master_dtype=bfloat16"),
        (
            ["train.optimizer=adamw-split"],
            "train.optimizer=adamw-split is for bfloat16 weights; set train.master_dtype=bfloat16 with it",
        ),
        (["train.optimizer=adamw-rounded"], "train.optimizer=adamw-rounded is for bfloat16 weights"),
        (
            ["train.master_dtype=bfloat16", "train.dtype=float32"],
            "train.dtype=float32 is not possible with train.master_dtype=bfloat16",
        ),
        (["train.dtype=float16"], "float16 cannot be trained"),
        (["train.master_dtype=float16"], "float16 cannot be trained"),
        (
            ["train.decay_frac=0.2"],
            "train.decay_frac=0.2 is for a learning rate that falls; set train.schedule=linear or cosine with it",
        ),
        (["train.lora.rank=8", *(f"train.{key}={value}" for key, value in SHORT.items())], "an adapter is float32"),
        (["train.lora.rank=8", "train.save_dtype=bfloat16"], "train.save_dtype=bfloat16 is for whole models"),
        (["train.optim=adamw"], "that is 'train.optimizer' here"),
        (["train.bf16=true"], "that is 'train.dtype' here"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_before_anything_is_written(tmp_path, capsys, settings, message):
    assert main(["train", "--run", str(tmp_path / "run"), *(part for one in settings for part in ("--set", one))]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "settings",
    [
        ["train.master_dtype=bfloat16", "train.lr=1e-5"],
        ["train.master_dtype=bfloat16", "train.lr=1e-6", "train.optimizer=adamw-split"],
        ["train.master_dtype=bfloat16", "train.lr=1e-6", "train.optimizer=adamw-rounded"],
        ["train.schedule=cosine", "train.decay_frac=0.2"],
        ["train.decay_frac=0"],
    ],
)
def test_what_was_asked_for_is_taken(settings):
    assert isinstance(load_config(overrides=settings), RunConfig)


# --- types ------------------------------------------------------------------------------------------------------------


def test_the_types_of_a_run():
    def types(**settings):
        precision = Precision.of(TrainConfig(device="cpu", **settings))
        return precision.compute, precision.weights, precision.exact

    assert types() == (torch.float32, "float32", True)
    assert types(dtype="bfloat16") == (torch.bfloat16, "float32", True)
    assert types(save_dtype="bfloat16") == (torch.float32, "float32", False)
    assert types(**SHORT) == (torch.bfloat16, "bfloat16", False)
    assert types(**ROUNDED) == (torch.bfloat16, "bfloat16", True)
    assert types(dtype="bfloat16", lora={"rank": 4}) == (torch.bfloat16, "bfloat16", True)
    assert types(lora={"rank": 4}) == (torch.float32, "float32", True)


def test_bfloat16_computes_with_float32_weights_log_probabilities_and_gradients(tiny_model):
    exact, short = policy_of(tiny_model), policy_of(tiny_model, **BFLOAT16)
    gradients = []
    for policy in (exact, short):
        logprobs_T, entropy_T = policy.logprobs(batch(), with_entropy=True)
        assert logprobs_T.dtype == entropy_T.dtype == torch.float32
        logprobs_T.sum().backward()
        assert {(one.dtype, one.grad.dtype) for one in policy.parameters()} == {(torch.float32, torch.float32)}
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in policy.parameters()]))
    difference = (exact.logprobs(batch())[0] - short.logprobs(batch())[0]).abs().max()
    assert 0.0 < difference < 0.02
    error = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
    assert 0.0 < error < 0.02


@pytest.mark.parametrize("settings", [{}, BFLOAT16, SHORT], ids=["float32", "bfloat16", "bfloat16 weights"])
def test_passes_without_gradient_have_the_same_numbers_and_take_no_gradient_away(tiny_model, settings):
    policy = policy_of(tiny_model, **settings)
    policy.keep_reference(str(tiny_model))
    frozen_T, entropy_T = policy.frozen_logprobs(batch())
    assert entropy_T.dtype == torch.float32
    assert torch.equal(policy.ref_logprobs(batch()), frozen_T)  # equal weights, equal numbers: the penalty starts at 0
    for micro, places_T, *_ in policy.microbatches(batch()):
        logprobs_T, _ = policy.logprobs(micro)
        assert torch.equal(torch.where(micro.mask, logprobs_T, 0.0), frozen_T[places_T])
        logprobs_T.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in policy.parameters())


def test_a_pass_that_is_computed_again_in_the_backward_pass_has_the_same_types(tiny_model):
    plain, again = policy_of(tiny_model, **BFLOAT16), policy_of(tiny_model, **BFLOAT16)
    again.bare.model.activation_checkpointing_enable()
    again.bare.model.train()  # transformers checkpoints in training mode only; this model has no dropout
    for policy in (plain, again):
        policy.logprobs(batch())[0].sum().backward()
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


# --- checkpoints ------------------------------------------------------------------------------------------------------

RUN = {
    "seed": 4,
    "rollout.problems_per_step": 3,
    "rollout.group_size": 4,
    "env.max_tokens": 48,
    "eval.every": 0,
    "train.save_every": 1,
    "train.threads": 1,
    "train.schedule": "cosine",
}


def trained(run, *more, **settings):
    values = RUN | {f"train.{key}": value for key, value in settings.items()}
    flags = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    assert main(["train", "--run", str(run), *flags, "--steps", "4", "--json", *more]) == 0
    return run


def interrupted(run, copy):
    """Copy a run as it was when it was killed in its third step."""
    shutil.copytree(run, copy)
    for number in (3, 4):
        shutil.rmtree(copy / "checkpoints" / f"step-{number}")
    (copy / "summary.json").unlink()
    return copy


def numbers(run):
    """The metrics without what comes from the clock."""
    return [
        {key: value for key, value in line.items() if not key.startswith(CLOCK)}
        for line in read_metrics(run / "metrics.jsonl")
    ]


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


PPO = ("--algo", "ppo")


@pytest.mark.parametrize(
    ("settings", "more", "saved"),
    [
        (BFLOAT16 | {"save_dtype": "bfloat16"}, (), torch.bfloat16),
        (SHORT, (), torch.float32),
        pytest.param(BFLOAT16, (), torch.float32, marks=pytest.mark.slow),
        pytest.param(SHORT | {"save_dtype": "bfloat16"}, PPO, torch.bfloat16, marks=pytest.mark.slow),
        pytest.param(ROUNDED, (), torch.float32, marks=pytest.mark.slow),
        pytest.param(BFLOAT16, (*PPO, "--set", "critic.backbone=shared"), torch.float32, marks=pytest.mark.slow),
    ],
    ids=["saved in bfloat16", "lower halves", "bfloat16", "lower halves of a critic", "rounded", "shared critic"],
)
def test_a_checkpoint_has_the_type_it_was_asked_for_and_a_resumed_run_is_exact(tmp_path, settings, more, saved):
    run = trained(tmp_path / "run", *more, **settings, keep_checkpoints=4)
    folder = run / "checkpoints" / "step-4"
    assert {tensor.dtype for tensor in weights(folder).values()} == {saved}
    assert json.loads((folder / "config.json").read_text())["dtype"] == str(saved).removeprefix("torch.")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert model.dtype == saved
    assert not same(weights(folder), weights(run / "checkpoints" / "step-3"))
    assert all(math.isfinite(value) for line in numbers(run) for value in line.values())

    copy = interrupted(run, tmp_path / "copy")
    assert main(["train", "--run", str(copy), "--resume", "--json"]) == 0
    assert numbers(copy) == numbers(run)
    assert same(weights(copy / "checkpoints" / "step-4"), weights(folder))


def test_the_trainer_keeps_the_weights_that_a_bfloat16_checkpoint_rounds(tmp_path, tiny_model):
    policy = policy_of(tiny_model, **BFLOAT16, save_dtype="bfloat16")
    policy.logprobs(batch())[0].sum().backward()
    policy.take_step()
    policy.save(tmp_path / "saved")
    saved, state = weights(tmp_path / "saved"), policy.state_dict()
    masters = {name: state["masters"][name] for name in saved}
    assert {tensor.dtype for tensor in masters.values()} == {torch.float32}
    assert same({name: tensor.bfloat16() for name, tensor in masters.items()}, saved)
    again = TrainedPolicy.load(str(tmp_path / "saved"), TrainConfig(device="cpu", **BFLOAT16, save_dtype="bfloat16"))
    assert any(not torch.equal(one, other) for one, other in zip(policy.parameters(), again.parameters(), strict=True))
    again.load_state_dict(state)
    assert all(torch.equal(one, other) for one, other in zip(policy.parameters(), again.parameters(), strict=True))


def test_a_checkpoint_of_split_weights_holds_the_float32_weights(tmp_path, tiny_model):
    policy = policy_of(tiny_model, **SHORT, lr=1e-6, warmup_steps=0)
    policy.logprobs(batch())[0].sum().backward()
    policy.take_step()
    policy.save(tmp_path / "saved")
    saved = weights(tmp_path / "saved")
    assert isinstance(policy.optimizer, SplitAdamW)
    for name, parameter in policy.bare.model.named_parameters():
        assert torch.equal(saved[name], policy.optimizer.masters(parameter))
    assert any(not torch.equal(tensor, tensor.bfloat16().float()) for tensor in saved.values())
    # and the trainer's state has the bfloat16 weights as they are, also where a float32 weight is in the middle of two
    again = TrainedPolicy.load(str(tmp_path / "saved"), TrainConfig(device="cpu", **SHORT, lr=1e-6))
    again.load_state_dict(policy.state_dict())
    for one, other in zip(policy.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(policy.optimizer.masters(one), again.optimizer.masters(other))


def test_a_fresh_optimizer_for_each_batch_keeps_the_lower_halves_of_the_weights(tiny_model):
    """They are in the state of the optimizer, and belong to the weights: without them no update would be left."""
    policy = policy_of(tiny_model, lr=1e-6, weight_decay=0.0, **SHORT)
    begin = [parameter.detach().float() for parameter in policy.parameters()]
    for _ in range(8):
        policy.reset_optimizer()
        for parameter in policy.parameters():
            parameter.grad = torch.ones_like(parameter)
        policy.take_step()
    for parameter, before in zip(policy.parameters(), begin, strict=True):
        moved = before - policy.optimizer.masters(parameter)
        torch.testing.assert_close(moved, torch.full_like(moved, 8e-6), atol=1e-6, rtol=0)


@pytest.mark.parametrize("tied", [True, False])
def test_a_folder_in_another_type_keeps_tied_weights_tied(tmp_path, tied):
    config = Qwen2Config(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).eval()
    save_model(model, tmp_path / "bfloat16", dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "float32")
    exact, short = weights(tmp_path / "float32"), weights(tmp_path / "bfloat16")
    assert ("lm_head.weight" in short) is not tied
    assert same({name: tensor.bfloat16() for name, tensor in exact.items()}, short)
    with_dtype = json.loads((tmp_path / "bfloat16" / "config.json").read_text())
    assert with_dtype == json.loads((tmp_path / "float32" / "config.json").read_text()) | {"dtype": "bfloat16"}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "bfloat16", dtype="auto")
    assert loaded.dtype == torch.bfloat16
    assert (loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight) is tied
    assert model.dtype == torch.float32  # as it was


# --- numbers that are not finite --------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [BFLOAT16, SHORT, {"save_dtype": "bfloat16"}, {"lora": {"rank": 2}}], ids=str)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_not_finite_is_found_whatever_its_type(tiny_model, settings, value):
    if "lora" in settings:
        pytest.importorskip("peft")
    policy = policy_of(tiny_model, **settings)
    assert policy.broken_weight() is None
    with torch.no_grad():
        policy.parameters()[-1].view(-1)[0] = value
    assert policy.broken_weight() is not None


def test_a_weight_that_would_be_infinite_in_a_checkpoint_is_found(tiny_model):
    largest = torch.finfo(torch.float32).max
    for settings, broken in (({}, False), ({"save_dtype": "bfloat16"}, True)):
        policy = policy_of(tiny_model, **settings)
        with torch.no_grad():
            policy.parameters()[0].view(-1)[0] = largest
        assert (policy.broken_weight() is not None) is broken


def test_split_weights_beyond_all_numbers_are_found(tiny_model):
    policy = policy_of(tiny_model, **SHORT, lr=1e38, betas=(0.0, 0.0))
    for _ in range(4):
        for parameter in policy.parameters():
            parameter.grad = torch.ones_like(parameter)
        policy.take_step()
    assert policy.broken_weight() is not None
