"""Truncated completions that are masked: no part in the loss, but the others of their group are compared with them, as
in DAPO.
"""

import json

import pyarrow.parquet as pq
import pytest
import torch

from kgym.algorithms.batch import split
from kgym.cli.main import main
from kgym.envs.rules import CUT
from kgym.registry import registry
from kgym.rollout.groups import teaches
from kgym.train.rl.batch import pack_groups
from kgym.train.rl.statistics import group_metrics
from kgym.types import Episode, Group, Problem, Segment, Verdict
from kgym_plugins.shapers.length_penalty import LengthPenalty

PROBLEM = Problem(id="test/0", question="?", gold="1")
RIGHT, WRONG, UNSCORED = Verdict("correct"), Verdict("wrong"), Verdict("unscored", reason="timeout")


def episode(verdict, n_tokens=3):
    segment = Segment("x", token_ids=[5] * n_tokens, engine_logprobs=[-1.0] * n_tokens, prompt_ids=[1, 2])
    cut = verdict is CUT
    reward = float(verdict.score) if verdict.scored else 0.0
    trainable = verdict.scored and not cut
    return Episode(PROBLEM, 0, (), [segment], verdict, reward, terminated=not cut, truncated=cut, trainable=trainable)


def group(*verdicts):
    episodes = [episode(verdict) for verdict in verdicts]
    return Group(PROBLEM, episodes, [one.reward for one in episodes])


def packed(*groups):
    return pack_groups(groups, device=torch.device("cpu"))


def advantages(name, batch, **options):
    """Return the advantage of each episode of a batch, that of its tokens, which is the same for all of them."""
    of_tokens = registry().create("algorithm", name, options).advantages(batch)
    answers = [of_tokens[(batch.episode_ids == number)][2:].tolist() for number in range(batch.n_episodes)]
    assert all(value == pytest.approx(row[0]) for row in answers for value in row)
    return [row[0] for row in answers]


MIXED = (RIGHT, RIGHT, WRONG, WRONG, CUT, CUT, CUT, CUT)


@pytest.mark.parametrize(
    ("name", "options", "right", "wrong"),
    [
        ("dapo", {}, 1.62, -0.54),  # mean 1/4, sample deviation sqrt(3/14)
        ("grpo", {}, 1.62, -0.54),
        ("gspo", {}, 1.62, -0.54),
        ("cispo", {}, 1.62, -0.54),
        ("sapo", {}, 1.62, -0.54),
        ("gmpo", {}, 1.62, -0.54),
        ("mirror", {}, 0.75, -0.25),
        ("dr_grpo", {}, 0.75, -0.25),
        ("dro", {}, 0.75, -0.25),
        ("gpg", {}, 0.75, -0.25),
        ("reinforce", {}, 0.75, -0.25),
        ("rloo", {"kl_coef": 0}, 1 - 1 / 7, -2 / 7),
        ("raft", {}, 1, 0),
        ("rest", {}, 1, 0),
    ],
)
def test_masked_answers_stay_in_the_baseline(name, options, right, wrong):
    assert advantages(name, packed(group(*MIXED)), **options) == pytest.approx(
        [right] * 2 + [wrong] * 2 + [0] * 4, abs=0.005
    )


def test_unscored_answers_stay_out():
    batch = packed(group(RIGHT, WRONG, UNSCORED, UNSCORED))
    assert batch.n_episodes == 2
    assert advantages("mirror", batch) == [0.5, -0.5]


def test_masked_answers_have_no_part_in_the_loss():
    batch = packed(group(*MIXED))
    assert (batch.totals.episodes, batch.totals.tokens) == (4, 12)
    assert sum(part.n_episodes for part in split(batch, 10)) == 4  # nor in the work of a forward pass
    assert packed(group(CUT, CUT)) is None


def test_gpg_counts_groups_that_it_trains_on():
    # of three groups with trained completions two differ: the one of right and cut completions does
    batch = packed(group(RIGHT, WRONG), group(RIGHT, CUT), group(WRONG, WRONG), group(CUT, CUT))
    assert advantages("gpg", batch)[:3] == pytest.approx([0.75, -0.75, 0.75])


@pytest.mark.parametrize(
    ("verdicts", "does"),
    [
        ((RIGHT, WRONG), True),
        ((RIGHT, RIGHT, CUT), True),  # being cut is what it unlearns
        ((WRONG, CUT), False),
        ((RIGHT, RIGHT), False),
        ((CUT, CUT), False),
        ((RIGHT, UNSCORED), False),
    ],
)
def test_a_group_teaches_if_its_judged_answers_differ(verdicts, does):
    assert teaches(group(*verdicts)) is does
    assert group_metrics([group(*verdicts)])["group/informative_frac"] == float(does)


def test_the_length_penalty_ranges_over_masked_answers():
    subject = group(RIGHT, WRONG, CUT, UNSCORED)
    subject.episodes[:] = [episode(RIGHT, 10), episode(WRONG, 20), episode(CUT, 30), episode(UNSCORED, 99)]
    shaped = LengthPenalty(LengthPenalty.Options(weight=1.0))(subject, [1.0, 0.0, 0.0, 0.0], 10**6)
    assert shaped == pytest.approx([1.5, 0.0, -0.5, 0.0])


def test_validation_counts_as_zero_what_training_masks(tmp_path):
    run = tmp_path / "run"
    settings = [
        "rollout.problems_per_step=3",
        "rollout.group_size=4",
        "env.max_tokens=28",
        "train.threads=1",
        "eval.problems=20",
    ]
    arguments = [item for text in settings for item in ("--set", text)]
    assert (
        main(["train", "--env", "aime", "--algo", "dapo", "--run", str(run), "--steps", "1", "--json", *arguments]) == 0
    )
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["specs"]["aime"]["settings"]["truncated"] == "mask"
    assert (manifest["env"]["truncated"], manifest["validation"]["truncated"]) == ("mask", "zero")
    result = json.loads((run / "eval/step-00000.json").read_text())
    assert 0 < result["truncated_frac"] < 1
    assert result["accuracy"] == result["truncated_bounds"][0]  # cut counts as wrong
    rows = pq.read_table(run / "episodes/step-00001.parquet").to_pylist()
    assert {row["trainable"] for row in rows if row["truncated"]} == {False}
