"""The engine `vllm`, with the real vLLM where `KGYM_VLLM_PYTHON` names a Python that has it: see docs/engines.md."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from kgym.cli.main import main
from kgym.envs.setup import EnvSetup
from kgym.errors import ConfigError, EngineError
from kgym.models.adapters import PREFIX, merged
from kgym.models.weights import ModelWeights, TensorWeights
from kgym.registry import configure
from kgym.rollout.engine import adapter_rank, generate
from kgym.rollout.episodes import play_groups
from kgym.runs.metrics import read_metrics
from kgym.testing.engines import check_engine
from kgym.types import GenerateRequest, Message, Sampling, SamplingWork
from kgym_plugins.engines import vllm_ipc
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions
from kgym_plugins.engines.vllm import VLLMEngine, VLLMOptions, _Open
from kgym_plugins.engines.vllm_process import WORKER, check_version, environment
from kgym_plugins.models.builtin import nano

PYTHON = os.environ.get("KGYM_VLLM_PYTHON", "")
QUESTIONS = ("What is 12+30?", "What is 7*8?", "What is 91-17?", "Find the sum of 3, 4 and 5.")

needs_vllm = pytest.mark.skipif(not PYTHON, reason="KGYM_VLLM_PYTHON names no interpreter that has vLLM")


def requests(temperature=0.0, n=4, max_tokens=48, **sampling):
    return [
        GenerateRequest(
            f"r{i}",
            (Message("user", QUESTIONS[i % 4]),),
            max_tokens,
            Sampling(temperature=temperature, **sampling),
            seed=i,
        )
        for i in range(n)
    ]


def answers(engine, asked):
    found = {segment.request_id: segment for segment in generate(engine, asked)}
    return [found[request.id] for request in asked]


# --- without vLLM -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("python", "said"),
    [
        (sys.executable, "has no package vllm; install it there"),
        ("/nowhere/python", "engine.python=/nowhere/python is not a program"),
    ],
)
def test_an_interpreter_without_vllm_is_refused_before_anything_is_written(tmp_path, capsys, python, said):
    run = tmp_path / "run"
    assert main(["train", "--engine", "vllm", "--set", f"engine.python={python}", "--run", str(run)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not run.exists()


@pytest.mark.parametrize("version", ["0.30.0", "0.33.1.dev2+gabc.cpu"])
def test_versions_at_the_ends_of_the_window_are_taken(version):
    check_version(version)


@pytest.mark.parametrize("version", ["0.29.3", "0.34.0", "1.30.0"])
def test_another_version_is_refused_before_anything_is_written(tmp_path, capsys, version):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nprintf {version}\n")
    python.chmod(0o755)
    assert main(["train", "--engine", "vllm", "--set", f"engine.python={python}", "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert f"vLLM {version} is installed; install a version from 0.30 to 0.33" in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_the_worker_sees_one_gpu_and_no_rank(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "29500", "PYTHONPATH": "/elsewhere"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = environment(gpu=1, batch_invariant=True)
    assert not {"RANK", "WORLD_SIZE", "MASTER_PORT", "PYTHONPATH"} & found.keys()
    assert (found["CUDA_VISIBLE_DEVICES"], found["VLLM_BATCH_INVARIANT"]) == ("1", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert environment(gpu=1)["CUDA_VISIBLE_DEVICES"] == "6"
    with pytest.raises(ConfigError, match=r"engine\.gpu=2: CUDA_VISIBLE_DEVICES names 2 GPUs"):
        environment(gpu=2)


def test_the_options_say_whether_an_adapter_comes_alone(tmp_path, capsys):
    assert [adapter_rank("vllm", options) for options in ({}, {"adapter_rank": 8})] == [0, 8]
    assert adapter_rank("transformers", {}) == 0
    settings = ["train.lora.rank=16", "engine.adapter_rank=8", f"engine.python={sys.executable}"]
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["train", "--engine", "vllm", *words, "--run", str(tmp_path / "run")]) == 2
    assert "engine.adapter_rank=8 is less than train.lora.rank=16; set it to 16, or to 0" in capsys.readouterr().err


def test_messages_of_ipc_have_their_share_of_the_tensors(monkeypatch):
    monkeypatch.setattr(vllm_ipc, "reduce_tensor", lambda tensor: (None, ("handle", tensor)))
    monkeypatch.setattr("torch.cuda.synchronize", lambda device: None)
    monkeypatch.setattr(vllm_ipc, "_uuid", lambda device: "the-gpu")

    class OnAGPU(torch.Tensor):
        @property
        def device(self):
            return torch.device("cuda", 0)

        def detach(self):
            return self

    tensors = {name: torch.ones(4, 2, dtype=torch.bfloat16).as_subclass(OnAGPU) for name in "abc"}
    messages = list(vllm_ipc.updates(tensors.items(), chunk_bytes=32))
    assert [message["names"] for message in messages] == [["a", "b"], ["c"]]
    assert messages[1]["ipc_handles"] == [{"the-gpu": ("handle", tensors["c"])}]
    assert (messages[1]["dtype_names"], messages[1]["shapes"]) == (["bfloat16"], [[4, 2]])
    with pytest.raises(EngineError, match=r"engine\.transfer=ipc: w is on cpu; set engine\.transfer=memory"):
        list(vllm_ipc.updates([("w", torch.ones(1))]))


def test_ipc_needs_a_gpu(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["train", "--engine", "vllm", "--set", "engine.transfer=ipc", "--run", str(tmp_path / "run")]) == 2
    assert "engine.transfer=ipc needs one GPU that trainer and vLLM share" in capsys.readouterr().err


def test_the_plan_has_the_cache_of_vllm_in_every_phase(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    memory = VLLMEngine.memory(VLLMOptions(cpu_cache_gib=2), str(nano()), SamplingWork(8, 2, 20, 100))
    assert memory.device == "cpu"
    assert memory.held["weights"] == 4 * 997_248
    assert memory.sampling == {"keys and values": 2 << 30}
    assert memory.keeps


# --- with vLLM --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine():
    engine = VLLMEngine(VLLMOptions(python=PYTHON), nano())
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def adapting():
    """The engine with room for adapters."""
    engine = VLLMEngine(VLLMOptions(python=PYTHON, adapter_rank=3), nano())
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def builtin():
    return TransformersEngine(TransformersOptions(dtype="float32"), nano())


@needs_vllm
@pytest.mark.slow
def test_the_contract_of_an_engine_holds_with_adapters_too():
    report = check_engine("vllm", options={"python": PYTHON, "adapter_rank": 2}, model=str(nano()))
    assert not report.failures
    assert "an adapter alone" in report.passed
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
def test_greedy_answers_of_several_turns_are_those_of_the_built_in_engine(engine, builtin):
    configure(["echo_env"])
    setup = EnvSetup("echo", {"until": "never", "max_turns": 4, "max_tokens": 200})
    asked = {"indices": [0, 1, 2], "sampling": Sampling(temperature=0.0), "seed_parts": (0,)}
    for one, other in zip(play_groups(setup, engine, **asked), play_groups(setup, builtin, **asked), strict=True):
        (mine,), (theirs,) = one.episodes, other.episodes
        assert (mine.token_ids, mine.token_mask, mine.turns) == (theirs.token_ids, theirs.token_mask, theirs.turns)
        assert torch.tensor(mine.engine_logprobs).sub(torch.tensor(theirs.engine_logprobs)).abs().max() < 1e-4
        assert mine.n_turns > 1
    configure([])


@needs_vllm
@pytest.mark.slow
def test_the_attempts_at_a_problem_differ_and_a_seed_gives_the_same_again(engine):
    asked = [
        GenerateRequest(f"a{i}", (Message("user", QUESTIONS[0]),), 24, Sampling(temperature=1.5), seed=i)
        for i in range(8)
    ]
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


def adapter_of(model, *, rank=3, seed=0):
    """Return an adapter of two kinds of layers that is not 0, and a copy of the model with it merged."""
    generator = torch.Generator().manual_seed(seed)
    other, tensors = deepcopy(model), {}
    for name, layer in other.named_modules():
        if name.endswith(("q_proj", "down_proj")):
            a_RI = 0.1 * torch.randn((rank, layer.in_features), generator=generator)
            b_OR = 0.1 * torch.randn((layer.out_features, rank), generator=generator)
            tensors |= {f"{PREFIX}{name}.lora_A.weight": a_RI, f"{PREFIX}{name}.lora_B.weight": b_OR}
            layer.weight.data = merged(layer.weight.data, a_RI, b_OR, 2.0)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": ["q_proj", "down_proj"]}
    return TensorWeights(tensors, config), other


@needs_vllm
@pytest.mark.slow
def test_an_adapter_alone_samples_as_the_merged_model_and_wakes_with_the_engine(adapting, builtin):
    model = AutoModelForCausalLM.from_pretrained(nano())
    pid, answered = adapting._worker.process.pid, []
    for version, seed in ((1, 0), (2, 1)):
        adapter, whole = adapter_of(model, seed=seed)
        builtin.load(version, ModelWeights(whole))
        expected = [segment.token_ids for segment in answers(builtin, requests())]
        adapting.sleep()
        adapting.load(version, adapter)
        adapting.wake()
        found = answers(adapting, requests())
        assert [segment.token_ids for segment in found] == expected
        assert {segment.version for segment in found} == {version}
        answered.append(expected)
    assert answered[0] != answered[1]
    adapting.sleep()  # without new weights
    adapting.wake()
    assert [segment.token_ids for segment in answers(adapting, requests())] == answered[1]
    assert adapting._worker.process.pid == pid
    with pytest.raises(EngineError, match=r"the adapter has rank 4, and engine\.adapter_rank is 3; set it to 4"):
        adapting.load(3, adapter_of(model, rank=4)[0])
    builtin.load(0, ModelWeights(model))
    adapting.load(0, ModelWeights(model))
    assert [segment.token_ids for segment in answers(adapting, requests())] == [
        segment.token_ids for segment in answers(builtin, requests())
    ]


@needs_vllm
@pytest.mark.slow
def test_weights_that_are_lost_in_sleep_are_there_after_it(adapting):
    # a CPU keeps its memory, so other weights are put instead of those that a GPU would have lost
    model = AutoModelForCausalLM.from_pretrained(nano())
    adapting.load(4, ModelWeights(model))
    adapter, _ = adapter_of(model)
    before = [segment.token_ids for segment in answers(adapting, requests())]
    for weights in (None, adapter):
        if weights is not None:
            adapting.load(5, weights)
        with_it = [segment.token_ids for segment in answers(adapting, requests())]
        kept = {name: tensor.clone() for name, tensor in adapting._weights.tensors.items()}
        adapting.sleep()
        for tensor in adapting._weights.tensors.values():
            tensor.zero_()
        adapting._call("load", [])
        for name, tensor in adapting._weights.tensors.items():
            tensor.copy_(kept[name])
        adapting._call("sleep")
        adapting.wake()
        assert [segment.token_ids for segment in answers(adapting, requests())] == with_it
    assert with_it != before
    adapting.load(0, ModelWeights(model))


@needs_vllm
@pytest.mark.slow
def test_the_messages_of_ipc_are_what_vllm_takes(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(nano())
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1 + 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, tmp_path / "weights.safetensors")
    script = Path(__file__).parent / "vllm" / "ipc_on_a_cpu.py"
    done = subprocess.run(
        [PYTHON, "-P", script, WORKER, nano(), tmp_path / "weights.safetensors"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(environment()),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    before, after = json.loads(done.stdout.splitlines()[-1])
    for tokens, expected in ((before, AutoModelForCausalLM.from_pretrained(nano())), (after, model)):
        ids = torch.tensor([[5, 6, 7, 8]])
        for token in tokens:
            assert int(expected(input_ids=ids).logits[0, -1].argmax()) == token
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    assert before != after


@needs_vllm
@pytest.mark.slow
def test_the_check_for_a_gpu_runs_on_a_cpu():
    script = Path(__file__).parents[1] / "benchmarks" / "gpu" / "vllm_sleep.py"
    command = [sys.executable, script, "--vllm-python", PYTHON, "--cpu-smoke"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert list(found["steps"]) == ["start", "load", "sample", "sleep", "load asleep", "wake", "sample again"]
    assert found["gap_nats"] < min(1e-4, found["old_gap_nats"] / 10)


@needs_vllm
@pytest.mark.slow
def test_budgets_end_an_answer_and_its_continuation_has_other_random_numbers(engine):
    chat = (Message("user", QUESTIONS[0]),)
    n_prompt = len(engine.encoder.prompt(chat))
    hot = Sampling(temperature=1.5)
    asked = [
        GenerateRequest("context", chat, 24, hot, seed=1, context_tokens=n_prompt + 5),
        GenerateRequest("full", chat, 24, hot, seed=1, context_tokens=n_prompt),
        GenerateRequest("tokens", chat, 3, hot, seed=1),
    ]
    context, full, tokens = answers(engine, asked)
    assert (len(context.token_ids), context.finish_reason) == (5, "length")
    assert (len(full.token_ids), full.finish_reason) == (0, "length")
    assert (len(tokens.token_ids), tokens.finish_reason) == (3, "length")
    assert tokens.token_ids == context.token_ids[:3]
    opened = [
        engine._message(engine_open, 1)["seed"]
        for engine_open in (
            _Open(GenerateRequest("x", chat, 24, hot, seed=1, prefix_ids=tokens.token_ids[:n]), ()) for n in range(4)
        )
    ]
    assert len(set(opened)) == 4


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
    engine._worker.process.kill()
    with pytest.raises(EngineError, match=r"the process of vLLM ended \(exit code -9\) while it was needed"):
        list(generate(engine, requests()))
    with pytest.raises(EngineError, match="make the engine again"):
        engine.load(1, ModelWeights(AutoModelForCausalLM.from_pretrained(nano())))


@needs_vllm
@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["partial", "ahead"])
def test_a_run_trains_on_what_vllm_samples(tmp_path, schedule):
    run = tmp_path / "run"
    settings = [
        "rollout.problems_per_step=4",
        "rollout.group_size=4",
        "env.max_tokens=64",
        f"rollout.schedule={schedule}",
    ]
    words = [word for setting in (*settings, f"engine.python={PYTHON}") for word in ("--set", setting)]
    assert (
        main(["train", "--engine", "vllm", "--eval-every", "0", "--steps", "3", "--run", str(run), *words, "-q"]) == 0
    )
    lines = read_metrics(run / "metrics.jsonl")
    gaps = [line["policy/engine_gap_nats"] for line in lines if "policy/engine_gap_nats" in line]
    assert gaps
    assert max(gaps) < 1e-4


@needs_vllm
@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 4])
def test_a_run_with_an_adapter_is_sampled_sleeps_and_is_a_model_for_vllm(tmp_path, rank):
    run = tmp_path / "run"
    settings = [
        "rollout.problems_per_step=4",
        "rollout.group_size=4",
        "env.max_tokens=64",
        "train.lora.rank=4",
        "train.lr=1e-3",
    ]
    settings += [f"engine.adapter_rank={rank}", "rollout.sleep=true"]
    words = [word for setting in (*settings, f"engine.python={PYTHON}") for word in ("--set", setting)]
    assert (
        main(["train", "--engine", "vllm", "--eval-every", "0", "--steps", "3", "--run", str(run), *words, "-q"]) == 0
    )
    gaps = [
        line["policy/engine_gap_nats"]
        for line in read_metrics(run / "metrics.jsonl")
        if "policy/engine_gap_nats" in line
    ]
    assert gaps
    assert max(gaps) < 1e-4
    if not rank:
        report = check_engine("vllm", options={"python": PYTHON}, model=str(run / "checkpoints" / "step-3"))
        assert report.figures["gap_nats"] < 1e-4
