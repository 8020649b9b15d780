"""`--set` is one option: the same forms and the same keys in every command."""

import json

import pytest

from kgym.cli.main import Parser, main
from kgym.cli.settings import add_set, sections
from kgym.config import RunConfig
from kgym.errors import UnknownName
from kgym.registry import registry


@pytest.mark.parametrize(
    ("words", "found", "file"),
    [
        (["--set", "a=1", "b=2", "FILE"], ["a=1", "b=2"], "FILE"),
        (["FILE", "--set", "a=1", "--set", "b=2"], ["a=1", "b=2"], "FILE"),
        (["--set=a=1", "b=2", "--flag", "FILE"], ["a=1", "b=2"], "FILE"),
        (["--set", "a=-1", "b= x y", "--set", "c=", "--", "d=4"], ["a=-1", "b= x y", "c="], "d=4"),
    ],
)
def test_several_settings_may_follow_and_it_may_be_given_again(words, found, file):
    parser = Parser(prog="test")
    add_set(parser, "options")
    parser.add_argument("--flag", action="store_true")
    parser.add_argument("file")
    parsed = parser.parse_args(words)
    assert (parsed.set, parsed.file) == (found, file)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (["verify", "-"], "verifier.forgive"),
        (["rescore", "nowhere", "--verifier", "math"], "verifier.forgive"),
        (["eval", "--verifier", "math"], "verifier.forgive"),
        (["train", "--set", "verifier=math"], "verifier.forgive"),
        (["envs", "show", "arithmetic"], "env.dificulty"),
        (["sft", "--env", "arithmetic"], "env.dificulty"),
        (["leaderboard", "export", "--format", "plot"], "exporter.sufix"),
    ],
)
def test_every_command_knows_the_key_that_plugins_show_prints(command, key, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--set", f"{key}=1"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"kgym: error: no key named '{key}'; did you mean '{key[:5]}")
    assert not list(tmp_path.iterdir())


def test_a_key_without_its_section_is_answered_with_the_whole_key():
    with pytest.raises(UnknownName, match=r"no key named 'partial'; did you mean 'verifier\.partial'"):
        sections(["partial=0.5"], "verifier")
    with pytest.raises(UnknownName, match=r"no key named 'env'; keys of this command begin with env\. or sft\."):
        sections(["env=aime"], "env", "sft")


def test_what_plugins_show_prints_is_a_key_of_a_run():
    for kind in ("verifier", "environment", "algorithm", "sampler", "shaper", "engine", "tracker"):
        for name in registry().infos(kind):
            first, *rest = registry().key(kind, name).split(".")
            assert first in RunConfig.model_fields
            assert not rest or rest == [name]


def test_train_judges_with_the_options_of_the_verifier(tiny_model, tmp_path, capsys):
    small = (
        "rollout.problems_per_step=1",
        "rollout.group_size=2",
        "env.max_tokens=4",
        "eval.every=0",
        "train.threads=1",
    )
    command = [
        "train",
        "--env",
        "arithmetic",
        "--model",
        str(tiny_model),
        "--steps",
        "1",
        "--run",
        str(tmp_path / "run"),
        "--json",
    ]
    assert main([*command, "--set", *small, "verifier=math", "verifier.forgive_missing_base=true"]) == 0
    facts = json.loads((tmp_path / "run" / "manifest.json").read_text())["env"]
    assert (facts["verifier"], facts["verifier_options"]["forgive_missing_base"]) == ("math", True)
    capsys.readouterr()
    assert main([*command, "--set", "env.verifier=math", "--run", str(tmp_path / "other")]) == 2
    assert capsys.readouterr().err == "kgym: error: env.verifier is not a key of this command; use verifier=NAME\n"
    assert not (tmp_path / "other").exists()
