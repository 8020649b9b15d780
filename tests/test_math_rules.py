"""The rules of comparison: each example is right by its rule, each counter-example wrong; the docs and the trace say
so.
"""

from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest

import kgym
from kgym.types import VerifyItem
from kgym_plugins.verifiers.math.compare.table import RULES, TABLE
from kgym_plugins.verifiers.math.reference import fill
from kgym_plugins.verifiers.math.values.types import Choice, Value
from kgym_plugins.verifiers.math.verifier import MathOptions, MathVerifier

PAGE = Path(__file__).parent.parent / "docs" / "verifier.md"
VERIFIER = MathVerifier()
EXPLAINING = MathVerifier(MathOptions(explain=True))


LENIENT = MathVerifier(MathOptions(preset="lenient"))
STRICT = MathVerifier(MathOptions(preset="strict"))


def judged(gold, answer, verifier=VERIFIER):
    return verifier.verify(VerifyItem(gold, rf"\boxed{{{answer}}}"))


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_rule(rule):
    verdict = judged(*rule.example, LENIENT if "off by default" in rule.says else VERIFIER)
    assert (verdict.status, verdict.reason) == ("correct", rule.name)
    assert judged(*rule.counter).status == "wrong"
    assert judged(rule.counter[0], rule.counter[0]).status == "correct"


def test_types_of_the_table_are_types_of_values():
    kinds = set(get_args(Value))
    assert {kind for pair in TABLE for kind in pair} == kinds
    assert all((kind, kind) in TABLE for kind in kinds), "a type that is never equal to itself"
    assert all((kind, Choice) in TABLE for kind in kinds)


def test_the_tables_of_the_docs_are_those_of_the_code():
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page) == page, "run: python -m kgym_plugins.verifiers.math.reference docs/verifier.md"


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_trace_changes_no_verdict_and_names_the_rule(rule):
    for pair in (rule.example, rule.counter):
        plain, explained = judged(*pair), judged(*pair, EXPLAINING)
        assert plain == explained
        assert plain.trace == ""
        assert explained.trace.splitlines()[-1].endswith(f"{plain.status}: {plain.reason}")
    assert (
        f"the rule {rule.name}" in judged(*rule.example, EXPLAINING).trace
        or rule.name == "exact"
        or "off by default" in rule.says
    )


def test_a_trace_has_the_stages_in_order():
    trace = kgym.verify("all real numbers except 2", r"It is \boxed{x \ne 3}.", explain=True).trace
    lines = trace.splitlines()
    stages = [line.split()[1] if not line.startswith(" ") else line.split()[0] for line in lines if line[10:18].strip()]
    assert stages == [
        "find",
        "clean",
        "clean",
        "phrases",
        "clean",
        "grammar",
        "values",
        "clean",
        "grammar",
        "values",
        "compare",
        "verdict",
    ]
    assert r"\mathbb{R} \setminus \{2\}" in trace
    assert "'all real numbers except 2'" in trace
    assert "of the table 'sets' (phrases/ranges.py)" in trace


def test_a_trace_says_that_no_row_matched_and_what_the_grammar_stumbled_on():
    trace = kgym.verify(r"\frac{1}{6}", r"\boxed{1 \text{ in } 6 \text{ hours}}", explain=True).trace
    assert "phrases  no row of a table is the whole text" in trace
    assert "two amounts side by side, the amount 1 [127/5000*length] and the amount 6 [3600*time]" in trace
    assert "no row" not in kgym.verify("1/6", r"\boxed{\frac{1}{7}}", explain=True).trace


def test_a_trace_says_each_thing_once():
    lines = kgym.verify(r"\frac{1}{6}", r"\boxed{1 \text{ in } 6}", explain=True).trace.splitlines()
    phrases = next(line for line in lines if " phrases " in line)
    said = "the formula \\frac{1}{6} by the row like '1 in 6' of the table 'chances' (phrases/quantities.py)"
    assert phrases.endswith(said)
    assert all(one.split() != two.split() for one, two in pairwise(lines))


@pytest.mark.parametrize(
    ("gold", "answer", "strict", "default", "lenient"),
    [
        (r"\frac{1}{3}", "0.3333", "different: decimals", "rounded", "rounded"),
        (r"\frac{1}{3}", "0.333", "different: decimals", "different: decimals", "rounded"),
        (r"\frac{1}{3}", "0.33", "different", "different", "different"),
        (r"\pi", "3.1416", "different: decimals", "rounded", "rounded"),
        (r"\pi", "3.14", "different: decimals", "different: decimals", "rounded"),
        ("10\\%", "10", "different: percent_left_out", "percent left out", "percent left out"),
        ("10\\%", "0.1", "percent", "percent", "percent"),
        (r"5 \text{ cm}", "5", "different: unit_left_out", "unit left out", "unit left out"),
        (r"90^\circ", "90", "different: unit_left_out", "unit left out", "unit left out"),
        ("5", r"5 \text{ cm}", "unit", "unit", "unit"),
        ("(1, 2)", "1, 2", "different: list_for_tuple", "list for a tuple", "list for a tuple"),
        ("(1, 2)", "2, 1", "different", "different", "different"),
        ("1, 2", "(2, 1)", "different: any_order", "different: any_order", "any order"),
        ("14_8", "14", "different: forgive_missing_base", "different: forgive_missing_base", "base of the question"),
        (r"5 \text{ cm}, 7", "7, 5", "different: unit_left_out", "collection", "collection"),
    ],
)
def test_presets_differ_where_people_disagree_and_the_reason_says_so(gold, answer, strict, default, lenient):
    reasons = [judged(gold, answer, verifier).reason for verifier in (STRICT, VERIFIER, LENIENT)]
    assert reasons == [strict, default, lenient]


def test_an_option_departs_from_its_preset():
    options = MathOptions(preset="strict", unit_left_out=True)
    assert judged(r"5 \text{ cm}", "5", MathVerifier(options)).status == "correct"
    assert judged("10\\%", "10", MathVerifier(options)).status == "wrong"
    assert judged(r"\pi", "3.14", MathVerifier(MathOptions(decimals=3))).status == "correct"
