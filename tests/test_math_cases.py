"""The math verifier on labelled cases, written by hand, each with the reason of its label (tests/data/math_cases)."""

import json
from collections import Counter
from pathlib import Path

import pytest

from kgym.types import VerifyItem
from kgym_plugins.verifiers.math.verifier import MathVerifier

FOLDER = Path(__file__).parent / "data" / "math_cases"
CASES = {
    path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for path in sorted(FOLDER.glob("*.jsonl"))
}


def misjudged(cases):
    verdicts = MathVerifier().verify_many(
        [VerifyItem(case["gold"], case["response"], case.get("question", "")) for case in cases]
    )
    return [
        f"{'accepted' if verdict.status == 'correct' else 'rejected'} ({verdict.reason}): {case}"
        for case, verdict in zip(cases, verdicts, strict=True)
        if (verdict.status == "correct") != case["label"]
    ]


def test_there_are_enough_cases_of_every_kind():
    assert sum(len(cases) for cases in CASES.values()) >= 1200
    kinds = Counter(case["kind"] for cases in CASES.values() for case in cases)
    assert min(kinds.values()) >= 4, kinds
    for name, cases in CASES.items():
        keys = [(case["gold"], case["response"], case.get("question")) for case in cases]
        assert len(set(keys)) == len(keys), f"{name} has a case twice"
        assert all(case["why"] for case in cases)


@pytest.mark.parametrize("name", CASES)
def test_labelled_cases(name):
    wrong = misjudged(CASES[name])
    assert not wrong, "\n".join(wrong)


def test_adversarial_answers_are_many_and_none_is_right():
    cases = CASES["adversarial"]
    assert len(cases) >= 100
    assert not any(case["label"] for case in cases)


def test_a_completion_ends_before_the_problems_that_it_poses_after_its_own():
    posed = (
        "Question: A bus has 30 seats and 12 are taken. How many are free?\nAnswer: 30 - 12 = 18. The answer is 18.\n\n"
    )
    question = "Tom has 12 cards and buys 8 more. Then he loses 5. How many cards has he?"
    response = "Tom has 20 cards, then 15. The answer is 15.\n\n" + posed * 300
    verdicts = MathVerifier().verify_many([VerifyItem(gold, response, question) for gold in ("15", "18")])
    assert [verdict.status for verdict in verdicts] == ["correct", "wrong"]
