"""Hints from hand-made metrics: the cause and not its consequences, once and not at every step."""

import json
import re

import pytest

from kgym.cli.main import main
from kgym.train.rl.diagnosis import Diagnosis, diagnose

GOOD = {
    "reward/mean": 0.44,
    "episode/correct_frac": 0.44,
    "episode/tokens_max": 60.0,
    "episode/truncated_frac": 0.02,
    "verdict/no_answer_frac": 0.03,
    "verdict/unscored_frac": 0.0,
    "group/informative_frac": 0.8,
    "policy/kl_nats": 0.001,
    "policy/entropy_nats": 0.1,
    "optim/grad_norm": 3.2,
}
"""A step of the default training."""
WRONG = {"reward/mean": 0.0, "episode/correct_frac": 0.0, "group/informative_frac": 0.0}
NO_UPDATE = {"policy/kl_nats": None, "policy/entropy_nats": None, "optim/grad_norm": None}


def keys(*lines):
    """The keys of the hints of the last of some steps."""
    diagnosis = Diagnosis(max_grad_norm=1.0)
    return [[hint.key for hint in diagnosis.see(GOOD | line, step)] for step, line in enumerate(lines, start=1)][-1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({}, []),
        ({"verdict/unscored_frac": 0.02}, ["unscored"]),
        ({"policy/engine_gap_nats": 0.04}, []),
        ({"policy/engine_gap_nats": 0.06, "episode/truncated_frac": 0.2}, ["engine", "truncated"]),
        ({"episode/truncated_frac": 0.2}, ["truncated"]),
        (WRONG, ["all wrong"]),
        (
            WRONG | {"episode/truncated_frac": 0.9},
            ["truncated"],
        ),  # a random model that is cut off: the budget, not the difficulty
        (WRONG | {"verdict/no_answer_frac": 0.9}, ["no answer"]),
        (WRONG | {"episode/truncated_frac": 0.9, "verdict/no_answer_frac": 0.9}, ["truncated"]),
        (WRONG | {"verdict/unscored_frac": 0.9}, ["unscored"]),
        ({"episode/correct_frac": 1.0, "reward/mean": 1.0, "group/informative_frac": 0.0}, ["all right"]),
        ({"episode/correct_frac": 0.667, "group/informative_frac": 0.0}, ["same in groups"]),
        # DAPO: nearly all cut and masked, two thirds of the others right, no batch
        (
            NO_UPDATE | {"episode/truncated_frac": 0.96, "episode/correct_frac": 0.667, "group/informative_frac": 0.0},
            ["truncated"],
        ),
        ({"policy/kl_nats": 423.0, "optim/grad_norm": 4_429_711.0}, ["kl", "gradient"]),
        ({"policy/entropy_nats": 0.0002, "optim/grad_norm": 0.0} | WRONG, ["entropy"]),
        ({"policy/kl_nats": float("nan"), "policy/entropy_nats": None, "episode/tokens_max": None}, []),
    ],
)
def test_what_is_wrong_with_a_step(line, expected):
    assert keys(line) == expected


def test_a_destroyed_policy_is_not_told_to_take_easier_problems():
    exploded = {"policy/kl_nats": 423.0}
    assert keys(exploded, WRONG) == ["broken"]
    assert keys(exploded, WRONG | {"episode/truncated_frac": 1.0, "verdict/no_answer_frac": 1.0}) == ["broken"]
    assert keys({}, {"policy/kl_nats": 0.06}, {}) == []  # a little too much is not the end
    assert keys({}, WRONG, WRONG) == ["broken"]  # one inner step: the KL is 0 by construction and does not show it
    assert keys({}, WRONG) == ["all wrong"]
    assert keys({}, WRONG | {"episode/truncated_frac": 1.0}) == ["broken"]  # it no longer ends its completions
    assert keys({"episode/truncated_frac": 0.6}, WRONG | {"episode/truncated_frac": 1.0}) == ["truncated"]
    assert keys({"episode/correct_frac": 0.1}, WRONG, WRONG) == ["all wrong"]  # it never knew much


