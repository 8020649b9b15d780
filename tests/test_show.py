"""`kgym train --show N`: sampled episodes on the terminal, which nothing of the run depends on."""

import json

import pytest

from kgym.cli.main import main
from kgym.cli.samples import INDENT, LONGEST, choose, sample_lines, shortened
from kgym.cli.train import terminal_reporter
from kgym.runs.episodes import read_episodes
from kgym.types import Episode, Group, Message, Observation, Problem, Segment, Verdict
from test_train import numbers

SMALL = (
    "rollout.problems_per_step=2",
    "rollout.group_size=4",
    "env.max_tokens=48",
    "train.threads=1",
    "train.save_every=1",
)


def train(run, *more, steps=2):
    return main(["train", "--run", str(run), "--steps", str(steps), "--eval-every", "0", *more, "--set", *SMALL])


def episode(text="\\boxed{7}", question="2+5?", **changes):
    values = {
        "problem": Problem(id="sums/train/1", question=question, gold="7"),
        "attempt": 3,
        "prompt": (Message("user", question),),
        "pieces": [Segment(text, token_ids=[5, 6], engine_logprobs=[-0.1, -0.2])],
        "verdict": Verdict("correct", "integer", "7"),
        "reward": 1.0,
        "terminated": True,
    }
    return Episode(**(values | changes))


def test_what_is_shown_of_an_episode():
    assert sample_lines(episode("so\n\\boxed{7}"), 1.0, "sample 1 of step 2") == [
        "sample 1 of step 2: sums/train/1#3, 2 tokens, ended",
        "prompt      2+5?",
        "completion  so",
        f"{INDENT}\\boxed{{7}}",
        "verdict     correct (integer), answer 7, gold 7",
        "reward      1",
    ]
    told = episode(
        prompt=(Message("system", "Be brief."), Message("user", "2+5?")),
        pieces=[Segment("add"), Observation(Message("tool", "7")), Segment("it is 7")],
        verdict=Verdict("unscored", "timeout"),
        truncated=True,
    )
    assert sample_lines(told, 0.25, "t") == [
        "t: sums/train/1#3, 0 tokens, truncated",
        "prompt      [system] Be brief.",
        f"{INDENT}[user] 2+5?",
        "completion  add",
        f"{INDENT}[tool] 7",
        f"{INDENT}it is 7",
        "verdict     unscored:timeout, gold 7",
        "reward      0.25 (before shaping 1)",
    ]
    assert "verdict     wrong (near), score 0.5, answer 6, gold 7" in sample_lines(
        episode(verdict=Verdict("wrong", "near", "6", partial=0.5)), 0.5, "t"
    )


@pytest.mark.parametrize("length", [LONGEST - 1, LONGEST, LONGEST + 1, 10 * LONGEST + 1])
def test_long_texts_lose_their_middle(length):
    text = "".join(chr(0x4E00 + i % 5000) for i in range(length))
    shown = shortened(text)
    if length <= LONGEST:
        assert shown == text
    else:
        head, _, rest = shown.partition("[... ")
        left_out, _, tail = rest.partition(" characters ...]")
        assert len(head) + len(tail) == LONGEST
        assert (text[: len(head)], text[-len(tail) :]) == (head, tail)
        assert int(left_out.replace(",", "")) == length - LONGEST


def test_texts_do_not_act_on_the_terminal(capsys):
    hostile = episode(
        "\x1b[31mred\x07\rgone\u202e", question="\x1b]0;title\x07?", verdict=Verdict("wrong", "integer", "\x1b[2J")
    )
    reporter = terminal_reporter([], json_output=False, quiet=True, show=1)
    reporter.sampled(1, [Group(hostile.problem, [hostile], [0.0])])
    out = capsys.readouterr().out
    assert "red" in out
    assert "gone" in out
    assert all(char.isprintable() or char == "\n" for char in out)


def test_the_choice_depends_on_the_step_alone():
    groups = [Group(one.problem, [one] * 4, [0.0, 1.0, 2.0, 3.0]) for one in (episode(), episode())]
    everything = [(one, reward) for group in groups for one, reward in zip(group.episodes, group.rewards, strict=True)]
    assert choose(groups, 0, 1) == []
    assert choose(groups, 99, 1) == everything
    assert choose([], 2, 1) == []
    picks = [[reward for _, reward in choose(groups, 3, step)] for step in range(20)]
    assert picks == [[reward for _, reward in choose(groups, 3, step)] for step in range(20)]
    assert len(set(map(tuple, picks))) > 5


def test_a_run_shows_episodes_that_it_has_stored_and_is_the_same_run(tmp_path, capsys):
    shown, silent = tmp_path / "shown", tmp_path / "silent"
    assert train(shown, "--show", "2") == 0
    out = capsys.readouterr().out.splitlines()
    titles = [line for line in out if line.startswith("sample ")]
    assert [title.partition(":")[0] for title in titles] == [
        f"sample {number} of step {step}" for step in (1, 2) for number in (1, 2)
    ]
    for step in (1, 2):
        stored = {one.id: one for one in read_episodes(shown / "episodes" / f"step-{step:05d}.parquet")}
        for title in titles[2 * step - 2 : 2 * step]:
            one = stored[title.partition(": ")[2].partition(", ")[0]]
            below = out[out.index(title) :]
            prompt = one.problem.question.splitlines()[0]
            assert f"prompt      {prompt}" in below[:2]
            assert any(line.startswith(f"verdict     {one.verdict.label}") for line in below[:12])
    assert train(silent) == 0
    assert "sample 1" not in capsys.readouterr().out
    assert numbers(shown) == numbers(silent)


def test_json_keeps_standard_output_and_resume_shows_the_same(tmp_path, capsys):
    assert train(tmp_path / "straight", "--show", "1", "--json") == 0
    straight = capsys.readouterr()
    assert json.loads(straight.out)["steps"] == 2
    titles = [line for line in straight.err.splitlines() if line.startswith("sample 1 of step")]
    assert len(titles) == 2
    assert train(tmp_path / "run", steps=1) == 0
    capsys.readouterr()
    assert main(["train", "--run", str(tmp_path / "run"), "--resume", "--steps", "2", "--show", "1"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("sample 1 of step")] == titles[1:]


def test_less_than_none_is_refused(tmp_path, capsys):
    assert train(tmp_path / "run", "--show", "-1") == 2
    assert capsys.readouterr().err.strip() == "kgym: error: --show -1: a step cannot print fewer than 0 episodes"
    assert not (tmp_path / "run").exists()
