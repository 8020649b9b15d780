"""What is said after the reasoning: one rule for every verifier, in the marks of every model family."""

import doctest
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kgym
from kgym import answers
from kgym.answers import CHANNELS, REASONING_MARKS, conclusion
from kgym_plugins.verifiers.judge import parse_verdict

HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}"
FAMILIES = [begin + "{}" + end + "{}" for begin, end in REASONING_MARKS] + [
    HARMONY,
    HARMONY + "<|return|>",
    "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>b<|end|><|start|>assistant"
    + HARMONY,
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{}",
    "analysisWe try {}assistantfinal{}",
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("verifier", ["integer", "math"])
def test_a_guess_in_the_reasoning_is_no_answer(family, verifier):
    right, wrong = r"\boxed{5}", r"maybe \boxed{4}"
    assert kgym.verify("5", family.format(wrong, right), verifier=verifier).status == "correct"
    assert kgym.verify("4", family.format(wrong, right), verifier=verifier).status == "wrong"
    assert kgym.verify("4", family.format(wrong, "I do not know"), verifier=verifier).status == "no_answer"
    assert parse_verdict(family.format('{"verdict": "wrong"}', '{"verdict": "correct"}')) is True


OPEN = [begin + r"maybe \boxed{4}" for begin, _ in REASONING_MARKS] + [
    channel + r"<|message|>maybe \boxed{4}" for channel in CHANNELS
]


@pytest.mark.parametrize("text", [*OPEN, *(r"\boxed{4} or " + text for text in OPEN), r"analysisWe try \boxed{4}"])
@pytest.mark.parametrize("verifier", ["integer", "math"])
def test_reasoning_that_is_never_closed_holds_no_answer(text, verifier):
    assert kgym.verify("4", text, verifier=verifier).status == "no_answer"


@given(
    st.lists(
        st.sampled_from(
            ["5", " ", "</think>", "<think>", "[THINK]", "[/THINK]", "<|channel|>final", "<|message|>", "<|end|>"]
        )
    )
)
def test_the_conclusion_is_a_part_of_the_text_that_begins_no_reasoning(parts):
    text = "".join(parts)
    said = conclusion(text)
    assert said.text in text
    assert not any(begin in said.text for begin, _ in REASONING_MARKS)


def test_text_without_marks_is_all_conclusion():
    for text in ("", "5", r"so [x] < 3, a <b> and \boxed{5}", "analysis shows that assistantfinal is a word"):
        assert conclusion(text) == (text, False)


@pytest.mark.parametrize(
    "piece", ["</think>", "<think>", "<|channel|>final", "<|channel|>analysis<|message|>", "analysisWassistantfinal"]
)
def test_it_is_linear(piece):
    begin = time.process_time()
    conclusion(piece * (4_000_000 // len(piece)))
    assert time.process_time() - begin < 2


def test_the_examples_in_the_docstrings_are_true():
    found = doctest.testmod(answers)
    assert found.attempted >= 4
    assert not found.failed
