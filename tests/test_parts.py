"""Metrics of training by level, subject and year, so that a curriculum can be watched."""

import json

import pytest

from kgym.cli.main import main
from kgym.train.rl.statistics import part_metrics
from kgym.types import Episode, Group, Problem, Verdict

RIGHT, WRONG, UNSCORED = Verdict("correct"), Verdict("wrong"), Verdict("unscored", reason="timeout")


def group(*verdicts, **about):
    problem = Problem(id="test/0", question="?", gold="1", **about)
    return Group(problem, [Episode(problem, 0, (), [], verdict) for verdict in verdicts], [0.0] * len(verdicts))


def test_levels_subjects_and_years_that_occur():
    groups = [
        group(RIGHT, WRONG, UNSCORED, level=1, subject="number theory"),
        group(RIGHT, RIGHT, level=2, subject="number theory", year=2024),
        group(WRONG, WRONG),
    ]
    assert part_metrics(groups) == {
        "level/1/correct_frac": 0.5,
        "level/1/answers": 2,
        "level/2/correct_frac": 1,
        "level/2/answers": 2,
        "subject/number-theory/correct_frac": 0.75,
        "subject/number-theory/answers": 4,
        "year/2024/correct_frac": 1,
        "year/2024/answers": 2,
    }


@pytest.mark.parametrize(
    ("subject", "word"),
    [("a/b\n c", "a-b-c"), ("数论", "数论"), ("../x", "x"), ("s" * 99, "s" * 40), ("\x1b[31mred", "31mred")],
)
def test_a_subject_becomes_one_word(subject, word):
    assert f"subject/{word}/answers" in part_metrics([group(RIGHT, subject=subject)])


def test_a_subject_without_letters_is_left_out():
    assert part_metrics([group(RIGHT, subject="//")]) == {}


def test_a_curriculum_can_be_watched(tmp_path):
    settings = [
        "env.difficulty=3",
        "rollout.problems_per_step=20",
        "rollout.group_size=2",
        "env.max_tokens=8",
        "eval.every=0",
    ]
    settings += ["sampler.name=curriculum", "sampler.steps=0.5", "train.threads=1"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    assert main(["train", "--run", str(tmp_path / "run"), "--steps", "2", "--json", *arguments]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    levels = [
        {key: value for key, value in line.items() if key.startswith("level/") and key.endswith("answers")}
        for line in lines
    ]
    assert [sum(found.values()) for found in levels] == [40, 40]
    assert max(levels[1]) > "level/1"
    assert all(
        line["level/1/correct_frac"] == 0 for line in lines if "level/1/answers" in line
    )  # eight tokens are too few
