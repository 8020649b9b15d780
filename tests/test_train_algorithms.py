"""`kgym train --algo X` for every algorithm that comes with kgym, on the built-in model."""

import json
import math

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from kgym.cli.main import main
from kgym.models.names import resolve_model
from kgym.registry import registry
from kgym.runs.metrics import read_metrics

NAMES = [name for name in registry().infos("algorithm") if registry().provider("algorithm", name).origin == "kgym"]
SETTINGS = [
    *("--set", "rollout.problems_per_step=3", "--set", "rollout.group_size=4", "--set", "env.max_tokens=64"),
    *("--set", "eval.every=0", "--set", "train.threads=1"),
]


@pytest.mark.slow
@pytest.mark.parametrize("env", ["aime", "arithmetic"])
@pytest.mark.parametrize("name", NAMES)
def test_every_algorithm_trains(tmp_path, name, env):
    run = tmp_path / "run"
    more = []
    if name == "opd":  # its teacher is a step away from nano, so that there is something to learn
        teacher = tmp_path / "teacher"
        assert main(["train", "--run", str(teacher), "--steps", "1", "--seed", "2", *SETTINGS, "--json"]) == 0
        more = ["--set", f"algo.teacher={teacher}"]
    assert (
        main(
            [
                "train",
                "--env",
                env,
                "--algo",
                name,
                "--run",
                str(run),
                "--steps",
                "2",
                "--seed",
                "1",
                *SETTINGS,
                *more,
                "--json",
            ]
        )
        == 0
    )
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2]
    for line in lines:
        assert all(
            math.isfinite(value) for key, value in line.items() if key.startswith(("policy/", "optim/", "critic/"))
        ), line
    if env == "aime":  # nano cannot do sums of three digits: on arithmetic it may have nothing to learn from
        assert any(line.get("optim/grad_norm", 0) > 0 for line in lines)
    assert (run / "checkpoints" / "step-2" / "model.safetensors").is_file()


def test_a_teacher_with_other_tokens_is_refused_before_anything_is_written(tmp_path, capsys):
    teacher = tmp_path / "teacher"
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("nano"))
    tokenizer.add_tokens(["<|more|>"])
    model = AutoModelForCausalLM.from_pretrained(resolve_model("nano"))
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(teacher)
    tokenizer.save_pretrained(teacher)
    words = ["train", "--algo", "opd", "--run", str(tmp_path / "run"), "--steps", "1", *SETTINGS]
    assert main([*words, "--set", f"algo.teacher={teacher}"]) == 2
    assert "different tokenizers" in capsys.readouterr().err
    assert main([*words, "--set", "algo.teacher=no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A model that has unlearnt to guess, which nano does in most of its completions."""
    run = tmp_path_factory.mktemp("teacher") / "run"
    learns = ["--steps", "25", "--lr", "3e-4", "--set", "train.warmup_steps=5", "train.threads=1"]
    assert main(["sft", "--env", "aime", "--run", str(run), *learns, "--batch", "32", "--json"]) == 0
    return run


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 8])
def test_a_student_comes_closer_to_its_teacher_and_the_manifest_knows_which(rank, teacher, tmp_path, capsys):
    run = tmp_path / "run"
    settings = [
        f"algo.teacher={teacher}",
        "rollout.group_size=1",
        "rollout.problems_per_step=96",
        "eval.every=0",
        "train.threads=1",
    ]
    settings += [f"train.lora.rank={rank}", f"train.lr={2e-3 if rank else 5e-4}"]
    assert main(["train", "--algo", "opd", "--run", str(run), "--steps", "5", "--json", "--set", *settings]) == 0
    lines = read_metrics(run / "metrics.jsonl")
    gaps = [line["policy/kl_reference_nats"] for line in lines]
    assert gaps[-1] < 0.5 * gaps[0]
    assert lines[-1]["episode/tokens_mean"] > 1.1 * lines[0]["episode/tokens_mean"]
    assert "group/informative_frac" not in lines[0], "a group of one answer compares nothing"
    assert "no group has both" not in capsys.readouterr().err
    manifest = json.loads((run / "manifest.json").read_text())
    assert set(manifest["fingerprints"]) == {"model", "reference"}
