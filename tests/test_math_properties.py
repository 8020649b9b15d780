"""Properties of the math verifier: golds verify themselves, rewriting changes nothing, hostile text never raises."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.limits import PoolLimits
from kgym.testing.attacks import attacks, bombs
from kgym.testing.golds import KINDS, golds
from kgym.testing.report import ConformanceError
from kgym.testing.verifiers import check_verifier
from kgym.types import Verdict, VerifyItem
from kgym.verify.pool import VerifierPool
from kgym_plugins.verifiers.math.find.extract import RULES, extract
from kgym_plugins.verifiers.math.limits import LimitError
from kgym_plugins.verifiers.math.reading import read
from kgym_plugins.verifiers.math.values.types import Opaque
from kgym_plugins.verifiers.math.verifier import MathOptions, MathVerifier

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
MATH = "kgym_plugins.verifiers.math.verifier:MathVerifier"
VERIFIER = MathVerifier()


def status(gold, response, question=""):
    return VERIFIER.verify(VerifyItem(gold, response, question)).status


def test_golds_of_all_kinds_verify_themselves_boxed_and_unboxed():
    for gold in golds(5760, seed=7):
        assert status(gold, rf"\boxed{{{gold}}}") == "correct", gold
        assert status(gold, gold) == "correct", gold
        assert status(gold, f"The answer is ${gold}$.") == "correct", gold
        assert not isinstance(read(gold), Opaque), f"the grammar does not know {gold}"


def test_equal_normal_forms_are_equal_answers():
    forms = {}
    for gold in golds(1280, seed=8):
        forms.setdefault(read(gold).normal(), []).append(gold)
    for same in forms.values():
        assert all(status(same[0], rf"\boxed{{{other}}}") == "correct" for other in same), same


def test_different_golds_of_a_kind_do_not_verify_each_other():
    # two draws that the verifier calls equal must have the same normal form; chance makes a few pairs equal
    for kind in ("whole", "base", "interval", "point", "matrix", "clock", "congruence", "choice"):
        drawn = golds(60, seed=9, kinds=(kind,))
        for one, other in pairwise(drawn):
            if status(one, rf"\boxed{{{other}}}") == "correct":
                assert read(one).normal() == read(other).normal(), (one, other)


def test_the_conformance_kit_finds_nothing():
    figures = check_verifier(VERIFIER, golds=golds(640, seed=10)).figures
    assert figures["golds_verified"] == 640
    assert figures["attacks_unscored"] == 0
    assert figures["slowest_s"] < 2.0


def test_the_kit_finds_what_is_wrong():
    class Gullible:
        def verify_many(self, items):
            return [VERIFIER.verify(VerifyItem(item.gold, rf"\boxed{{{item.gold}}}")) for item in items]

    with pytest.raises(ConformanceError) as caught:
        check_verifier(Gullible(), golds=["7", r"\frac{1}{2}"])
    assert "was accepted for 7" in caught.value.report.failures[0]

    class Lenient:
        def verify_many(self, items):
            wrong = [item.response not in (rf"\boxed{{{item.gold}}}", rf"\boxed{{ {item.gold} }}") for item in items]
            plain = [item.response in ("", r"\boxed{8}") for item in items]
            return [Verdict("wrong" if bad and no else "correct") for bad, no in zip(wrong, plain, strict=True)]

    with pytest.raises(ConformanceError) as caught:
        check_verifier(Lenient(), golds=["7", "8"])
    assert sum("it accepted for 7:" in line for line in caught.value.report.failures) > 100


COMMANDS = (
    "frac sqrt boxed text pm cup infty pi left right begin{pmatrix} end{pmatrix} in ln sin circ cdot overline binom"
)
PIECES = [
    *"0123456789xyzabei+-*/^_(){}[]|,.;:!%$ =<>'\\&~",
    *"\u221a\u00b2\u2264\u221e\uff14\u0664",
    " or ",
    " and ",
    "</think>",
    "\n",
]
ALPHABET = st.sampled_from([*PIECES, *(f"\\{name} " for name in COMMANDS.split()), "<think>", "answer is ", "####"])


@settings(max_examples=400, deadline=None)
@given(st.lists(ALPHABET, max_size=60).map("".join))
def test_hostile_text_never_raises(text):
    for response in (text, rf"\boxed{{{text}}}"):
        assert status("7", response) in ("correct", "wrong", "no_answer")
    assert VERIFIER.verify(VerifyItem(text, r"\boxed{7}")).status in ("correct", "wrong", "unscored")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(LimitError):
        read(text).normal()
    extract(text)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(list(KINDS)))
def test_spacing_and_sizes_of_brackets_change_nothing(seed, kind):
    (gold,) = golds(1, seed=seed, kinds=(kind,))
    for other in (f" {gold} ", rf"\displaystyle {gold}", rf"{gold}\,", rf"\!{gold}", f"{gold}.", f"${gold}$"):
        assert status(gold, rf"\boxed{{{other}}}") == "correct", other


@pytest.mark.parametrize(
    "attack", [attack for attack in attacks() if "megabyte" in attack.name], ids=lambda attack: attack.name
)
def test_a_megabyte_costs_milliseconds(attack):
    extract(attack.response)
    begin = time.perf_counter()
    extract(attack.response)
    assert time.perf_counter() - begin < 0.25


def test_the_order_of_extraction_is_an_option():
    response = "Answer: 3\n#### 4"
    assert extract(response).answers == ("3",)
    assert extract(response, ("hash", "answer")).answers == ("4",)
    boxed_only = MathVerifier(MathOptions(extraction=("boxed",)))
    assert boxed_only.verify(VerifyItem("3", response)).status == "no_answer"
    with pytest.raises(ValueError, match="italics"):
        MathVerifier(MathOptions(extraction=("italics",)))
    assert set(RULES) == {"boxed", "answer", "hash", "bold", "display", "conclusion", "whole"}


def test_the_question_decides_what_it_can():
    question = "Solve $2x + 1 = 5$, and compute $3 + 9$ in base 8."
    assert status("12", r"\boxed{3 + 9}", question) == "wrong"
    assert VERIFIER.verify(VerifyItem("12", r"\boxed{3 + 9}", question)).reason == "echo"
    assert status("12", r"\boxed{12}", question) == "correct"
    assert status("14_8", r"\boxed{14}", question) == "correct"
    assert status("14_8", r"\boxed{14}") == "wrong"
    assert (
        MathVerifier(MathOptions(forgive_missing_base=True)).verify(VerifyItem("14_8", r"\boxed{14}")).status
        == "correct"
    )


def test_what_the_gold_answer_breaks_is_nobodys_fault():
    assert VERIFIER.verify(VerifyItem("", r"\boxed{7}")).label == "unscored:gold: empty"
    for gold in (
        r"\frac{1}{",
        "(1,2",
        r"\sqrt{",
        "None",
        "N/A",
        "nan",
        "[]",
        "$$",
        r"\text{}",
        r"\boxed{}",
        "?",
        "2^{",
    ):
        assert VERIFIER.verify(VerifyItem(gold, r"\boxed{1}")).label.startswith("unscored:gold: "), gold
        assert VERIFIER.verify(VerifyItem(gold, rf"\boxed{{{gold}}}")).label.startswith("unscored:gold: "), gold
    for gold in (r"\emptyset", r"\{\}", "0", "(0, 1]", r"\text{No}", "i", r"\text{none}", "]1, 2["):
        assert VERIFIER.verify(VerifyItem(gold, rf"\boxed{{{gold}}}")).status == "correct", gold
    assert VERIFIER.verify(VerifyItem("9" * 5000, r"\boxed{\sqrt{7}}")).status == "unscored"


def test_infinity_in_a_function_is_not_given_to_algebra():
    # sympy.simplify does not return from cos(oo*t*oo*t*oo*t); found by the fuzzer
    begin = time.perf_counter()
    assert status("5", "\\boxed{\\cos \\infty t \\infty t \\infty t \\infty t \\infty t}") == "wrong"
    assert time.perf_counter() - begin < 5


def test_a_large_exact_number_can_be_shown():
    # found by the fuzzer: 4545 digits, which Python does not turn into text
    for power in ("888888889^508", "2^{13999}", "2^{14300}", "7^{5000}"):
        verdict = MathVerifier().verify(VerifyItem("5", rf"\boxed{{{power}}}"))
        assert (verdict.status, verdict.reason) == ("wrong", "different")
        assert status(power, rf"\boxed{{{power}}}") == "correct"


def test_complex_sides_have_a_ratio():
    # found by the fuzzer: the ratio of two complex numbers was compared with 0
    assert status("2ix < 6iy", r"\boxed{ix < 3iy}") == "correct"
    assert status("2ix < 6iy", r"\boxed{-ix > -3iy}") == "correct"
    assert status("2ix < 6iy", r"\boxed{-ix < -3iy}") == "wrong"
    assert status("5", r"\boxed{x > -9 \operatorname{cis} 9}") == "wrong"


def test_bombs_among_a_thousand_answers_from_four_threads():
    # 1000 completions, of which ten are bombs; every one is judged, the bombs too, and the workers are gone
    # afterwards
    fuses = bombs()[:10]
    drawn = golds(198, seed=11)
    results = {}
    with VerifierPool(MATH, limits=PoolLimits(workers=2, deadline_s=1.0), fast=VERIFIER.fast) as pool:

        def judge(name):
            items = []
            for number in range(250):
                items.append(VerifyItem(drawn[number % 198], rf"\boxed{{ {drawn[number % 198]} }}"))
            for number, bomb in enumerate(fuses[name::4]):
                items[number * 40 + 5] = VerifyItem("7", bomb)
            results[name] = list(zip(items, pool.verify_many(items), strict=True))

        threads = [threading.Thread(target=judge, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server = pool.server_pid
    assert server is not None
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
    judged = [pair for name in range(4) for pair in results[name]]
    assert len(judged) == 1000
    exploded = [verdict for item, verdict in judged if item.response in fuses]
    assert len(exploded) == 10
    assert {(verdict.status, verdict.reason) for verdict in exploded} <= {
        ("wrong", "limit"),
        ("wrong", "different"),
        ("unscored", "timeout"),
    }
    assert all(verdict.status == "correct" for item, verdict in judged if item.response not in fuses)


@pytest.mark.parametrize("inputs", [2500, pytest.param(30_000, marks=pytest.mark.slow)])
def test_fuzzing_finds_nothing(inputs):
    # in its own process, since it limits its memory; the hour-long version: python benchmarks/fuzz_math.py --minutes 60
    code = f"from fuzz_math import fuzz; tried, found = fuzz(inputs={inputs}, seed=1); print(tried); print(found)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1", "PYTHONPATH": str(BENCHMARKS)},
    )
    assert done.stdout.splitlines() == [str(inputs), "[]"]
