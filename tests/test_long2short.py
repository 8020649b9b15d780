"""Long2short: each method is a series of commands that can be interrupted, and ends with accuracy and length before
and after.
"""

import json

import pytest

from kgym.cli.main import main

METHODS = {
    "merge": (["--short", "nano"], ["models", "eval", "eval"]),
    "shortest": (["--steps", "2", "--problems", "12", "--samples", "4"], ["eval", "sft", "eval", "eval"]),
    "dpo": (
        ["--steps", "2", "--problems", "24", "--samples", "4", "--set", "pairs.held_out=2"],
        ["eval", "dpo", "eval", "eval"],
    ),
    "distill": (["--short", "nano", "--steps", "1", "--set", "rollout.problems_per_step=4"], ["train", "eval", "eval"]),
    "rl": (["--steps", "1", "--set", "rollout.problems_per_step=2", "rollout.group_size=2"], ["train", "eval", "eval"]),
}


def commands(printed):
    return [line.split()[2] for line in printed.splitlines() if line.startswith("$ kgym")]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_a_series_of_commands_that_is_not_run_twice(method, tmp_path, capsys):
    flags, wanted = METHODS[method]
    words = ["long2short", method, "--model", "nano", "--out", str(tmp_path / "out"), "--score", "6", *flags]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert commands(said) == wanted
    assert "before" in said
    assert main([*words, "--json"]) == 0
    again = capsys.readouterr()
    assert not commands(again.err)
    assert main([*words, "--seed", "1"]) == 2
    assert f"{tmp_path / 'out'} contains a series with other settings: seed" in capsys.readouterr().err
    found = json.loads(again.out)
    assert set(found) == {"model", "before", "after"}
    for when in ("before", "after"):
        results = json.loads((tmp_path / "out" / when / "results.json").read_text())
        assert found[when] == {"accuracy": results["accuracy"], "tokens": results["tokens_mean"]}


@pytest.mark.slow
def test_a_training_that_was_interrupted_is_resumed(tmp_path, capsys):
    words = ["long2short", "rl", "--model", "nano", "--out", str(tmp_path / "out"), "--score", "6", *METHODS["rl"][0]]
    assert main(words) == 0
    (tmp_path / "out/rl/summary.json").unlink()
    (tmp_path / "out/after/results.json").unlink()
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert commands(said) == ["train", "eval"]
    assert "--resume" in said
    manifest = json.loads((tmp_path / "out/rl/manifest.json").read_text())
    assert manifest["config"]["env"]["options"]["max_tokens"] == 80, "half of what the environment gives"
    assert manifest["config"]["shapers"]["length_penalty"]["warmup_steps"] == 0


def test_a_request_that_was_refused_binds_nobody(tmp_path, capsys):
    words = ["long2short", "merge", "--model", "nano", "--score", "2", "--out", str(tmp_path / "out")]
    assert main([*words, "--short", "no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err
    assert main([*words, "--short", "nano"]) == 0


def test_settings_of_the_environment_go_to_every_command_and_others_to_the_training(tmp_path, capsys):
    flags = ["--set", "env.difficulty=99", "--score", "6", "--out", str(tmp_path / "out")]
    assert main(["long2short", "shortest", "--model", "nano", *flags]) == 2
    said = capsys.readouterr()
    assert commands(said.out) == ["eval"]
    assert "env.difficulty=99" in said.out
    assert "difficulty" in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rl", "--model", "no-such-model"], "no-such-model"),
        (["merge", "--model", "nano"], "--short"),
        (["merge", "--model", "nano", "--short", "nano", "--weight", "7"], "between 0 and 1"),
        (["prune", "--model", "nano"], "prune"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_run(words, said, tmp_path, capsys):
    assert main(["long2short", *words, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not commands(printed.out)
    assert not (tmp_path / "out").exists()
