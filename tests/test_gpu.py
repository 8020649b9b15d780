"""What only a GPU can show: training there computes what training on a CPU computes, and CUDA graphs what the model
does.

Without a CUDA device these tests are skipped. `KGYM_GPU_TESTS_ON=cpu` runs their code on a CPU, which shows that it
works and nothing more.
"""

import json
import logging
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kgym.keys import load_config
from kgym.models.weights import ModelWeights
from kgym.registry import registry
from kgym.rollout.engine import generate
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import read_metrics
from kgym.testing.engines import check_engine
from kgym.train.policy import TrainedPolicy
from kgym.train.rl.objective import reinforcement
from kgym.train.rl.update import update
from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.engines import graphs
from kgym_plugins.engines.decoders import GRAPHS_ON
from kgym_plugins.engines.graphs import GraphDecoder, Recorder
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from synthetic import make_batch

DEVICE = os.environ.get("KGYM_GPU_TESTS_ON", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SMALL = [
    "rollout.problems_per_step=4",
    "rollout.group_size=4",
    "env.max_tokens=48",
    "eval.every=0",
    "train.save_every=2",
]


def policy(model, device, *settings):
    return TrainedPolicy.load(str(model), load_config(None, [f"train.device={device}", *settings]).train)


def batch_on(device, prompts=(12, 12, 7, 7), completions=(20, 9, 30, 3)):
    batch = make_batch(prompts, completions, 2)
    return replace(
        batch, **{key: value.to(device) for key, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    )


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


@pytest.mark.parametrize(
    "setting", ["train.layout=padded", "train.gradient_checkpointing=true", "train.gradient_checkpointing=false"]
)
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
            assert line[key] == pytest.approx(other[key], rel=0.05, abs=1e-3), (
                line["step"],
                key,
            )  # kernels of a GPU add up in any order


# --- sampling by CUDA graphs ------------------------------------------------------------------------------------------


@pytest.fixture
def graphs_here(monkeypatch):
    """Decode in steps of fixed shapes on the device of these tests; rows move at 64 and 256 tokens."""
    monkeypatch.setattr(graphs, "SMALLEST", 64)
    if DEVICE not in GRAPHS_ON:
        GRAPHS_ON.add(DEVICE)
        yield
        GRAPHS_ON.discard(DEVICE)
    else:
        yield


def sampler(folder, **options):
    return TransformersEngine(TransformersOptions(device=DEVICE, dtype="float32", **options), str(folder))


def asked(n=24, longest=150, **sampling):
    """Requests of very different lengths, two of each prompt."""
    prompts = [(Message("user", "Find " + "x+" * (i // 2 % 5) + "1."),) for i in range(n)]
    return [
        GenerateRequest(f"r{i}", prompts[i], max(2, longest // (1 + i % 7)), Sampling(**sampling), seed=i)
        for i in range(n)
    ]


def sampled(engine, requests):
    return {segment.request_id: segment for segment in generate(engine, requests)}


def differing(found, expected):
    """Return how many completions have other tokens; those of equal ones have equal log-probabilities."""
    assert found.keys() == expected.keys()
    n = 0
    for name, segment in expected.items():
        if (
            segment.token_ids != found[name].token_ids
        ):  # a number at the edge between two tokens falls on the other side
            n += 1
        else:
            assert found[name].engine_logprobs == pytest.approx(segment.engine_logprobs, abs=1e-4)
    return n


def recorded(engine):
    """Whether steps were replayed from graphs, on a GPU."""
    assert isinstance(engine._decoder, GraphDecoder)
    assert DEVICE == "cpu" or len(engine._decoder._recorder) > 0
    return True


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.7, "top_k": 5}, {"top_p": 0.8}], ids=str)
def test_graphs_sample_what_single_operations_sample(tiny_model, graphs_here, sampling):
    engine = sampler(tiny_model)
    expected = sampled(sampler(tiny_model, cuda_graphs=False), asked(**sampling))
    for _ in range(2):  # recorded, and then replayed
        assert differing(sampled(engine, asked(**sampling)), expected) <= 1
    few = sampler(tiny_model, max_batch=5)
    assert differing(sampled(few, asked(**sampling)), expected) <= 1
    assert recorded(engine)
    assert recorded(few)


def test_greedy_tokens_are_those_of_generate(tiny_model, graphs_here):
    engine = sampler(tiny_model)
    for segment in sampled(engine, asked(8, temperature=0.0)).values():
        ids = torch.tensor([segment.prompt_ids], device=DEVICE)
        generated = engine.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=len(segment.token_ids), do_sample=False
        )
        assert segment.token_ids == tuple(generated[0, ids.shape[1] :].tolist())
    assert recorded(engine)


def test_graphs_read_new_weights_and_are_recorded_again_after_sleep(tiny_model, graphs_here):
    engine, other = sampler(tiny_model), sampler(tiny_model, cuda_graphs=False)
    before = sampled(engine, asked())
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(1.5)
    engine.load(1, ModelWeights(other.model))
    expected = sampled(other, asked())
    assert differing(sampled(engine, asked()), expected) <= 1
    assert differing(before, expected) > 5
    engine.sleep()
    taken = [torch.empty(1 << 20, device=DEVICE) for _ in range(8)]  # so that the weights come to other addresses
    engine.wake()
    assert differing(sampled(engine, asked()), expected) <= 1
    assert recorded(engine)
    assert len(taken) == 8


def test_the_built_in_engine_keeps_its_contract(graphs_here):
    assert check_engine("transformers", options={"device": DEVICE, "dtype": "float32"}).passed


def test_a_step_that_cannot_be_recorded_is_done_all_the_same(caplog):
    recorder, numbers = Recorder(torch.device(DEVICE)), torch.arange(3.0, device=DEVICE)
    found = []

    def step():
        numbers.add_(1)
        found.append(numbers.sum().item())  # waits for the device, which a recording may not

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            recorder.run((None, 8, 64, False), step)
    assert numbers.tolist() == [3.0, 4.0, 5.0]
    assert found == [6.0, 9.0, 12.0]
    assert len(recorder) == 0
    assert len([record for record in caplog.records if "decoding is slower" in record.message]) == (DEVICE != "cpu")
