import pytest
from kgym.testing.verifiers import check_verifier
from kgym.types import Verifier, VerifyItem

from kgym_same_text.verifier import SameText, SameTextOptions


def test_it_keeps_the_contract_of_verifiers() -> None:
    check_verifier("same_text")


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (r"It is \boxed{Paris}.", "correct"),
        (r"\boxed{ paris }", "correct"),
        (r"<think>\boxed{Rome}?</think>\boxed{Paris}", "correct"),
        (r"\boxed{Paris} or \boxed{Rome}", "wrong"),
        (r"\boxed{Rome}", "wrong"),
        (r"<think>\boxed{Paris}", "no_answer"),
        ("Paris", "no_answer"),
        ("", "no_answer"),
    ],
)
def test_verdicts(response: str, status: str) -> None:
    verifier: Verifier = SameText(SameTextOptions())
    assert verifier.verify_many([VerifyItem("Paris", response)])[0].status == status


def test_case_can_count() -> None:
    verifier = SameText(SameTextOptions(ignore_case=False))
    assert verifier.verify_many([VerifyItem("Paris", r"\boxed{paris}")])[0].status == "wrong"
