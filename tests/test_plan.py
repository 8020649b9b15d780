"""The plan of a run's memory: sizes from configurations, the table, refusals, and what --dry-run prints."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig, Qwen2Config, Qwen3MoeConfig

from kgym.cli.main import main
from kgym.errors import ConfigError
from kgym.models import footprint as footprints
from kgym.models.footprint import footprint
from kgym.models.names import resolve_model
from kgym.train import plan as plans
from kgym.train import workload as workloads
from kgym.train.memory import GIB
from kgym.train.plan import Part, Plan, Workload, activation_bytes, gib, make_plan
from kgym.train.workload import adapter_size, policy_workload, smaller
from kgym.train_config import TrainConfig
from kgym.types import EngineMemory

SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture
def nano():
    return footprint(resolve_model("nano"))


@pytest.fixture
def work(nano):
    return Workload(nano, row=100, texts=64, microbatch_tokens=3200, trained=nano.parameters)


def folder_of(config, tmp_path):
    config.save_pretrained(tmp_path / config.model_type)
    return str(tmp_path / config.model_type)


# --- sizes of a model -------------------------------------------------------------------------------------------------


def test_sizes_of_nano(nano):
    model = AutoModelForCausalLM.from_pretrained(resolve_model("nano"))
    assert nano.parameters == model.num_parameters()
    assert nano.largest == 512 * 128  # of the feed-forward network, as the vocabulary has 102 words
    assert (nano.layers, nano.hidden, nano.vocabulary, nano.tied, nano.attention) == (4, 128, 102, True, 128)
    assert nano.keys_and_values == 2 * 4 * 2 * 32  # keys and values, layers, heads, size of a head
    assert nano.matmul_parameters == nano.parameters
    assert len(nano.linears) == 4 * 7


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("config", [LlamaConfig(**SIZES), Qwen2Config(**SIZES), Gemma2Config(**SIZES, head_dim=16)])
def test_activations_are_what_autograd_keeps(config, bfloat16, tmp_path):
    """A real pass over two rows keeps what was counted on tensors without content."""
    found = footprint(folder_of(config, tmp_path), bfloat16=bfloat16)
    assert found.counted
    model = AutoModelForCausalLM.from_config(config).eval()
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def see(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(see, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bfloat16),
    ):
        model.base_model(input_ids=torch.zeros((2, 150), dtype=torch.long), use_cache=False)
    a = found.activations
    planned = 300 * (a.per_token + a.per_row_token) + 2 * 150**2 * a.per_row_square + a.copies
    assert planned == pytest.approx(sum(kept.values()), rel=0.15)


def test_the_formula_agrees_with_the_count(tmp_path, monkeypatch):
    folder = folder_of(LlamaConfig(**SIZES), tmp_path)
    for bfloat16 in (False, True):
        counted = footprint(folder, bfloat16=bfloat16).activations
        monkeypatch.setattr(footprints, "_counted_if_possible", lambda *_: None)
        footprints._footprint.cache_clear()
        by_formula = footprint(folder, bfloat16=bfloat16)
        monkeypatch.undo()
        footprints._footprint.cache_clear()
        assert not by_formula.counted
        assert by_formula.activations.per_token == pytest.approx(counted.per_token, rel=0.15)
        assert by_formula.activations.per_row_token == pytest.approx(counted.per_row_token, rel=0.15)


def test_experts_are_planned_by_the_formula(tmp_path, caplog):
    config = Qwen3MoeConfig(**SIZES, head_dim=16, moe_intermediate_size=32, num_experts=4, num_experts_per_tok=2)
    found = footprint(folder_of(config, tmp_path))
    assert found.experts
    assert found.activations.per_token > 0
    assert "Traceback" not in caplog.text


def test_a_head_of_its_own_is_multiplied_with_and_an_embedding_is_not(tmp_path):
    found = footprint(folder_of(LlamaConfig(**SIZES, tie_word_embeddings=False), tmp_path))
    assert not found.tied
    assert found.matmul_parameters == found.parameters - 300 * 64


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_tokens_of_a_forward_pass(work):
    assert work.tokens == 3200
    assert replace(work, texts=5).tokens == 500  # all there are
    assert replace(work, row=5000).tokens == 5000  # one text that is longer


def test_gradient_checkpointing_keeps_the_inputs_of_layers_and_one_layer(work):
    a, n = work.model.activations, work.tokens
    on_the_way = 3 * n * a.widest + 4 * work.model.largest
    assert activation_bytes(work) == round(n * (a.per_token + a.per_row_token) + on_the_way)
    checkpointed = n * 128 * 4 * 4 + n * (a.per_token + a.per_row_token) / 4 + on_the_way
    assert activation_bytes(replace(work, checkpointing=True)) == round(checkpointed)


def test_weights_are_shared_out_over_ranks_and_activations_are_not(work):
    parts = {part.name: part for part in Plan(replace(work, ranks=2, reference=work.model)).parts}
    assert parts["weights"] == Part("weights", *[work.model.parameters * 2] * 3)
    assert parts["gradients"] == Part("gradients", 0, *[work.model.parameters * 2] * 2)  # given up after an update
    assert parts["optimizer state"] == Part("optimizer state", *[work.model.parameters * 4] * 3)
    assert parts["reference"] == Part("reference", *[work.model.parameters * 2] * 3)
    assert parts["activations of 3,200 tokens"].passes == activation_bytes(work)


def test_an_adapter_has_gradients_and_optimizer_state_and_the_model_has_none(work):
    n = adapter_size(work.model, 8, ("q_proj", "v_proj"))
    assert n == 4 * 8 * ((128 + 128) + (128 + 64))  # layers, rank, inputs and outputs
    parts = {part.name: part for part in Plan(replace(work, trained=n)).parts}
    assert parts["weights"].passes == 4 * (work.model.parameters + n)
    assert parts["gradients"].passes == 4 * n
    assert parts["optimizer state"].passes == 8 * n


def test_the_engine_samples_before_the_policy_is_trained_or_at_the_same_time(work):
    engine = EngineMemory("cpu", {"weights": 3 * GIB}, {"keys and values": 2 * GIB})
    plan = Plan(replace(work, engine=engine))
    assert plan.totals[0] - plan.totals[2] == pytest.approx(2 * GIB, rel=0.02)
    together = Plan(replace(work, engine=engine, together=True))
    assert together.totals[1] - plan.totals[1] == 2 * GIB
    assert together.totals[0] > plan.totals[0]  # the gradients of the step before


def test_an_engine_that_keeps_its_cache_gives_it_back_when_it_sleeps_on_a_gpu(work):
    engine = EngineMemory("cuda", {"weights": 3 * GIB}, {"keys and values": 2 * GIB}, keeps=True)
    on_gpu = replace(work, device="cuda", engine=engine)
    rows = {part.name: part.phases for part in Plan(on_gpu).parts if part.name.startswith("engine")}
    assert rows == {"engine: weights": (3 * GIB,) * 3, "engine: keys and values": (2 * GIB,) * 3}
    rows = {
        part.name: part.phases for part in Plan(replace(on_gpu, sleeps=True)).parts if part.name.startswith("engine")
    }
    assert rows == {"engine: weights": (3 * GIB, 0, 0), "engine: keys and values": (2 * GIB, 0, 0)}
    on_cpu = replace(work, engine=replace(engine, device="cpu"), sleeps=True)
    assert Plan(on_cpu).parts[-2:] == (
        Part("engine: weights", *[3 * GIB] * 3),
        Part("engine: keys and values", *[2 * GIB] * 3),
    )


def test_what_would_make_it_fit(work, monkeypatch):
    monkeypatch.setattr(plans, "available_bytes", lambda device: GIB // 8)
    engine = EngineMemory("cpu", {}, {"keys and values": 4 * GIB}, {"engine.max_batch=64": 3 * GIB})
    change = {"train.microbatch_tokens=800": lambda other: replace(other, microbatch_tokens=800)}
    plan = make_plan(replace(work, engine=engine), change)
    assert plan.phase == "generate"
    assert plan.savings == {"engine.max_batch=64": 3 * GIB}  # a smaller micro-batch would not help where the peak is
    with pytest.raises(
        ConfigError, match=r"needs about 4\.\d+ GiB \(generate\), and cpu has 0\.12 GiB; set engine\.max_batch=64"
    ) as error:
        plan.check()
    assert error.value.exit_status == 2
    plan = make_plan(work, change)
    assert list(plan.savings) == ["train.microbatch_tokens=800"]
    assert (
        plan.remedies()
        == f"; set train.microbatch_tokens=800 (saves {gib(plan.savings['train.microbatch_tokens=800'])} GiB)"
    )


def test_a_remedy_that_is_enough_says_so(work):
    plan = make_plan(work, {"train.microbatch_tokens=800": lambda other: replace(other, microbatch_tokens=800)})
    needed = plan.peak
    short = replace(plan, available=needed - 1)
    assert short.remedies().endswith("GiB, enough)")
    short.check()  # a plan may be a third too large
    assert short.warning().startswith("this run may run out of memory: it needs about")
    with pytest.raises(ConfigError, match="this run cannot fit into memory"):
        replace(plan, available=int(needed / 1.4)).check()
    assert replace(plan, available=needed).warning() is None


def test_nobody_is_refused_where_the_memory_is_unknown(work):
    plan = replace(make_plan(work), available=None)
    plan.check()
    assert plan.warning() is None
    assert "cpu has" not in "\n".join(plan.lines())
    assert plan.facts()["available_gib"] is None


def test_smaller_settings_are_proposed_only_where_they_are_smaller(monkeypatch):
    folder = resolve_model("nano")
    train = TrainConfig()
    work = policy_workload(train, folder, row=1000, texts=500)
    changes = smaller(train, folder, work)
    assert changes["train.microbatch_tokens=8192"](work).tokens == 8192
    monkeypatch.setattr(workloads, "available_bytes", lambda device: GIB // 2)  # for which that is still too much
    assert "train.microbatch_tokens=4096" in smaller(train, folder, work)
    monkeypatch.setattr(workloads, "available_bytes", lambda device: 0)
    assert "train.microbatch_tokens=1024" in smaller(train, folder, work)  # a text has 1,000 tokens
    assert changes["train.gradient_checkpointing=true"](work).checkpointing
    assert "train.gradient_checkpointing=true" not in smaller(train, folder, replace(work, checkpointing=True))
    halved = changes["train.master_dtype=bfloat16 with train.optimizer=adamw-split"](work)
    assert (halved.weight_bytes, halved.trained_bytes, halved.state_bytes) == (
        2,
        2,
        10,
    )  # two moments, and half of a weight
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert "--ranks 4" not in smaller(train, folder, work)  # the ranks of a CPU share its memory
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (GIB, GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    on_gpu = replace(work, device="cuda")
    assert smaller(train, folder, on_gpu)["--ranks 4"](on_gpu).ranks == 4
    assert "--ranks 4" not in smaller(train, folder, replace(on_gpu, ranks=4))
    monkeypatch.undo()
    long = policy_workload(train, folder, row=20_000, texts=500)
    assert not [setting for setting in smaller(train, folder, long) if setting.startswith("train.microbatch_tokens")]
    adapted = policy_workload(TrainConfig(lora={"rank": 4}), folder, row=10, texts=5)
    assert adapted.trained == adapter_size(adapted.model, 4, ())
    assert "train.lora.rank=16" not in smaller(TrainConfig(lora={"rank": 4}), folder, adapted)


# --- commands ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_the_table_and_writes_nothing(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", "--run", str(run), "--dry-run", "--set", "train.device=cpu"]) == 0
    said = capsys.readouterr().out
    assert "memory, GiB" in said
    assert "engine: keys and values" in said
    assert not run.exists()
    assert main(["train", "--run", str(run), "--dry-run", "--json", "--set", "train.device=cpu"]) == 0
    memory = json.loads(capsys.readouterr().out)["memory"]
    assert memory["device"] == "cpu"
    assert memory["peak_gib"] > 0.1
    assert not run.exists()


def test_a_run_that_cannot_fit_is_refused_before_anything_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plans, "available_bytes", lambda device: GIB // 50)
    run = tmp_path / "run"
    for more in ([], ["--dry-run"]):
        assert main(["train", "--run", str(run), *more]) == 2
        said = capsys.readouterr().err
        assert "this run cannot fit into memory: it needs about" in said
        assert "train.microbatch_tokens=" in said
        assert not run.exists()


def test_the_manifest_keeps_the_plan(tmp_path):
    settings = [
        "rollout.problems_per_step=2",
        "rollout.group_size=2",
        "env.max_tokens=8",
        "eval.every=0",
        "train.threads=1",
    ]
    arguments = [part for item in settings for part in ("--set", item)]
    assert main(["train", "--run", str(tmp_path / "run"), "--steps", "1", *arguments]) == 0
    memory = json.loads((tmp_path / "run" / "manifest.json").read_text())["memory"]
    assert memory["peak_gib"] > 0
    assert memory["phase"] in plans.PHASES
    assert "weights" in memory["parts_gib"]


def test_the_engine_is_planned_for_validations_too(capsys):
    def sampled(*settings):
        words = ["rollout.problems_per_step=2", "rollout.group_size=2", "train.device=cpu", *settings]
        assert main(["train", "--dry-run", "--json", "--set", *words]) == 0
        parts = json.loads(capsys.readouterr().out)["memory"]["parts_gib"]
        return sum(
            each["generate"]
            for name, each in parts.items()
            if name in ("engine: keys and values", "engine: reading and choosing")
        )

    step = sampled("eval.every=0")
    assert sampled("eval.problems=1") == step
    assert sampled("eval.problems=100") > 10 * step
    assert sampled("eval.problems=1000") == sampled("eval.problems=256")


def test_replies_are_planned_if_a_setting_bounds_them(capsys):
    """A plan cannot know how long replies are; with `env.context_tokens` they fill what completions leave."""
    dry = ["train", "--env", "calculator", "--dry-run", "--set", "env.max_tokens=64"]
    assert main(dry) == 0
    unbounded = capsys.readouterr().out
    said = "without the replies of the environment, which env.context_tokens would bound"
    assert unbounded.splitlines()[-1] == said
    assert main([*dry, "env.context_tokens=512", "--json"]) == 0
    bounded = json.loads(capsys.readouterr().out)["memory"]
    assert main([*dry, "--json"]) == 0
    short = json.loads(capsys.readouterr().out)["memory"]
    assert (short["left_out"], bounded["left_out"]) == (said.removeprefix("without "), "")
    keys_and_values = [plan["parts_gib"]["engine: keys and values"]["generate"] for plan in (short, bounded)]
    assert keys_and_values[1] > 2 * keys_and_values[0]
    assert main(["train", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory"]["left_out"] == ""
