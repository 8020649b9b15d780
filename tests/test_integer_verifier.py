"""The verifier `integer`: what counts as an answer, what does not, and hostile text."""

import doctest
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym import answers
from kgym.registry import registry
from kgym.types import VerifyItem
from kgym.verify.service import CallerVerifier, load_verifier
from kgym_plugins.verifiers import integer

VERIFIER = load_verifier("integer")


def judged(response, gold="204"):
    (verdict,) = VERIFIER.verify_many([VerifyItem(gold, response)])
    return verdict


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (r"\boxed{204}", "correct"),
        (r"\boxed{0204}", "correct"),
        (r"\boxed{204} or \boxed{402}", "wrong"),
        ("204", "no_answer"),
        ("", "no_answer"),
        (r"\boxed{" + "9" * 10**6 + "}", "no_answer"),
    ],
)
def test_integer_verifier(text, status):
    assert judged(text).status == status


@pytest.mark.parametrize(
    "inside",
    [
        "204", " 204 ", "\n204\n", "$204$", "$$ 204 $$", r"\(204\)", r"\[ 204 \]",
        "+204", "0000204", "204.", "204.0", "204.000",
        "{204}", r"\text{204}", r"\textbf{ 204}", r"\mathbf{204}", r"\mathrm {204}", r"\text{$\mathbf{204}$}",
        r"\fbox{204}", r"\,204\;", "~204", "２０４", r"\boxed{\boxed{204}}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("box", ["boxed", "fbox", "framebox"])
def test_ways_to_write_204(inside, box):
    verdict = judged(rf"The answer is $\{box}{{{inside}}}$.")
    assert (verdict.status, verdict.reason, verdict.normal) == ("correct", "integer", "204")
    assert verdict.answer == inside.strip()


@pytest.mark.parametrize(
    ("inside", "normal"),
    [
        ("1,234", "1234"),
        ("1{,}234", "1234"),
        (r"1\,234", "1234"),
        (r"1,\!234", "1234"),
        (r"12{,}\!345{,}\!678", "12345678"),
        ("1,234.0", "1234"),
        ("-7", "-7"),
        ("\N{MINUS SIGN}7", "-7"),
        ("- 7", "-7"),
        ("-0", "0"),
        ("000", "0"),
        ("9" * 256, "9" * 256),
    ],
)
def test_normal_forms(inside, normal):
    assert answers.integer_form(inside) == normal
    assert judged(rf"\boxed{{{inside}}}", gold=normal).status == "correct"


@pytest.mark.parametrize(
    "inside",
    [
        "x", "x=204", "204.5", "204.01", ".0", "1/2", r"\frac{408}{2}", "2^3", "2²",
        "204, 205", "12,34", "1,23", "1234,567", ",204", "1,,234", "2 04",
        "0x204", "2e2", "204%", r"204^\circ", "two hundred and four", "--204", "+-204", "204}{", "٢٠٤", "२०४", "②",
        "2_0_4", "204!", "NaN", "inf", "9" * 257,
    ],
)  # fmt: skip
def test_what_is_no_integer_is_no_answer(inside):
    assert answers.integer_form(inside) is None
    if "}{" not in inside:
        verdict = judged(rf"\boxed{{{inside}}}")
        assert (verdict.status, verdict.normal) == ("no_answer", None)
        assert verdict.reason in ("not_integer", "limit")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("the answer is 204", "no_box"),
        (r"\boxed 204", "no_box"),
        (r"\boxed{204} so \boxed{}", "empty"),
        (r"\boxed{204} so \boxed{  }", "empty"),
        (r"\boxed{204} so \boxed{20", "unterminated"),
        (r"\boxed{204} so \boxed{\text{204}", "unterminated"),
        (r"\boxed{204} so \boxed{" + "1" * 300 + "}", "limit"),
        (r"<think>\boxed{204}</think> I do not know", "no_box"),
        (r"<think>so it is \boxed{204}", "no_box"),
        (r"a</think>b<think>\boxed{204}", "no_box"),
        (r"\\boxed{204}".replace("\\\\boxed", "boxed"), "no_box"),
        (r"\boxeds{204}", "no_box"),
    ],
)
def test_no_earlier_answer_stands_in_for_the_last(text, reason):
    verdict = judged(text)
    assert (verdict.status, verdict.reason) == ("no_answer", reason)


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        (r"<think>\boxed{7} no, \boxed{</think>\boxed{204}", "correct", "integer"),
        (r"</think>\boxed{7}</think>\boxed{204}", "correct", "integer"),
        (r"\boxed{204} and again \boxed{ 0204 }", "correct", "integer"),
        (r"Answer in \boxed{}: \boxed{204}", "correct", "integer"),
        (r"\boxed{x} \boxed{204}", "wrong", "hedged"),
        (r"First \boxed{17}, then \boxed{204}", "wrong", "hedged"),
        (r"\boxed{204}, \boxed{" + "1" * 300 + r"}, \boxed{204}", "wrong", "hedged"),
        (r"\boxed{1 and \boxed{204}", "correct", "integer"),
        (r"the set \{1, 2\} } has \boxed{204}", "correct", "integer"),
        (r"a { stray brace, \boxed{204}", "correct", "integer"),
        (r"\boxed{\frac{1}{2}} \boxed{\frac{1}{2}}", "no_answer", "not_integer"),
        (r"\boxed {204}", "correct", "integer"),
        (r"\boxed{205}", "wrong", "integer"),
        (r"\boxed{-204}", "wrong", "integer"),
    ],
)
def test_several_boxes(text, status, reason):
    verdict = judged(text)
    assert (verdict.status, verdict.reason) == (status, reason)


