"""maj@k: equal answers vote together, ties are shared, and a sample without an answer does not vote."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.score.stats import mean_stderr
from kgym.score.votes import NO_VOTE, answer_classes, maj_at_k
from kgym.types import VerifyItem
from kgym.verify.one import verify
from kgym.verify.service import load_verifier

GOLD = "3/4"


def judged(*answers, gold=GOLD, problem="p"):
    """Rows as the math verifier makes them."""
    verdicts = [verify(gold, rf"\boxed{{{answer}}}" if answer else "no idea") for answer in answers]
    return pd.DataFrame(
        [
            {
                "problem_id": problem,
                "answer": v.answer,
                "normal": v.normal,
                "status": v.label,
                "score": float(v.status == "correct"),
            }
            for v in verdicts
        ]
    )


def same(pairs):
    verifier = load_verifier("math")
    return [
        v.status == "correct"
        for v in verifier.verify_many([VerifyItem(one, rf"\boxed{{{two}}}") for one, two in pairs])
    ]


def majority(frame, k, samples=None, same=None):
    samples = samples or k
    problems, _ = pd.factorize(frame["problem_id"])
    attempts = frame.groupby("problem_id").cumcount().to_numpy()
    return maj_at_k(
        problems, attempts, answer_classes(frame, same), frame["score"].to_numpy(dtype=float), k=k, samples=samples
    )[0]


def test_a_half_and_five_tenths_vote_together():
    # three for a half in three forms, two for 3/4: by text the right one would win with two votes
    frame = judged("1/2", "0.5", r"\frac{2}{4}", "3/4", "3/4")
    assert len(set(answer_classes(frame))) == 2
    assert majority(frame, 5) == 0.0


def test_right_answers_vote_together_in_whatever_form():
    frame = judged(r"\frac{3}{4}", "0.75", r"\frac{\sqrt{9}}{4}", "1/2", "1/2")
    assert majority(frame, 5) == 1.0


def test_wrong_answers_without_a_plain_form_are_compared_by_the_verifier():
    frame = judged(r"\sqrt{2}", r"\frac{2}{\sqrt{2}}", r"2^{1/2}", "3/4", "3/4")
    assert len(set(answer_classes(frame))) > 2
    assert len(set(answer_classes(frame, same))) == 2
    assert majority(frame, 5, same=same) == 0.0
    assert majority(frame, 5) == 1.0  # what a vote on strings would have said


def test_plain_numbers_are_not_asked_about():
    def never(pairs):
        raise AssertionError(pairs)

    assert len(set(answer_classes(judged("1/2", "7", "0.5"), never))) == 2


def test_other_problems_do_not_matter():
    def asked(pairs):
        assert set(itertools.chain(*pairs)) == {r"\sqrt{2}", r"\sqrt{3}"}
        return [False for _ in pairs]

    frame = pd.concat([judged(r"\sqrt{2}", r"\sqrt{3}"), judged("7", "8", problem="q")], ignore_index=True)
    answer_classes(frame, asked)


def test_no_answer_does_not_vote():
    frame = judged("", "", "", "3/4")
    assert list(answer_classes(frame)[:3]) == [NO_VOTE] * 3
    assert majority(frame, 4) == 1.0
    assert majority(judged("", ""), 2) == 0.0  # no one votes


def test_a_tie_is_shared():
    assert majority(judged("3/4", "1/2"), 2) == 0.5
    assert majority(judged("3/4", "1/2", "7"), 3) == pytest.approx(1 / 3)


def test_masked_answers_do_not_vote():
    frame = judged("1/2", "1/2", "3/4")
    frame.loc[:1, "score"] = math.nan
    assert majority(frame, 3) == 1.0
    frame["score"] = math.nan
    assert math.isnan(majority(frame, 3))


def test_blocks_of_k_in_the_order_of_attempts():
    # (3/4, 3/4, 1/2) is right, (1/2, 1/2, 3/4) wrong, the seventh is left over
    assert majority(judged("3/4", "3/4", "1/2", "1/2", "1/2", "3/4", "3/4"), 3, samples=7) == 0.5


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(-1, 3), min_size=6, max_size=6), min_size=1, max_size=5),
    st.sampled_from([1, 2, 3, 6]),
)
def test_against_a_plain_count(tables, k):
    """Class 0 is right, -1 has no answer."""
    expected = []
    for answers in tables:
        blocks = [answers[i : i + k] for i in range(0, 6, k)]
        scores = []
        for block in blocks:
            votes = [vote for vote in block if vote >= 0]
            most = max((votes.count(vote) for vote in votes), default=0)
            winners = {vote for vote in votes if votes.count(vote) == most}
            scores.append((0 in winners) / len(winners) if winners else 0.0)
        expected.append(np.mean(scores))
    classes = np.array(tables).ravel()
    problems, attempts = np.repeat(np.arange(len(tables)), 6), np.tile(np.arange(6), len(tables))
    found, error = maj_at_k(problems, attempts, classes, (classes == 0).astype(float), k=k, samples=6)
    assert found == pytest.approx(np.mean(expected), abs=1e-12)
    assert error == pytest.approx(mean_stderr(expected)[1], abs=1e-12, nan_ok=True)
