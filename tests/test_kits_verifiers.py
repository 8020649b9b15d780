"""The kit of verifiers fails verifiers that are broken in the way that it looks for."""

import json
import random

import pytest

from kgym.cli.main import main
from kgym.testing.report import ConformanceError
from kgym.testing.verifiers import check_verifier
from kgym.types import Verdict
from test_kits import Made, _plugins, findings

__all__ = ["_plugins"]  # a fixture that every test uses


def judge(function, **attributes):
    """Return a verifier of a function from (gold, response) to a status."""

    class Judge(Made):
        def verify_many(self, items):
            return [Verdict(function(item.gold, item.response), "rule") for item in items]

    return type("Judge", (Judge,), attributes)


def boxed(gold, response):
    return "correct" if f"\\boxed{{{gold}}}" in response else "wrong"


def greets(gold, response):
    return "correct" if response.split() == ["Hello,", *gold.split()] else "wrong"


class Raises(Made):
    def verify_many(self, items):
        raise ValueError("no idea")


class Empty(Made):
    def verify_many(self, items):
        return []


class Bools(Made):
    def verify_many(self, items):
        return [True for _ in items]


class Fickle(Made):
    def verify_many(self, items):
        return [Verdict(random.choice(["correct", "wrong"]), str(random.random())) for _ in items]


class Judgeless(Made):
    def verify_many(self, items):
        return [Verdict("unscored", "timeout") for _ in items]


@pytest.mark.parametrize(
    ("verifier", "finding"),
    [
        (Raises, "the contract: it raised ValueError: no idea"),
        (Empty, "verify_many returned 0 results for 6 items"),
        (Bools, "6 results for 6 items (bool)"),
        (Fickle, "two verdicts on the same completion differ"),
        (Judgeless, "it judges no completion at all: unscored:timeout"),
        (judge(lambda gold, response: "wrong"), "it accepts none of 320 gold answers (wrong for 320 of them), such as"),
        (judge(lambda gold, response: "correct"), "was accepted for 7"),
        (judge(boxed), r"(the attack"),
        (judge(boxed), r"'\\boxed{7} or \\boxed{1}'"),  # the text is shown
        (judge(boxed), r"leading zeros: '007' was rejected for 7"),
    ],
)
def test_the_kit_of_verifiers(verifier, finding):
    arguments = {"golds": ["7", "8"]} if "leading" in finding else {}
    assert finding in findings(check_verifier, verifier, **arguments)


def test_a_verifier_says_what_it_reads():
    assert "it accepts none of 320" in findings(check_verifier, judge(greets))
    assert (
        check_verifier(judge(greets), golds=["Ada", "17"], answer="Hello, {gold}", numeric=False).figures[
            "golds_verified"
        ]
        == 2
    )
    found = findings(check_verifier, judge(greets), golds=["Ada", "17"], answer="Hello, {gold}")
    assert "was rejected for 17" in found
    assert "VerifierInfo(..., numeric=False)" in found
    partly = judge(lambda gold, response: greets(gold, response) if gold != "Eve" else "wrong")
    assert "does not accept 1 of its 3" in findings(
        check_verifier, partly, golds=["Ada", "Bob", "Eve"], answer="Hello, {gold}"
    )


def test_attacks_are_printable_and_short():
    accepts_long = judge(
        lambda gold, response: "correct" if len(response) > 10**5 or f"{{{gold}}}" in response else "wrong"
    )
    with pytest.raises(ConformanceError) as caught:
        check_verifier(accepts_long)
    report = caught.value.report
    assert any("characters)" in text for text in report.failures)
    assert all(text.isprintable() and len(text) < 400 for text in report.failures)


def test_a_kit_gives_up_on_a_verifier_that_hangs():
    import time

    def slow(gold, response):
        if len(response) > 12:  # not a plain box
            time.sleep(0.06)
        return boxed(gold, response)

    found = findings(check_verifier, judge(slow), golds=["7", "8"], deadline_s=0.05)
    assert "5 attacks in a row took longer than 0.05 s" in found


VERIFIERS = """
import os
from kgym.hookspecs import VerifierInfo, hookimpl
from kgym.types import Verdict
kgym_api = 1

@hookimpl
def kgym_components():
    for name in ("Raises", "Empty", "Exits", "Hungry", "Bools"):
        yield VerifierInfo(name.lower(), f"bad:{name}")
    yield VerifierInfo("hello", "bad:Hello", isolation="none", golds=("Ada", "17"), \
answer="Hello, {gold}", numeric=False)

class Base:
    def __init__(self, options): pass
    def verify_many(self, items): return [self.verify(item) for item in items]
class Raises(Base):
    def verify(self, item): raise ValueError("no idea")
class Empty(Base):
    def verify_many(self, items): return []
class Exits(Base):
    def verify(self, item): os._exit(3)
class Hungry(Base):
    def verify(self, item): return bytearray(100 * 2**30)
class Bools(Base):
    def verify(self, item): return True
class Hello(Base):
    def verify(self, item): \
return Verdict("correct" if item.response.split() == ["Hello,", *item.gold.split()] else "wrong")
"""


@pytest.mark.parametrize("name", ["raises", "empty", "exits", "hungry"])
def test_plugins_check_fails_a_verifier_that_judges_nothing(name, tmp_path, capsys):
    (tmp_path / "bad.py").write_text(VERIFIERS)
    assert main(["-p", str(tmp_path / "bad.py"), "plugins", "check", name]) == 1
    printed = capsys.readouterr().out
    assert "FAILED the contract: it judges no completion at all: unscored:" in printed
    assert "it does not conform" in printed


def test_plugins_check_takes_what_the_record_says(tmp_path, capsys):
    (tmp_path / "bad.py").write_text(VERIFIERS)
    assert main(["-p", str(tmp_path / "bad.py"), "plugins", "check", "hello", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["conforms"], report["figures"]["golds"]) == (True, 2)