def test_a_hedge_has_no_normal_form():
    verdict = judged(r"\boxed{204} or \boxed{402}")
    assert (verdict.answer, verdict.normal) == ("402", None)


@pytest.mark.parametrize("gold", ["073", r"\boxed{73}", " 73 ", "$73$"])
def test_gold_answers_are_read_as_answers_are(gold):
    assert judged(r"\boxed{73}", gold).status == "correct"
    assert judged(rf"\boxed{{{gold.strip()}}}", gold).status == "correct"


@pytest.mark.parametrize("gold", ["", "x", r"\frac{1}{2}", "1 and 2"])
def test_a_gold_answer_that_is_no_integer_leaves_the_answer_unscored(gold):
    assert judged(r"\boxed{1}", gold).label == "unscored:gold"


@given(st.integers(), st.integers())
def test_equal_integers_and_no_others(one, other):
    assert judged(rf"\boxed{{{one}}}", str(one)).status == "correct"
    assert judged(rf"\boxed{{{one:,}}}", str(one)).status == "correct"
    assert (judged(rf"\boxed{{{one}}}", str(other)).status == "correct") is (one == other)


PIECES = [
    *"0123456789+-.,$ {}\\",
    r"\boxed{",
    r"\fbox{",
    "</think>",
    "<think>",
    r"\text{",
    "x",
    "\n",
    "\0",
    "204}",
    "٣",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_gets_a_verdict(text):
    verdict = judged(text)
    assert verdict.seconds >= 0
    if verdict.status == "correct":
        assert re.search(r"204|２０４", re.sub(r"[,{}\\]|\\!", "", text))


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["{", "}", r"\{", r"\}", r"\boxed{", "1", "\\"]), max_size=30).map("".join))
def test_boxes_are_balanced_and_in_order(text):
    boxes = answers.find_boxes(text)
    starts = [box.start for box in boxes]
    assert starts == sorted(set(starts))
    for box in boxes:
        assert text[box.start :].startswith(r"\boxed{")
        if box.content is not None:
            assert text[box.start :].startswith(rf"\boxed{{{box.content}}}")
            depth = 0
            for mark in re.findall(r"\\.|[{}]", box.content, re.DOTALL):
                depth += {"{": 1, "}": -1}.get(mark, 0)
                assert depth >= 0
            assert depth == 0


MEGABYTE = 1_000_000
BOMBS = {
    "noise": "x\\{} $" * (MEGABYTE // 6),
    "open braces": "{" * MEGABYTE,
    "closed braces": "}" * MEGABYTE,
    "open boxes": r"\boxed{" * (MEGABYTE // 7),
    "nested boxes": r"\boxed{" * (MEGABYTE // 8) + "}" * (MEGABYTE // 8),
    "many boxes": r"\boxed{204}" * (MEGABYTE // 11),
    "boxes that differ in their wrapping": "".join(
        rf"\boxed{{{'{' * (i % 100)}204{'}' * (i % 100)}}}" for i in range(MEGABYTE // 120)
    ),
    "blanks before a brace": (r"\boxed" + " " * 1000) * (MEGABYTE // 1006),
    "blanks in a box": r"\boxed{" + " " * MEGABYTE + "204}",
    "backslashes": "\\" * MEGABYTE,
    "digits": r"\boxed{" + "1," * (MEGABYTE // 2) + "}",
    "think": "</think>" * (MEGABYTE // 8),
    "wrappers": r"\boxed{" + r"\text{" * (MEGABYTE // 8) + "204" + "}" * (MEGABYTE // 8) + "}",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_megabyte_of_anything_is_judged(text):
    expected = {
        BOMBS["many boxes"]: "correct",
        BOMBS["blanks in a box"]: "correct",
        BOMBS["boxes that differ in their wrapping"]: "wrong",
    }
    assert judged(text).status == expected.get(text, "no_answer")


def test_it_judges_in_the_caller_and_takes_no_options():
    assert isinstance(VERIFIER, CallerVerifier)
    assert registry().info("verifier", "integer").isolation == "none"
    assert registry().options("verifier", "integer").model_dump() == {}


def test_examples():
    assert doctest.testmod(integer).failed == 0
