"""The command that training proposes to type next does what it says."""

import shlex

import pytest

from kgym.cli.following import how_to_score
from kgym.cli.main import main
from kgym.envs.spec import EnvSpec
from kgym.types import Sampling


@pytest.mark.parametrize(
    ("env", "split", "options", "said"),
    [
        ("aime", "validation", {}, "aime-style"),
        ("aime", "validation", {"difficulty": 3}, "aime:validation --problems 7 --set env.difficulty=3"),
        ("aime", "2024", {}, "aime24"),  # data that the user has to add
        ("aime", "2024", {"max_tokens": 64}, "aime:2024 --set env.max_tokens=64"),
        ("arithmetic", "validation", {}, "arithmetic:validation --problems 7"),
        ("aime", "2024", {"truncated": "zero", "context_tokens": None}, "aime24"),
        (
            "aime",
            "2024",
            {
                "verifier": "math",
                "verifier_options": {"forgive_missing_base": True},
                "verifier_limits": {"deadline_s": 9.0},
            },
            "aime:2024 --set verifier=math verifier.forgive_missing_base=True verifier.limits.deadline_s=9.0",
        ),
    ],
)
def test_the_benchmark_or_the_split_with_its_options(env, split, options, said):
    assert (
        how_to_score("runs/a b", EnvSpec(env, split, options), problems=7)
        == f"kgym eval --model 'runs/a b' --bench {said}"
    )


def test_what_is_asked_stays_the_same():
    drawn = Sampling(0.6, 0.95, 20, ("Q:", "a b"), 16)
    said = how_to_score("m", EnvSpec("aime", "validation"), template={"enable_thinking": False}, sampling=drawn)
    options = "--stop Q: --stop 'a b' --loop-tokens 16 --temperature 0.6 --top-p 0.95 --top-k 20"
    assert said == f"kgym eval --model m --bench aime-style {options} --set engine.template.enable_thinking=false"
    said = how_to_score("m", EnvSpec("aime", "validation", {"difficulty": 3}), template={"x": "y"}, problems=7)
    assert (
        said
        == """kgym eval --model m --bench aime:validation --problems 7 --set env.difficulty=3 'engine.template.x="y"'"""
    )


def test_what_train_and_sft_propose_can_be_typed(tmp_path, monkeypatch, capsys, tiny_model):
    monkeypatch.chdir(tmp_path)
    small = (
        "rollout.problems_per_step=1",
        "rollout.group_size=2",
        "env.max_tokens=8",
        "eval.problems=3",
        "train.threads=1",
    )
    settings = [word for setting in (*small, "env.difficulty=2") for word in ("--set", setting)]
    trained = [
        "train",
        "--env",
        "arithmetic",
        "--algo",
        "grpo",
        "--model",
        str(tiny_model),
        "--steps",
        "1",
        "--run",
        "run",
        *settings,
    ]
    tuned = ["sft", "--env", "arithmetic", "--model", str(tiny_model), "--run", "tuned", "--steps", "1", "--batch", "2"]
    for command in (trained, tuned):
        assert main(command) == 0
        (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("next "))
        program, *words = shlex.split(line.removeprefix("next"))
        assert program == "kgym"
        assert main([*words, "--problems", "3", "--max-tokens", "8", "--json"]) == 0
        capsys.readouterr()


def test_what_is_trained_by_another_verifier_is_scored_by_the_environments_own(
    tmp_path, monkeypatch, capsys, tiny_model
):
    monkeypatch.chdir(tmp_path)
    small = (
        "rollout.problems_per_step=1",
        "rollout.group_size=2",
        "env.max_tokens=8",
        "eval.problems=3",
        "train.threads=1",
    )
    other = ("verifier=math", "verifier.forgive_missing_base=true")  # an option that `integer` has not
    settings = [word for setting in (*small, *other) for word in ("--set", setting)]
    assert (
        main(["train", "--env", "arithmetic", "--model", str(tiny_model), "--steps", "1", "--run", "run", *settings])
        == 0
    )
    out = capsys.readouterr().out
    command = "kgym eval --model run --bench arithmetic:validation --problems 3 --set env.max_tokens=8"
    assert out.splitlines()[-1] == f"next        {command} --board leaderboard.csv"


def test_a_validation_without_problems_is_refused_before_anything_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.jsonl").write_text('{"question": "What is 2+3?", "answer": "5"}\n')
    assert main(["data", "add", "one.jsonl"]) == 0
    assert main(["train", "--env", "data", "--set", "env.dataset=one", "--run", "run"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "set another env.validation_frac" in err
    assert not (tmp_path / "run").exists()
