"""`kgym train --show-config` and `docs/configuration.md` say what the code says."""

import json
import re
from pathlib import Path

import pytest

from kgym.cli.main import main
from kgym.cli.reference import fill
from kgym.config import RunConfig
from kgym.keys import keys_of, load_config
from kgym.train.rl.components import with_defaults
from kgym.train.rl.recipe import with_recipe

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shown(capsys, *arguments):
    assert main(["train", "--show-config", *arguments]) == 0
    return capsys.readouterr().out


def test_the_reference_is_that_of_the_code():
    assert PAGE.read_text() == fill(PAGE.read_text()), "run: python -m kgym.cli.reference"


def test_the_file_of_the_page_is_a_configuration_that_can_start(tmp_path, capsys):
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (tmp_path / "run.toml").write_text(example)
    config = load_config(tmp_path / "run.toml")
    assert (config.verifier.options, config.algo.options) == ({"forgive_missing_base": True}, {"kl_coef": 0.01})
    assert "kl_coef = 0.01  # run.toml" in shown(capsys, "--config", "run.toml")


@pytest.mark.parametrize("algo", ["mirror", "dapo", "ppo"])
def test_what_is_printed_is_a_file_of_the_same_run(tmp_path, capsys, algo):
    asked = (
        "--algo",
        algo,
        "--tracker",
        "jsonl",
        "--set",
        "trackers.jsonl.path='a b'",
        "rollout.temperature=0.9",
        'env.prompt="{question}\\n?"',
    )
    text = shown(capsys, *asked)
    assert [path.name for path in tmp_path.iterdir()] == []
    (tmp_path / "run.toml").write_text(text)
    overrides = [
        f"algo.name={algo}",
        "trackers.jsonl.path='a b'",
        "rollout.temperature=0.9",
        'env.prompt="{question}\\n?"',
    ]
    assert with_defaults(load_config(tmp_path / "run.toml")) == with_defaults(with_recipe(load_config(None, overrides)))


def test_a_section_that_is_not_set_is_a_comment(tmp_path, capsys):
    (tmp_path / "lines.jsonl").write_text('{"question": "1+1", "solution": "2"}\n')
    for command, wanted, more in (
        ("sft", "# env is not set", ("--data", "lines.jsonl")),
        ("train", "# audit is not set", ()),
    ):
        assert main([command, "--show-config", *more]) == 0
        text = capsys.readouterr().out
        assert wanted in text
        assert '[""]' not in text


def test_each_value_says_where_it_came_from(tmp_path, capsys):
    (tmp_path / "run.toml").write_text('[algo]\nname = "dapo"\nclip_high = 0.3\n[train]\nlr = 1e-5\nsteps = 7\n')
    asked = (
        "--config",
        "run.toml",
        "--steps",
        "9",
        "--tracker",
        "jsonl",
        "--set",
        "train.lr=1e-6",
        "shapers.overlong.weight=0.1",
    )
    report = json.loads(shown(capsys, *asked, "--json"))
    found = {entry["key"]: entry for entry in report["keys"]}
    assert {key: (found[key]["value"], found[key]["source"]) for key in (
        "train.lr", "train.steps", "algo.name", "algo.clip_high", "algo.clip_low",
        "shapers.overlong.weight", "shapers.overlong.max_tokens", "trackers.jsonl.path",
        "rollout.loop_tokens", "env.context_tokens", "sampler.name",
    )} == {
        "train.lr": (1e-6, "--set"), "train.steps": (9, "--steps"), "algo.name": ("dapo", "run.toml"),
        "algo.clip_high": (0.3, "run.toml"), "algo.clip_low": (0.2, "default"),
        "shapers.overlong.weight": (0.1, "--set"), "shapers.overlong.max_tokens": (160, "recipe of dapo"),
        "trackers.jsonl.path": ("metrics-of-all-runs.jsonl", "--tracker"), "rollout.loop_tokens": (None, "default"),
        "env.context_tokens": (None, "default"), "sampler.name": ("uniform", "default"),
    }  # fmt: skip
    assert all(entry["meaning"] and entry["type"] for entry in found.values())
    assert RunConfig.model_validate(report["config"]).algo.options["clip_low"] == 0.2


def test_every_key_is_shown(capsys):
    found = {entry["key"] for entry in json.loads(shown(capsys, "--json"))["keys"]}
    assert {key for key in keys_of(RunConfig().model_dump(mode="json")) if "." in key} - {"env.options"} <= found
    assert {"algo.tau", "env.difficulty", "engine.max_batch", "verifier.name"} <= found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "./gone"], "./gone"),
        (["--env", "aime", "--set", "env.split=2024"], "kgym data add aime24"),
        (["--set", "algo.tau=-1"], "algo.tau"),
        (["--set", "sampler=curriculm"], "did you mean 'curriculum'"),
        (["--set", "ptx.coef=1", "ptx.data=gone.jsonl"], "gone.jsonl"),
        (["--set", "engine.max_batch=0"], "engine.max_batch"),
        (["--set", "rollout.group_size=1"], "use 2 or more"),
        (["--bench", "gone"], "gone"),
        (["--set", "train.lora_r=8"], "no key named 'train.lora_r'; that is 'train.lora.rank' here"),
        (["--set", "train.gradient_accumulation_steps=8"], "that is 'train.microbatch_tokens' here"),
        (["--lr", "1e-5"], "no option named '--lr'; use --set train.lr=VALUE"),
        (["--eval-problems", "4"], "no option named '--eval-problems'; use --set eval.problems=VALUE"),
        (["--group-size", "4"], "no option named '--group-size'; use --set rollout.group_size=VALUE"),
        (["--batch", "4"], "no option named '--batch'; that is 'rollout.problems_per_step' here"),
        (["--step", "4"], "did you mean '--steps'"),
    ],
)
def test_the_dry_run_refuses_what_a_start_refuses(tmp_path, capsys, arguments, message):
    for command in (["train", "--show-config"], ["train"]):
        assert main([*command, *arguments]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_resumed_is_shown_as_it_began(tmp_path, capsys, tiny_model):
    small = (
        "rollout.problems_per_step=1",
        "rollout.group_size=2",
        "env.max_tokens=4",
        "eval.every=0",
        "train.threads=1",
    )
    begun = ["train", "--env", "arithmetic", "--model", str(tiny_model), "--steps", "1", "--run", "run"]
    assert main([*begun, "--set", *small, "algo.tau=0.3"]) == 0
    capsys.readouterr()
    report = json.loads(shown(capsys, "--resume", "--run", "run", "--steps", "5", "--json"))
    found = {entry["key"]: (entry["value"], entry["source"]) for entry in report["keys"]}
    assert found["algo.tau"] == (0.3, "the run")
    assert found["train.steps"] == (5, "--steps")