def test_the_texts_have_the_figures_and_the_remedy():
    diagnosis = Diagnosis(max_grad_norm=1.0)
    line = GOOD | WRONG | {"episode/truncated_frac": 0.9, "optim/grad_norm": 4_429_711.0}
    texts = [str(hint) for hint in diagnosis.see(line, 1)]
    assert texts == [
        "90% of the completions are cut off by the token budget (the longest has 60 tokens); raise env.max_tokens, "
        "or take a model that ends its completions",
        "the gradient explodes: its norm is 4,429,711, and train.max_grad_norm=1; "
        "start again with a smaller train.lr, and look at policy/engine_gap_nats",
    ]
    (text,) = map(str, Diagnosis(max_grad_norm=1.0).see(GOOD | NO_UPDATE | WRONG, 1))
    assert text.startswith(
        "nothing to learn from, the policy stays as it is: every completion got the same reward, 0, "
    )
    assert Diagnosis(max_grad_norm=1e6).see(GOOD | {"optim/grad_norm": 4_429_711.0}, 1) == []


def test_of_several_environments_the_hint_names_the_budgets_that_cut():
    shares = {"env/sums/truncated_frac": 0.0, "env/long/truncated_frac": 0.9, "env/hard/truncated_frac": 0.2}
    (hint,) = Diagnosis(max_grad_norm=1.0).see(GOOD | {"episode/truncated_frac": 0.4} | shares, 1)
    assert "raise envs.long.max_tokens or envs.hard.max_tokens, or take" in str(hint)
    (hint,) = Diagnosis(max_grad_norm=1.0).see(GOOD | WRONG | {"env/sums/correct_frac": 0.0}, 1)
    assert "take easier problems (envs.LABEL.difficulty, if the environment has it)" in str(hint)


def test_a_hint_is_given_once_and_again_when_it_comes_back_or_changes():
    cut, wrong, good = {"episode/truncated_frac": 0.9}, WRONG, {}
    diagnosis = Diagnosis(max_grad_norm=1.0)
    given = [
        [hint.key for hint in diagnosis.new(GOOD | {"episode/correct_frac": 0.1} | line, step)]
        for step, line in enumerate([cut, cut, good, cut, wrong, wrong, good, good, good, good, cut], start=1)
    ]
    assert given == [["truncated"], [], [], [], ["all wrong"], [], [], [], [], [], ["truncated"]]


def test_findings_are_hints_with_the_steps_that_they_held_for():
    lines = [{"step": 0, "eval/accuracy": 0.4}]
    cut = {"episode/truncated_frac": 0.9}
    for step, line in enumerate([cut, cut, {}, cut, {}, {}, {}, {}, cut, {"policy/kl_nats": 0.2}], start=1):
        lines.append({"step": step} | GOOD | line)
    found = [(finding.hint.key, finding.first, finding.last) for finding in diagnose(lines, max_grad_norm=1.0)]
    assert found == [("truncated", 1, 4), ("truncated", 9, 9), ("kl", 10, 10)]


def test_training_says_a_hint_once_and_show_says_it_too(tmp_path, tiny_model, capsys):
    run = tmp_path / "run"
    small = (
        "rollout.problems_per_step=2",
        "rollout.group_size=2",
        "env.max_tokens=8",
        "eval.every=0",
        "train.threads=1",
    )
    settings = [word for setting in small for word in ("--set", setting)]
    assert (
        main(["train", "--env", "arithmetic", "--model", str(tiny_model), "--steps", "3", "--run", str(run), *settings])
        == 0
    )
    out = capsys.readouterr().out
    assert out.count("cut off by") == 1
    said = (
        r"^step 1: (\d+% of the completions are cut off by the token budget \(the longest has 8 tokens\); raise "
        r"env\.max_tokens)"
    )
    (text,) = re.findall(said, out, flags=re.MULTILINE)
    assert main(["train", "--resume", "--run", str(run), "--steps", "4"]) == 0
    assert "cut off by" not in capsys.readouterr().out
    assert main(["runs", "show", str(run)]) == 0
    assert f"steps 1 to 4: {text}" in capsys.readouterr().out
    assert main(["runs", "show", str(run), "--json"]) == 0
    (hint,) = json.loads(capsys.readouterr().out)["hints"]
    assert (hint["first_step"], hint["last_step"], hint["hint"].startswith(text)) == (1, 4, True)
