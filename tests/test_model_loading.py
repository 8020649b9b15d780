"""What is refused when a model is loaded, by every command and before anything is written: exit status 2 and the
remedy.
"""

import ast
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertLMHeadModel,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    MiniMaxConfig,
    MiniMaxForCausalLM,
)

from kgym.cli.main import main
from kgym.errors import ConfigError, UnsuitedModel
from kgym.models.load import broken_weight, check_vocabulary
from kgym_plugins.engines.kvcache import why_not_continued
from kgym_plugins.engines.transformers import TransformersEngine, TransformersOptions

ROOT = Path(__file__).parent.parent
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
ENDS = {"pad_token_id": 0, "eos_token_id": 2, "bos_token_id": None}


def changed(tiny_model, folder, **config):
    """A copy of the tiny model with other values in its config.json."""
    shutil.copytree(tiny_model, folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | config))
    return folder


def with_own_code(tiny_model, path):
    """A model that names its own code, which leaves a mark where it runs."""
    folder = changed(
        tiny_model,
        path / "model",
        model_type="ownmodel",
        auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    )
    (folder / "own.py").write_text(f"open({str(path / 'it ran')!r}, 'w')\n")
    return folder, "it needs its own code (own.Config, own.Model), which kgym never runs"


def with_a_broken_weight(tiny_model, path):
    folder = changed(tiny_model, path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder, "the weights model.norm.weight are not finite in float32"


def with_more_tokens_than_rows(tiny_model, path):
    folder = changed(tiny_model, path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<think>"])
    tokenizer.chat_template += "<think>"
    tokenizer.save_pretrained(folder)
    rows = len(tokenizer) - 1
    return folder, f"the tokenizer has {rows + 1} tokens and the model's embedding {rows} rows, none for '<think>'"


def an_adapter(tiny_model, path):
    folder = path / "model"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "acme/base", "peft_type": "LORA"}')
    return folder, "contains the configuration of an adapter of acme/base, and no adapter_model.safetensors"


def pickled(tiny_model, path):
    folder = changed(tiny_model, path / "model")
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump(Path(path / "it ran"), file)
    return folder, "convert them to safetensors"


FAULTS = [with_own_code, with_a_broken_weight, with_more_tokens_than_rows, an_adapter, pickled]
COMMANDS = ["train", "eval", "sft", "dpo", "rm", "critic"]
EACH = [
    (fault, command)
    for fault in FAULTS
    for command in COMMANDS
    if (fault, command) != (with_more_tokens_than_rows, "critic")
]
"""A critic reads the tokens of the policy, and its own tokenizer is of no account."""


def commands(folder, out):
    """Every command that loads a model, with the model under test where it can stand."""
    model, arithmetic = str(folder), ["--env", "arithmetic"]
    small = ["--set", "rollout.problems_per_step=1", "--set", "rollout.group_size=2", "--set", "env.max_tokens=4"]
    train = ["train", *arithmetic, "--steps", "1", "--set", "eval.every=0", *small, "--run", str(out)]
    return {
        "train": [*train, "--model", model],
        "eval": [
            "eval",
            "--model",
            model,
            "--bench",
            "arithmetic:validation",
            "--problems",
            "2",
            "--max-tokens",
            "4",
            "--run",
            str(out),
        ],
        "sft": [
            "sft",
            "--model",
            model,
            *arithmetic,
            "--steps",
            "1",
            "--set",
            "train.warmup_steps=0",
            "--run",
            str(out),
        ],
        "dpo": [
            "dpo",
            "--model",
            model,
            *arithmetic,
            "--steps",
            "1",
            "--set",
            "train.warmup_steps=0",
            "--set",
            "pairs.held_out=1",
            "--run",
            str(out),
        ],
        "rm": [
            "rm",
            "--model",
            model,
            *arithmetic,
            "--steps",
            "1",
            "--set",
            "train.warmup_steps=0",
            "--set",
            "pairs.held_out=1",
            "--run",
            str(out),
        ],
        "critic": [*train, "--algo", "ppo", "--set", f"critic.model={model}"],
    }


def refused(argv, capsys):
    """The one line that a command refuses with, exit status 2."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("kgym: error: ")
    return captured.err


@pytest.mark.parametrize(("fault", "command"), EACH, ids=lambda value: getattr(value, "__name__", value))
def test_every_command_refuses_a_model_before_it_writes(fault, command, tiny_model, tmp_path, capsys):
    folder, message = fault(tiny_model, tmp_path)
    argv = commands(folder, tmp_path / "out")[command]
    if command == "critic":
        argv += ["--model", str(tiny_model)]
    line = refused(argv, capsys)
    assert message in line
    assert str(folder) in line
    assert "trust_remote_code" not in line
    assert "weights_only" not in line
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    "fault", [with_own_code, with_more_tokens_than_rows, an_adapter], ids=lambda fault: fault.__name__
)
@pytest.mark.parametrize("verifier", ["judge", "reward_model"])
def test_a_model_that_cannot_judge_is_refused_before_a_run_begins(fault, verifier, tiny_model, tmp_path, capsys):
    folder, message = fault(tiny_model, tmp_path)
    if verifier == "reward_model" and (folder / "config.json").is_file():
        values = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(values | {"id2label": {"0": "score"}}))
    argv = [
        *commands(tiny_model, tmp_path / "out")["train"],
        "--set",
        f"verifier={verifier}",
        "--set",
        f"verifier.model={folder}",
    ]
    assert message in refused(argv, capsys)
    assert not (tmp_path / "out").exists()


def test_nothing_is_loaded_with_code_of_its_own():
    """Every call of a loader says so: unset, transformers asks on standard input."""
    files = [
        path for name in ("kgym", "plugins", "recipes", "envs", "benchmarks") for path in (ROOT / name).rglob("*.py")
    ]
    seen = 0
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", None) in ("from_pretrained", "from_config"):
                seen += 1
                said = {keyword.arg: keyword.value for keyword in node.keywords}.get("trust_remote_code")
                assert isinstance(said, ast.Constant), f"{path}:{node.lineno} leaves trust_remote_code unset"
                assert said.value is False, f"{path}:{node.lineno}"
    assert seen


def test_a_kernel_that_a_configuration_names_is_refused(tiny_model, tmp_path):
    folder = changed(tiny_model, tmp_path / "model", _attn_implementation="acme/kernel")
    with pytest.raises(ConfigError, match="attention kernel acme/kernel"):
        TransformersEngine(TransformersOptions(), folder)


def test_weights_that_are_missing_are_not_invented(tiny_model, tmp_path):
    folder = changed(tiny_model, tmp_path / "model", num_hidden_layers=3)
    with pytest.raises(ConfigError, match=r"not a complete causal language model: it has no weights model\.layers\.2"):
        TransformersEngine(TransformersOptions(), folder)


def test_a_special_token_that_no_prompt_contains_needs_no_row(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rows = len(tokenizer)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    check_vocabulary("model", tokenizer, rows)
    tokenizer.chat_template += "<image>"
    with pytest.raises(ConfigError, match="<image>"):
        check_vocabulary("model", tokenizer, rows)


def test_the_first_weight_that_is_not_finite_is_named():
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 2), torch.nn.Embedding(3, 2), torch.nn.Linear(2, 2, dtype=torch.bfloat16)
    )
    assert broken_weight(model) is None
    for value in (torch.nan, torch.inf, -torch.inf):
        with torch.no_grad():
            model[2].bias[1] = value
        assert broken_weight(model) == "2.bias"
    with torch.no_grad():
        model[1].weight[0, 0] = torch.nan
    assert broken_weight(model) == "1.weight"
    assert broken_weight(torch.nn.Identity()) is None


# --- models that do not go on from keys and values --------------------------------------------------------------------


def hybrid(kind, tiny_model, folder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    sizes = SMALL | ENDS | {"vocab_size": len(tokenizer), "max_position_embeddings": 256}
    torch.manual_seed(0)
    if kind == "lfm2":
        model = Lfm2ForCausalLM(Lfm2Config(**sizes, layer_types=["conv", "full_attention"]))
    else:
        model = MiniMaxForCausalLM(
            MiniMaxConfig(**sizes, head_dim=16, num_local_experts=2, layer_types=["linear_attention", "full_attention"])
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, model


@pytest.mark.parametrize("kind", ["lfm2", "minimax"])
def test_a_hybrid_model_is_refused_by_whoever_samples(kind, tiny_model, tmp_path, capsys):
    folder, model = hybrid(kind, tiny_model, tmp_path / "model")
    assert why_not_continued(model) is not None  # also without the list of its layers
    argv = commands(folder, tmp_path / "out")
    judged = [
        *commands(tiny_model, tmp_path / "out")["train"],
        "--set",
        "verifier=judge",
        "--set",
        f"verifier.model={folder}",
    ]
    for command in (argv["train"], argv["eval"], judged):
        line = refused(command, capsys)
        assert f"{folder} cannot be sampled from: it has layers of the type" in line
        assert "another engine" in line
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["sft", "dpo"])
def test_a_hybrid_model_is_trained_on_examples_with_a_warning_at_the_start(command, tiny_model, tmp_path, capsys):
    folder, _ = hybrid("lfm2", tiny_model, tmp_path / "model")
    assert main(commands(folder, tmp_path / "out")[command]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith(f"kgym: warning: engine 'transformers': {folder} cannot be sampled from")
    assert "next" not in captured.out  # no command could sample from it


def test_a_model_that_reads_in_both_directions_is_refused(tiny_model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    torch.manual_seed(0)
    sizes = {name: value for name, value in SMALL.items() if name != "num_key_value_heads"} | {"num_hidden_layers": 3}
    config = BertConfig(vocab_size=len(tokenizer), is_decoder=False, initializer_range=0.5, **sizes, **ENDS)
    BertLMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UnsuitedModel, match="a BertLMHeadModel computes other logits"):
        TransformersEngine(TransformersOptions(), tmp_path)


class Forgetful(LlamaForCausalLM):
    """Fills the cache and answers without what is in it."""

    def forward(self, input_ids, past_key_values=None, **arguments):
        super().forward(input_ids, past_key_values=past_key_values, **arguments)
        return super().forward(input_ids, use_cache=False)


def test_a_model_that_forgets_is_refused(tiny_model):
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=50, initializer_range=0.5, **SMALL, **ENDS)
    assert why_not_continued(LlamaForCausalLM(config).eval()) is None
    assert (
        why_not_continued(Forgetful(config).eval())
        == "a Forgetful computes other logits from keys and values than from the whole text"
    )


def test_models_that_go_on_from_keys_and_values_are_let_pass(tiny_model):
    assert why_not_continued(AutoModelForCausalLM.from_pretrained(tiny_model).eval()) is None
    assert why_not_continued(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).eval()) is None


# --- others -----------------------------------------------------------------------------------------------------------


def test_an_end_token_that_is_an_ordinary_one_is_warned_of(tiny_model, tmp_path, caplog):
    folder = changed(tiny_model, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (ordinary,) = tokenizer.encode("1", add_special_tokens=False)
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": [ordinary, 2]}))
    TransformersEngine(TransformersOptions(), folder)
    (record,) = caplog.records
    assert f"ends completions with the ordinary token {ordinary} ('1')" in record.getMessage()
    caplog.clear()
    TransformersEngine(TransformersOptions(), tiny_model)
    assert not caplog.records


def test_a_reward_model_of_several_labels_is_refused_at_once(tiny_model, tmp_path, capsys):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    LlamaForSequenceClassification(
        LlamaConfig(vocab_size=len(tokenizer), num_labels=3, **SMALL, **ENDS)
    ).save_pretrained(tmp_path / "rm")
    tokenizer.save_pretrained(tmp_path / "rm")
    argv = [
        *commands(tiny_model, tmp_path / "out")["train"],
        "--set",
        "verifier=reward_model",
        "--set",
        f"verifier.model={tmp_path / 'rm'}",
    ]
    assert "it has 3 labels instead of one" in refused(argv, capsys)


def test_a_model_on_a_hub_that_cannot_be_reached_is_one_line(tmp_path):
    """Once, without the retries of its library, each of which was printed twice."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        environ = {
            "HF_ENDPOINT": f"http://127.0.0.1:{nobody.getsockname()[1]}",
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path),
        }
        kept = {name: value for name in ("PATH", "HOME", "OMP_NUM_THREADS") if (value := os.environ.get(name))}
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "kgym",
                "eval",
                "--model",
                "acme/typo",
                "--bench",
                "arithmetic:validation",
                "--problems",
                "2",
            ],
            cwd=tmp_path,
            env=kept | environ,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("kgym: error: ")
    assert "cannot download the model acme/typo: " in line
    assert "no folder acme/typo exists here, so kgym took the name for a model on the hub" in line
    assert not list(tmp_path.glob("runs/*"))
