"""Runs of LoRA: checkpoints, resuming, evaluation, merging, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
)

from kgym.cli.main import main
from kgym.models.names import adapters_of, resolve_model
from test_lora import PLUGINS, command, figures, loaded, logits, train


@pytest.fixture
def run(tmp_path, tiny_model):
    assert train(tmp_path / "run", tiny_model) == 0
    return tmp_path / "run"


def test_the_checkpoint_is_the_adapter_and_the_engine_agrees_with_the_trainer(run):
    checkpoint = run / "checkpoints" / "step-2"
    names = {path.name for path in checkpoint.iterdir()}
    assert {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "trainer.pt",
        "episodes.parquet",
    } <= names
    assert not names & {"config.json", "model.safetensors"}
    state = torch.load(checkpoint / "trainer.pt", weights_only=True)["optimizer"]["state"]
    assert len(state) == len(load_file(checkpoint / "adapter_model.safetensors"))
    last = figures(run)[-1]
    assert last["policy/engine_gap_nats"] < 1e-5
    assert last["optim/grad_norm"] > 0


def test_eval_show_and_the_next_run_take_the_run_for_a_model(run, tmp_path, capsys):
    capsys.readouterr()
    asked = [
        "eval",
        "--bench",
        "arithmetic:validation",
        "--problems",
        "8",
        "--max-tokens",
        "8",
        "--verifier",
        "even-length",
        "--truncated",
        "score",
    ]
    assert main(["runs", "merge", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == str(run / "merged")
    assert found["adapter"] == str(run / "checkpoints" / "step-2")
    for name, model in (("one", run), ("two", run / "merged")):
        assert main([*PLUGINS, *asked, "--model", str(model), "--run", str(tmp_path / name), "--json"]) == 0
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert one["accuracy"] == two["accuracy"] > 0
    assert one["tokens_mean"] == two["tokens_mean"]
    capsys.readouterr()
    assert main(["runs", "show", str(run)]) == 0
    assert "with mirror and LoRA of rank 4 from" in capsys.readouterr().out
    assert main(["runs", "view", str(run), "-o", str(tmp_path / "page.html")]) == 0
    assert "LoRA of rank 4" in (tmp_path / "page.html").read_text()
    assert train(tmp_path / "next", run, steps=1) == 0
    assert train(tmp_path / "whole", run, "train.lora.rank=0", steps=1) == 0
    assert (tmp_path / "whole" / "checkpoints" / "step-1" / "model.safetensors").is_file()
    assert adapters_of(resolve_model(str(tmp_path / "next")))[1][0] == run / "checkpoints" / "step-2"


def test_merge_writes_a_plain_folder_that_computes_the_same(run, tiny_model, tmp_path, capsys):
    assert main(["runs", "merge", str(run), "--out", str(tmp_path / "whole")]) == 0
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    assert {name for name, _ in plain.named_parameters()} == {
        name for name, _ in loaded(tiny_model).model.named_parameters()
    }
    assert torch.equal(logits(plain), logits(loaded(resolve_model(str(run))).model))
    assert main(["runs", "merge", str(run), "--out", str(tmp_path / "half"), "--dtype", "bfloat16"]) == 0
    assert (
        next(AutoModelForCausalLM.from_pretrained(tmp_path / "half", dtype="auto").parameters()).dtype == torch.bfloat16
    )
    before = sorted(tmp_path.iterdir())
    for asked, message in (
        ([str(run), "--out", str(tmp_path / "whole")], "exists already; choose another folder with --out"),
        ([str(tmp_path / "whole")], "is not a LoRA run"),
        ([str(tmp_path / "gone")], "does not exist"),
    ):
        capsys.readouterr()
        assert main(["runs", "merge", *asked]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_an_engine_that_generates_ahead_gets_the_same_weights(run, tmp_path, tiny_model):
    assert train(tmp_path / "ahead", tiny_model, "rollout.schedule=ahead", "rollout.max_lag=0") == 0
    assert figures(tmp_path / "ahead") == figures(run)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["grpo", "ppo"])
def test_a_run_that_is_killed_and_resumed_has_the_metrics_of_one_that_was_not(tmp_path, tiny_model, algo):
    extra = {
        "grpo": ("algo=grpo", "algo.kl_coef=0.1", "ptx.coef=0.5", "ptx.batch_size=2"),
        "ppo": ("algo=ppo", "critic.backbone=shared"),
    }[algo]
    extra = (*extra, "train.save_every=1", "train.schedule=linear")
    assert train(tmp_path / "straight", tiny_model, *extra, steps=4) == 0
    asked = [sys.executable, "-m", "kgym.cli.main", *command("killed", tiny_model, *extra, steps=4)]
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(asked, cwd=tmp_path, env=path, stdout=subprocess.DEVNULL)
    while not (tmp_path / "killed" / "checkpoints" / "step-2").exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main([*PLUGINS, "train", "--resume", "--run", str(tmp_path / "killed")]) == 0
    assert figures(tmp_path / "killed") == figures(tmp_path / "straight")
    one, two = (
        load_file(tmp_path / name / "checkpoints" / "step-4" / "adapter_model.safetensors")
        for name in ("killed", "straight")
    )
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_a_base_in_bfloat16_is_trained_by_an_adapter_in_float32(tmp_path, tiny_model):
    assert train(tmp_path / "run", tiny_model, "train.dtype=bfloat16", "engine.dtype=bfloat16") == 0
    tensors = load_file(tmp_path / "run" / "checkpoints" / "step-2" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert any(tensor.any() for name, tensor in tensors.items() if ".lora_B." in name)
    assert max(line["policy/engine_gap_nats"] for line in figures(tmp_path / "run")) < 0.05


def test_a_separate_critic_learns_beside_an_adapter(tmp_path, tiny_model):
    assert train(tmp_path / "run", tiny_model, "algo=ppo") == 0
    checkpoint = tmp_path / "run" / "checkpoints" / "step-2"
    assert (checkpoint / "adapter_model.safetensors").is_file()
    assert (checkpoint / "critic" / "model.safetensors").is_file()


def test_the_reference_below_an_adapter_is_the_start(tmp_path, tiny_model):
    assert train(tmp_path / "run", tiny_model, "algo=grpo", "algo.kl_coef=0.1", steps=3) == 0
    first, *_, last = figures(tmp_path / "run")
    assert first["policy/kl_reference_nats"] == pytest.approx(0, abs=1e-6)
    assert last["policy/kl_reference_nats"] > 0


def test_a_base_that_changed_is_refused_at_resume(tmp_path, tiny_model, capsys):
    shutil.copytree(tiny_model, tmp_path / "base")
    assert train(tmp_path / "run", tmp_path / "base", steps=1) == 0
    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    capsys.readouterr()
    assert main([*PLUGINS, "train", "--resume", "--run", str(tmp_path / "run"), "--steps", "2"]) == 2
    assert "fingerprints.model was " in capsys.readouterr().err


def test_lora_keys_without_a_rank_are_refused(tmp_path, capsys):
    assert main(["train", "--run", str(tmp_path / "run"), "--set", "train.lora.alpha=8"]) == 2
    assert "set train.lora.rank too" in capsys.readouterr().err
