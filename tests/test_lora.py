"""LoRA: the base stays as it is, merged weights are the adapter's, and a checkpoint that holds the adapter alone is
a model everywhere.
"""

import importlib.util
import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

import adapter_engine
from kgym.algorithms.batch import pack
from kgym.cli.main import main
from kgym.errors import ConfigError, EngineError, UnknownName
from kgym.models.adapters import merge_adapter, merged
from kgym.models.footprint import footprint
from kgym.models.load import load_language_model
from kgym.models.names import adapters_of, model_fingerprint, resolve_model
from kgym.models.policy import Policy
from kgym.registry import configure
from kgym.rollout.worker import ProcessEngine
from kgym.testing.engines import check_engine
from kgym.testing.report import ConformanceError
from kgym.train.lora import Adapter
from kgym.train.policy import TrainedPolicy
from kgym.train.workload import adapter_size
from kgym.train_config import LoraConfig, TrainConfig

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "bos_token_id": None,
}
KINDS = {
    "llama": (LlamaForCausalLM, LlamaConfig, {"tie_word_embeddings": True}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {"tie_word_embeddings": False}),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config, {"tie_word_embeddings": True, "sliding_window": 8}),
}
IDS = torch.tensor([[5, 9, 12, 4, 4, 30, 21, 7, 8, 11, 6, 3]])


