"""What only a GPU can show: training there computes what training on a CPU computes.

Without a CUDA device these tests are skipped. `KGYM_GPU_TESTS_ON=cpu` runs their code on a CPU, which shows that it works and nothing more.
"""

import json
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kgym.keys import load_config
from kgym.registry import registry
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import read_metrics
from kgym.train.policy import TrainedPolicy
from kgym.train.rl.objective import reinforcement
from kgym.train.rl.update import update

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from synthetic import make_batch

DEVICE = os.environ.get("KGYM_GPU_TESTS_ON", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SMALL = ["rollout.problems_per_step=4", "rollout.group_size=4", "env.max_tokens=48", "eval.every=0", "train.save_every=2"]


def policy(model, device, *settings):
    return TrainedPolicy.load(str(model), load_config(None, [f"train.device={device}", *settings]).train)


def batch_on(device, prompts=(12, 12, 7, 7), completions=(20, 9, 30, 3)):
    batch = make_batch(prompts, completions, 2)
    return replace(batch, **{key: value.to(device) for key, value in vars(batch).items() if isinstance(value, torch.Tensor)})


def gradient(trained, batch):
    """Return log-probabilities and the gradient of a weighted sum of them, on the CPU."""
    trained.zero_grad()
    found = torch.zeros(batch.n_tokens)
    weights = torch.linspace(-1, 1, batch.n_tokens, device=batch.input_ids.device)
    for micro, places, *_ in trained.microbatches(batch):
        logprobs, _ = trained.logprobs(micro)
        (logprobs * micro.mask * weights[places]).sum().backward()
        found[places.cpu()] = (logprobs.detach() * micro.mask).float().cpu()
    return found, torch.cat([one.grad.float().cpu().flatten() for one in trained.parameters()])


def assert_close(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= tolerance * other.norm()


def test_float32_on_the_gpu_equals_the_cpu(tiny_model):
    expected = gradient(policy(tiny_model, "cpu", "train.dtype=float32"), batch_on("cpu"))
    assert_close(gradient(policy(tiny_model, DEVICE, "train.dtype=float32"), batch_on(DEVICE)), expected, 1e-4)


def test_bfloat16_autocast_on_the_gpu_is_near_float32_on_the_cpu(tiny_model):
    expected = gradient(policy(tiny_model, "cpu", "train.dtype=float32"), batch_on("cpu"))
    found = gradient(policy(tiny_model, DEVICE, "train.dtype=bfloat16"), batch_on(DEVICE))
    assert_close(found, expected, 0.05)
    assert not torch.equal(found[0], expected[0])  # it was bfloat16


def test_masters_on_the_gpu_are_float32(tiny_model):
    trained = policy(tiny_model, DEVICE)
    assert {one.dtype for one in trained.parameters()} == {torch.float32}
    assert {one.device.type for one in trained.parameters()} == {DEVICE}


def test_small_updates_are_not_lost(tiny_model):
    config = load_config(None, ["algo=grpo", "algo.kl_coef=0", f"train.device={DEVICE}", "train.lr=1e-6"])
    trained = TrainedPolicy.load(str(tiny_model), config.train)
    before = [one.detach().clone() for one in trained.parameters()]
    algorithm = registry().create("algorithm", config.algo.name, config.algo.options)
    trained.set_lr(1e-6)
    update(trained, algorithm, batch_on(DEVICE), temperature=1.0, max_grad_norm=1.0, rng=random.Random(0))
    moved = torch.cat([(one - other).abs().flatten() for one, other in zip(trained.parameters(), before, strict=True)])
    assert (moved > 0).float().mean() > 0.9
    assert moved.max() <= 2e-6


@pytest.mark.parametrize("setting", ["train.layout=padded", "train.gradient_checkpointing=true", "train.gradient_checkpointing=false"])
def test_layouts_and_recomputation_change_no_number(tiny_model, setting):
    expected = gradient(policy(tiny_model, DEVICE, "train.dtype=float32"), batch_on(DEVICE))
    assert_close(gradient(policy(tiny_model, DEVICE, "train.dtype=float32", setting), batch_on(DEVICE)), expected, 1e-4)


def train(folder, steps, *settings):
    chosen = [f"train.device={DEVICE}", f"engine.device={DEVICE}", f"train.steps={steps}", *SMALL, *settings]
    reinforcement(load_config(None, chosen), RunFolder(folder)).run()
    return [line for line in read_metrics(folder / "metrics.jsonl") if line["step"]]


def test_engine_and_trainer_agree(tmp_path):
    for line in train(tmp_path / "run", 2):
        assert line["policy/engine_gap_nats"] < 0.05


def test_a_resumed_run_gives_the_numbers_of_one_that_was_not_interrupted(tmp_path):
    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "cut", 2)
    manifest = json.loads((tmp_path / "cut" / "manifest.json").read_text())
    assert manifest["config"]["train"]["steps"] == 2
    resumed = train(tmp_path / "cut", 4)
    assert [line["step"] for line in resumed] == [1, 2, 3, 4]
    for line, other in zip(resumed, whole, strict=True):
        for key in ("reward/mean", "episode/tokens_mean", "policy/entropy_nats", "optim/grad_norm"):
            assert line[key] == pytest.approx(other[key], rel=0.05, abs=1e-3), (line["step"], key)  # kernels of a GPU add up in any order
