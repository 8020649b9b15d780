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
