"""The engine `vllm`, with the real vLLM where `KGYM_VLLM_PYTHON` names a Python that has it: see docs/engines.md."""

import os
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM

from kgym.cli.main import main
from kgym.errors import EngineError
from kgym.models.weights import ModelWeights, TensorWeights
from kgym.rollout.engine import generate
from kgym.runs.metrics import read_metrics
from kgym.testing.engines import check_engine
from kgym.types import GenerateRequest, Message, Sampling
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions
from kgym_plugins.engines.vllm import VLLMEngine, VLLMOptions
from kgym_plugins.models.builtin import nano

PYTHON = os.environ.get("KGYM_VLLM_PYTHON", "")
QUESTIONS = ("What is 12+30?", "What is 7*8?", "What is 91-17?", "Find the sum of 3, 4 and 5.")

needs_vllm = pytest.mark.skipif(not PYTHON, reason="KGYM_VLLM_PYTHON names no interpreter that has vLLM")


def requests(temperature=0.0, n=4, max_tokens=48, **sampling):
    return [
        GenerateRequest(f"r{i}", (Message("user", QUESTIONS[i % 4]),), max_tokens, Sampling(temperature=temperature, **sampling), seed=i)
        for i in range(n)
    ]


def answers(engine, asked):
    found = {segment.request_id: segment for segment in generate(engine, asked)}
    return [found[request.id] for request in asked]


# --- without vLLM -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("python", "said"),
    [(sys.executable, "has no package vllm; install it there"), ("/nowhere/python", "engine.python=/nowhere/python is not a program")],
)
def test_an_interpreter_without_vllm_is_refused_before_anything_is_written(tmp_path, capsys, python, said):
    run = tmp_path / "run"
    assert main(["train", "--engine", "vllm", "--set", f"engine.python={python}", "--run", str(run)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not run.exists()


# --- with vLLM --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine():
    engine = VLLMEngine(VLLMOptions(python=PYTHON), nano())
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def builtin():
    return TransformersEngine(TransformersOptions(dtype="float32"), nano())


@needs_vllm
@pytest.mark.slow
def test_the_contract_of_an_engine_holds():
    report = check_engine("vllm", options={"python": PYTHON}, model=str(nano()))
    assert not report.failures
    assert report.figures["gap_nats"] < 1e-4


@needs_vllm
@pytest.mark.slow
@pytest.mark.parametrize("sampling", [{}, {"stop": ("=",)}, {"stop": ("so", "\n")}, {"loop_tokens": 64}])
def test_greedy_answers_are_those_of_the_built_in_engine(engine, builtin, sampling):
    asked = requests(**sampling)
    for one, other in zip(answers(engine, asked), answers(builtin, asked), strict=True):
        assert one.token_ids == other.token_ids
        assert (str(one), one.finish_reason, one.prompt_ids) == (str(other), other.finish_reason, other.prompt_ids)
        assert torch.tensor(one.engine_logprobs).sub(torch.tensor(other.engine_logprobs)).abs().max() < 1e-4


@needs_vllm
@pytest.mark.slow
def test_the_attempts_at_a_problem_differ_and_a_seed_gives_the_same_again(engine):
    asked = [GenerateRequest(f"a{i}", (Message("user", QUESTIONS[0]),), 24, Sampling(temperature=1.5), seed=i) for i in range(8)]
    first, second = answers(engine, asked), answers(engine, asked)
    assert len({segment.token_ids for segment in first}) > 4
    assert [segment.token_ids for segment in first] == [segment.token_ids for segment in second]


@needs_vllm
@pytest.mark.slow
def test_a_model_that_learns_is_sampled_from_as_it_is(engine, builtin):
    model = AutoModelForCausalLM.from_pretrained(nano())
    before = [segment.token_ids for segment in answers(engine, requests())]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
    for each in (engine, builtin):
        each.load(7, ModelWeights(model))
    after, expected = answers(engine, requests()), answers(builtin, requests())
    assert [segment.token_ids for segment in after] == [segment.token_ids for segment in expected]
    assert [segment.token_ids for segment in after] != before
    assert {segment.version for segment in after} == {7}
    start = AutoModelForCausalLM.from_pretrained(nano())
    for each in (engine, builtin):
        each.load(0, ModelWeights(start))
    assert [segment.token_ids for segment in answers(engine, requests())] == before


@needs_vllm
@pytest.mark.slow
def test_weights_of_another_model_are_refused(engine):
    whole = dict(ModelWeights(AutoModelForCausalLM.from_pretrained(nano())).named())
    part = {name: tensor for name, tensor in whole.items() if name != "lm_head.weight"}  # vLLM would keep the old one
    with pytest.raises(EngineError, match=r"other names than the engine's: \['lm_head.weight'\]"):
        engine.load(1, TensorWeights(part))
    with pytest.raises(EngineError, match=r"model.norm.weight has shape \(3,\), the engine has \(128,\)"):
        engine.load(1, TensorWeights(whole | {"model.norm.weight": torch.ones(3)}))
    assert engine.version == 0
    engine.load(0, TensorWeights(whole))


@needs_vllm
@pytest.mark.slow
def test_a_worker_that_dies_is_named_and_leaves_a_run_that_can_be_resumed():
    engine = VLLMEngine(VLLMOptions(python=PYTHON), nano())
    engine._process.kill()
    with pytest.raises(EngineError, match=r"the process of vLLM ended \(exit code -9\) while it was needed"):
        list(generate(engine, requests()))
    with pytest.raises(EngineError, match="make the engine again"):
        engine.load(1, ModelWeights(AutoModelForCausalLM.from_pretrained(nano())))


@needs_vllm
@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["sync", "partial", "ahead"])
def test_a_run_trains_on_what_vllm_samples(tmp_path, schedule):
    run = tmp_path / "run"
    settings = ["rollout.problems_per_step=4", "rollout.group_size=4", "env.max_tokens=64", f"rollout.schedule={schedule}"]
    words = [word for setting in (*settings, f"engine.python={PYTHON}") for word in ("--set", setting)]
    assert main(["train", "--engine", "vllm", "--eval-every", "0", "--steps", "3", "--run", str(run), *words, "-q"]) == 0
    lines = read_metrics(run / "metrics.jsonl")
    gaps = [line["policy/engine_gap_nats"] for line in lines if "policy/engine_gap_nats" in line]
    assert gaps
    assert max(gaps) < 1e-4


@needs_vllm
@pytest.mark.slow
def test_a_run_with_an_adapter_is_sampled_merged_and_is_a_model_for_vllm(tmp_path):
    run = tmp_path / "run"
    settings = ["rollout.problems_per_step=4", "rollout.group_size=4", "env.max_tokens=64", "train.lora.rank=4", "train.lr=1e-3"]
    words = [word for setting in (*settings, f"engine.python={PYTHON}") for word in ("--set", setting)]
    assert main(["train", "--engine", "vllm", "--eval-every", "0", "--steps", "3", "--run", str(run), *words, "-q"]) == 0
    gaps = [line["policy/engine_gap_nats"] for line in read_metrics(run / "metrics.jsonl") if "policy/engine_gap_nats" in line]
    assert gaps
    assert max(gaps) < 1e-4
    report = check_engine("vllm", options={"python": PYTHON}, model=str(run / "checkpoints" / "step-3"))
    assert report.figures["gap_nats"] < 1e-4