@pytest.fixture(scope="module", params=KINDS)
def base(request, tmp_path_factory):
    """A folder with a small model of random weights and nano's tokenizer."""
    kind, config, changes = KINDS[request.param]
    path = tmp_path_factory.mktemp(request.param)
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("nano"))
    torch.manual_seed(0)
    kind(config(vocab_size=len(tokenizer), **SIZES | changes)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def loaded(folder, dtype=torch.float32):
    model, tokenizer = load_language_model(str(folder), dtype=dtype, device="cpu")
    return Policy(model, tokenizer, str(folder))


@torch.no_grad()
def logits(model):
    return model(input_ids=IDS).logits.float()


@torch.no_grad()
def learn(adapter):
    """Give an adapter the weights that training would: B is no longer 0."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in adapter.tensors().items():
        if ".lora_B." in name:
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))


def adapted(folder, dtype=torch.float32, seed=0, **config):
    policy = loaded(folder, dtype)
    adapter = Adapter(policy.model, LoraConfig(**{"rank": 4, **config}), seed=seed)
    return policy, adapter


def saved(base, folder, **config):
    policy, adapter = adapted(base, **config)
    learn(adapter)
    folder.mkdir()
    adapter.save(folder, base)
    policy.tokenizer.save_pretrained(folder)
    return policy


# --- the adapter on a model -------------------------------------------------------------------------------------------


def test_a_new_adapter_changes_no_output_and_only_it_is_trained(base):
    plain = loaded(base)
    policy, adapter = adapted(base)
    assert torch.equal(logits(policy.model), logits(plain.model))
    trained = {name for name, parameter in policy.model.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(".lora_" in name for name in trained)
    assert len(trained) == 2 * len(
        [1 for _, module in plain.model.model.named_modules() if isinstance(module, torch.nn.Linear)]
    )
    assert (
        sum(parameter.numel() for parameter in policy.model.parameters() if parameter.requires_grad)
        == adapter.n_parameters
    )


def test_with_the_adapter_off_the_model_is_its_base_to_the_last_bit(base):
    policy, adapter = adapted(base)
    learn(adapter)
    before = logits(loaded(base).model)
    assert (logits(policy.model) - before).abs().max() > 0.1
    with adapter.off():
        assert torch.equal(logits(policy.model), before)
    assert (logits(policy.model) - before).abs().max() > 0.1
    assert all(parameter.requires_grad == (".lora_" in name) for name, parameter in policy.model.named_parameters())


def test_merged_weights_compute_what_the_adapter_does_and_leave_the_base_alone(base):
    policy, adapter = adapted(base)
    learn(adapter)
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    plain = loaded(base).model
    weights = dict(adapter.weights(alone=False).named())
    assert list(weights) == list(plain.state_dict())
    plain.load_state_dict(weights)
    torch.testing.assert_close(logits(plain), logits(policy.model), rtol=0, atol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.model.state_dict().items())


def test_sums_of_bfloat16_are_rounded_once():
    """A step of bfloat16 at 1 is 2 ** -7: four terms of a third of it are one step, and none if each is rounded."""
    weight, a, b = torch.ones(2, 2, dtype=torch.bfloat16), torch.full((4, 2), 2.0**-7 / 3), torch.ones(2, 4)
    assert torch.equal(merged(weight, a, b, 1.0), torch.full((2, 2), 1 + 2.0**-7, dtype=torch.bfloat16))
    assert torch.equal(merged(weight, a, b, 3.0), torch.full((2, 2), 1 + 4 * 2.0**-7, dtype=torch.bfloat16))
    assert torch.equal(weight, torch.ones(2, 2, dtype=torch.bfloat16))


def test_a_bfloat16_base_has_an_adapter_in_float32(base):
    policy, adapter = adapted(base, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in adapter.tensors().values()} == {torch.float32}
    assert policy.model.dtype == torch.bfloat16
    policy.model(input_ids=IDS).logits.float().sum().backward()
    assert all(parameter.grad is not None for parameter in policy.model.parameters() if parameter.requires_grad)


def test_a_snapshot_is_not_changed_by_later_steps(base):
    _, adapter = adapted(base)
    for alone in (False, True):
        copied = adapter.weights(alone=alone).copied()
        before = {name: tensor.clone() for name, tensor in copied.named()}
        learn(adapter)
        assert all(torch.equal(tensor, before[name]) for name, tensor in copied.named())
        assert (copied.adapter is not None) == alone


def test_the_start_depends_on_the_seed_alone(base):
    one, same, other = (adapted(base, seed=seed)[1].tensors() for seed in (1, 1, 2))
    torch.manual_seed(99)
    again = adapted(base, seed=1)[1].tensors()
    assert all(torch.equal(one[name], same[name]) and torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_the_scale_is_alpha_over_the_rank(base):
    policy, adapter = adapted(base, rank=8, alpha=16.0, targets=("q_proj",))
    learn(adapter)
    name = "model.layers.0.self_attn.q_proj"
    tensors = {key.removeprefix("base_model.model."): tensor for key, tensor in adapter.tensors().items()}
    expected = (
        policy.model.get_submodule(name).base_layer.weight
        + 2 * tensors[f"{name}.lora_B.weight"] @ tensors[f"{name}.lora_A.weight"]
    )
    torch.testing.assert_close(dict(adapter.weights(alone=False).named())[f"{name}.weight"], expected)


# --- which layers -----------------------------------------------------------------------------------------------------


def test_targets_are_the_ends_of_names(base):
    _, adapter = adapted(base, targets=("q_proj", "layers.1.mlp.down_proj"))
    named = {name.removeprefix("base_model.model.model.").partition(".lora_")[0] for name in adapter.tensors()}
    assert named == {"layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj", "layers.1.mlp.down_proj"}
    assert adapter.config("x")["target_modules"] == sorted(f"model.{name}" for name in named)
    assert adapted(base, targets=("q_proj", "v_proj"))[1].config("x")["target_modules"] == ["q_proj", "v_proj"]


@pytest.mark.parametrize("targets", [(), ("q_proj", "layers.1.mlp.down_proj")])
def test_the_plan_of_memory_counts_what_is_trained(base, targets):
    assert adapter_size(footprint(base), 4, targets) == adapted(base, targets=targets)[1].n_parameters


def test_targets_that_cannot_be_adapted_are_refused(base):
    with pytest.raises(UnknownName, match="did you mean 'q_proj'"):
        adapted(base, targets=("q_prj",))
    with pytest.raises(ConfigError, match="lm_head is the output head"):
        adapted(base, targets=("lm_head",))


def test_a_model_without_linear_layers_is_refused():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=16, n_embd=8, n_layer=1, n_head=1))
    with pytest.raises(ConfigError, match=r"GPT2LMHeadModel has no linear layers"):
        Adapter(model, LoraConfig(rank=2), seed=0)


def test_without_peft_the_extra_is_named(base, monkeypatch, tmp_path, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "peft" else find(name, *rest))
    assert main(["train", "--model", base, "--run", str(tmp_path / "run"), "--set", "train.lora.rank=4"]) == 2
    assert (
        capsys.readouterr().err
        == "kgym: error: train.lora.rank=4 needs peft, which is not installed: pip install 'kgym[lora]'\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_saved_adapter_is_read_without_peft(tiny_model, tmp_path, monkeypatch):
    policy = saved(str(tiny_model), tmp_path / "adapter")
    monkeypatch.setitem(sys.modules, "peft", None)
    torch.testing.assert_close(logits(loaded(tmp_path / "adapter").model), logits(policy.model), rtol=0, atol=1e-5)


# --- a folder with an adapter is a model ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
def test_a_saved_adapter_is_loaded_merged_here_and_as_it_is_by_peft(base, tmp_path):
    import peft

    policy = saved(base, tmp_path / "adapter")
    assert sorted(path.name for path in (tmp_path / "adapter").glob("*adapter*")) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert not (tmp_path / "adapter" / "config.json").exists()
    mine = loaded(resolve_model(str(tmp_path / "adapter")))
    assert not any(".lora_" in name for name in mine.model.state_dict())
    torch.testing.assert_close(logits(mine.model), logits(policy.model), rtol=0, atol=1e-5)
    theirs = peft.PeftModel(
        AutoModelForCausalLM.from_pretrained(base), peft.LoraConfig.from_pretrained(tmp_path / "adapter")
    )
    peft.set_peft_model_state_dict(theirs, load_file(tmp_path / "adapter" / "adapter_model.safetensors"))
    assert torch.equal(logits(theirs), logits(policy.model))


def test_an_adapter_is_taken_up_again_to_the_last_bit(base, tmp_path):
    policy = saved(base, tmp_path / "adapter")
    again = TrainedPolicy.load(
        base, TrainConfig(device="cpu", lora={"rank": 4}), checkpoint=tmp_path / "adapter", seed=5
    )
    assert torch.equal(logits(again.bare.model), logits(policy.model))
    with pytest.raises(ConfigError, match=r"of another rank than train\.lora\.rank=8"):
        Adapter(loaded(base).model, LoraConfig(rank=8), seed=0).load(tmp_path / "adapter")
    with pytest.raises(ConfigError, match=r"other layers than train\.lora\.targets names"):
        Adapter(loaded(base).model, LoraConfig(rank=4, targets="q_proj"), seed=0).load(tmp_path / "adapter")


def test_an_adapter_on_an_adapter(base, tmp_path):
    saved(base, tmp_path / "one")
    policy, adapter = adapted(tmp_path / "one", seed=3)
    learn(adapter)
    (tmp_path / "two").mkdir()
    adapter.save(tmp_path / "two", str(tmp_path / "one"))
    assert adapters_of(str(tmp_path / "two")) == (base, [tmp_path / "one", tmp_path / "two"])
    # in float64: two sums in float32 on top of each other are rounded differently, by 1.4e-5 on some processors
    found, expected = (logits(model.double()) for model in (loaded(tmp_path / "two").model, policy.model))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_fingerprint_of_an_adapter_is_that_of_its_base_too(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "base")
    saved(str(tmp_path / "base"), tmp_path / "adapter")
    before = model_fingerprint(str(tmp_path / "adapter"))
    assert before != model_fingerprint(str(tmp_path / "base"))
    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    assert model_fingerprint(str(tmp_path / "adapter")) != before
    with pytest.raises(ConfigError, match="whose files have changed since it was trained"):
        resolve_model(str(tmp_path / "adapter"))
    (tmp_path / "adapter" / "base_model.json").unlink()  # of other origin: no one knows what the base was
    resolve_model(str(tmp_path / "adapter"))


def changed_config(folder, **changes):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def without_base(folder):
    changed_config(folder, base_model_name_or_path=str(folder.parent / "gone"))
    return "gone, which does not exist; restore that model, or write its new path into"


def of_itself(folder):
    changed_config(folder, base_model_name_or_path=str(folder))
    return "the adapter is its own base model"


def of_another_model(folder):
    changed_tensors(folder, lambda name, tensor: (name.replace("layers.1", "layers.7"), tensor))
    return "its base model has no linear layer model.layers.7"


def of_another_width(folder):
    changed_tensors(folder, lambda name, tensor: (name, tensor[:, :16].contiguous() if "lora_A" in name else tensor))
    return "does not fit (32, 64); it belongs to another model"


def with_half(folder):
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if "lora_A" in name}, folder / "adapter_model.safetensors"
    )
    return "one of the two matrices of"


def with_something_else(folder):
    changed_tensors(folder, lambda name, tensor: (name.replace("lora_B.weight", "lora_magnitude_vector"), tensor))
    return "is not a LoRA matrix"


def of_another_kind(folder):
    changed_config(folder, peft_type="VERA")
    return "an adapter of the type VERA; kgym reads LORA only"


def with_dora(folder):
    changed_config(folder, use_dora=True)
    return "use_dora is True, which kgym does not read"


def with_a_changed_base(folder):
    changed_config(folder, init_lora_weights="pissa")
    return "init_lora_weights is pissa, which changes the base model"


def cut(folder):
    (folder / "adapter_model.safetensors").write_bytes(b"12")
    return "adapter_model.safetensors is damaged"


def not_json(folder):
    (folder / "adapter_config.json").write_text("[")
    return "adapter_config.json is damaged"


def with_a_nan(folder):
    changed_tensors(folder, lambda name, tensor: (name, tensor * torch.nan))
    return "are not finite in float32"


def changed_tensors(folder, change):
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(dict(change(*item) for item in tensors.items()), folder / "adapter_model.safetensors")


FAULTS = [
    without_base, of_itself, of_another_model, of_another_width, with_half, with_something_else,
    of_another_kind, with_dora, with_a_changed_base, cut, not_json, with_a_nan,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_folder_that_is_no_good_adapter_is_refused_in_one_line(fault, tiny_model, tmp_path, capsys):
    saved(str(tiny_model), tmp_path / "adapter")
    message = fault(tmp_path / "adapter")
    asked = [
        "eval",
        "--model",
        str(tmp_path / "adapter"),
        "--bench",
        "arithmetic:validation",
        "--problems",
        "2",
        "--run",
        str(tmp_path / "eval"),
    ]
    capsys.readouterr()
    assert main(asked) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "eval").exists()


def test_an_adapter_of_the_embedding_is_refused(tiny_model, tmp_path):
    policy = saved(str(tiny_model), tmp_path / "adapter")
    n, width = policy.model.get_input_embeddings().weight.shape
    pair = {
        "base_model.model.lm_head.lora_A.weight": torch.zeros(2, width),
        "base_model.model.lm_head.lora_B.weight": torch.zeros(n, 2),
    }
    save_file(pair, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match="uses as its embedding too"):
        merge_adapter(loaded(tiny_model).model, tmp_path / "adapter")


# --- to the engine ----------------------------------------------------------------------------------------------------


def test_the_engine_in_its_own_process_gets_either_form(tiny_model):
    _, adapter = adapted(tiny_model)
    learn(adapter)
    engine = ProcessEngine("transformers", {"device": "cpu"}, str(tiny_model))
    try:
        engine.load(1, adapter.weights(alone=False))
        with pytest.raises(EngineError, match="the weights have other names than the engine's"):
            engine.load(2, adapter.weights(alone=True))
        assert engine.version == 1
    finally:
        engine.close()


SMALL = (
    "rollout.problems_per_step=2", "rollout.group_size=4", "env.max_tokens=8", "train.threads=1", "eval.every=0",
    "train.lora.rank=4", "train.lr=1e-2", "verifier=even-length", "env.truncated=score",
)  # fmt: skip


PLUGINS = ("-p", "fixed_verdicts", "-p", "adapter_engine")


def command(folder, model, *extra, steps=2):
    asked = ["train", "--env", "arithmetic", "--model", str(model), "--steps", str(steps), "--run", str(folder)]
    return [*PLUGINS, *asked, "--set", *SMALL, *extra]


def train(folder, model, *extra, steps=2):
    return main(command(folder, model, *extra, steps=steps))


def figures(run, but=()):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timed = ("time/", "speed/", "memory/", "rollout/wait_s")
    return [{key: value for key, value in line.items() if not key.startswith((*timed, *but))} for line in lines]


def test_an_engine_that_takes_adapters_gets_nothing_else_and_samples_the_same(tmp_path, tiny_model):
    adapter_engine.seen.clear()
    assert train(tmp_path / "alone", tiny_model, "engine=adds_adapters") == 0
    assert train(tmp_path / "merged", tiny_model) == 0
    n_tensors = len(load_file(tmp_path / "merged" / "checkpoints" / "step-2" / "adapter_model.safetensors"))
    assert [n for _, n in adapter_engine.seen] == [
        n_tensors
    ] * 5  # other weights and its own again at the start, then each step
    assert adapter_engine.seen[0][0]["r"] == 4
    assert figures(tmp_path / "alone", ("policy/engine_gap", "engine/canary")) == figures(
        tmp_path / "merged", ("policy/engine_gap", "engine/canary")
    )


def test_the_kit_holds_an_engine_to_taking_adapters():
    configure(["adapter_engine"])
    assert check_engine("adds_adapters", exact=False).figures["gap_nats"] < 1e-4
    with pytest.raises(ConformanceError, match=r"an adapter alone.*differ from the model's") as raised:
        check_engine("piles_up_adapters", exact=False)
    assert str(raised.value).count("log-probabilities differ") == 1


def test_a_reference_below_an_adapter_is_not_loaded(base):
    policy = TrainedPolicy.load(base, TrainConfig(device="cpu", lora={"rank": 2}))
    policy.keep_reference("no such folder")
    assert policy.has_reference


def derivatives(base, **config):
    """Return the log-probabilities of a batch, those of the reference, and the gradients of the adapter's weights."""
    policy = TrainedPolicy.load(base, TrainConfig(device="cpu", lora={"rank": 4}, **config), seed=1)
    learn(policy._adapter)
    policy.keep_reference(base)
    batch = groups()
    logprobs = torch.zeros_like(batch.old_logprobs)
    for micro, places, *_ in policy.microbatches(batch):
        found = policy.logprobs(micro)[0] * micro.mask
        found.sum().backward()
        logprobs[places] = found.detach()
    return logprobs, policy.ref_logprobs(batch) * batch.mask, [weight.grad.clone() for weight in policy.parameters()]


def groups():
    """Return a batch of two groups, whose prompts a packed layout computes once."""
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(3, 90, (size,), generator=generator).tolist() for size in (20, 12)]
    answers = [torch.randint(3, 90, (size,), generator=generator).tolist() for size in (5, 9, 30, 7, 3, 12)]
    n = len(answers)
    return pack(
        prompt_ids=[prompts[0]] * 3 + [prompts[1]] * 3,
        token_ids=answers,
        token_mask=[[True] * len(answer) for answer in answers],
        engine_logprobs=[[0.0] * len(answer) for answer in answers],
        versions=[[0] * len(answer) for answer in answers],
        rewards=[0.0] * n,
        group_ids=[0, 0, 0, 1, 1, 1],
        truncated=[False] * n,
    )


@pytest.mark.parametrize("recomputed", [False, True], ids=["kept", "recomputed"])
def test_an_adapter_has_the_same_gradients_in_either_layout(base, recomputed):
    plain = derivatives(base, layout="padded", gradient_checkpointing=False)
    packed = derivatives(base, layout="packed", gradient_checkpointing=recomputed)
    assert (plain[0] - plain[1]).abs().max() > 0.01  # the adapter does something
    for one, other in zip([*plain[:2], *plain[2]], [*packed[:2], *packed[2]], strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()
