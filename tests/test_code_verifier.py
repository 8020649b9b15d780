"""The verifier `code`, with real programs in real sandboxes."""

import json

import pytest

from kgym.errors import SandboxError, SandboxLost
from kgym.judging import box as boxes
from kgym.judging import probe
from kgym.judging.cases import Cases
from kgym.judging.extract import program_of
from kgym.types import VerifyItem
from kgym.verify.service import load_verifier

SUM = Cases("stdin", (("2 3\n", "5\n"), ("10 -4\n", "6\n"), ("0 0\n", "0\n"))).gold()
ADD = Cases("call", (([2, 3], 5), ([[1], [2]], [1, 2])), function="add").gold()
GOOD = "a, b = map(int, input().split())\nprint(a + b)"


def verdict(gold, source, *, fenced=True, **options):
    (found,) = load_verifier("code", options).verify_many(
        [VerifyItem(gold, f"Here:\n```python\n{source}\n```" if fenced else source)]
    )
    return found


@pytest.mark.parametrize(
    ("source", "label", "reason"),
    [
        (GOOD, "correct", "passed"),
        ("a, b = map(int, input().split())\nprint(a * b)", "wrong", "wrong_output"),
        ("print(5)", "wrong", "wrong_output"),
        ("raise SystemExit(2)", "wrong", "crash"),
        ("print(5", "wrong", "crash"),
        ("import os\nos.kill(os.getpid(), 9)", "wrong", "crash"),
        ("print('x' * 10**8)", "wrong", "output"),
        (
            "x = bytearray(200 << 20)\ny = bytearray(200 << 20)\nfor z in x, y:\n    for i in range(0, len(z), 4096): "
            "z[i] = 1",
            "wrong",
            "memory",
        ),
        (
            "import os\nfor fd in range(3, 99):\n    try: os.write(fd, b'5')\n    except OSError: pass\nos.kill(1, 9)",
            "wrong",
            "wrong_output",
        ),
    ],
)
def test_programs_on_input_and_output(source, label, reason):
    found = verdict(SUM, source)
    assert (found.label, found.reason, found.answer) == (label, reason, source)


def test_a_program_that_takes_too_long_is_wrong():
    gold = Cases("stdin", (("", "1"),), time_s=0.3).gold()
    assert verdict(gold, "while True: pass").reason == "time"
    assert verdict(gold, "import time; time.sleep(100)").label == "wrong"


def test_an_answer_without_a_program():
    for response in ("5", "", "```sh\nls\n```", "```python\nprint(5)", "<think>```python\nprint(5)\n```"):
        found = verdict(SUM, response, fenced=False)
        assert (found.label, found.reason) == ("no_answer", "no_program"), response


@pytest.mark.parametrize(
    "response",
    [
        "```x``` is the variable.\n```python\nprint(5)\n```",
        "````python\nprint(5)\n````",
        "1. So:\n   ```python\n   if 1:\n       print(5)\n   ```",
        "- ```python\n  print(5)\n  ```",
        "```Python 3\nprint(5)\n```",
        "```python3.11\nprint(5)\n```",
        '```python title="a.py"\nprint(5)\n```',
        "``` {.python}\nprint(5)\n```",
        "```python\r\nprint(5)\r\n```\r\n",
        "```python\nprint(5 if len('\u2028') == 1 else 6)\n```",
    ],
)
def test_blocks_as_models_write_them(response):
    assert verdict(SUM, response, fenced=False, max_cases=1).label == "correct"
    other = response.replace("python", "text").replace("Python", "Text")
    assert verdict(SUM, other, fenced=False).label == "no_answer"


def test_the_last_program_after_the_reasoning_counts():
    response = (
        "<think>\n```python\nprint(1)\n```\n</think>\n```\nprint(2)\n```\n~\n"
        f"```py\n{GOOD}\n```\nTry it:\n```console\n$ python3 a.py\n```"
    )
    assert verdict(SUM, response, fenced=False).label == "correct"


@pytest.mark.parametrize(
    ("source", "label", "reason"),
    [
        ("def add(a, b):\n    print('noise')\n    return a + b", "correct", "passed"),
        ("class Solution:\n    def add(self, a, b):\n        return a + b", "correct", "passed"),
        ("def add(a, b):\n    return 5", "wrong", "wrong_output"),
        ("def sub(a, b):\n    return a - b", "wrong", "no_function"),
        ("def add(a, b):\n    return object()", "wrong", "crash"),
        ("def add(a, b):\n    return True if a == 2 else a + b", "wrong", "wrong_output"),
        (
            "import atexit, os\natexit.register(lambda: os._exit(0))\ndef add(a, b): raise ValueError",
            "wrong",
            "wrong_output",
        ),
        ("import os\ndef add(a, b):\n    os._exit(0)", "wrong", "wrong_output"),
        ("class Same(int):\n    __eq__ = lambda *_: True\ndef add(a, b):\n    return Same(4)", "wrong", "wrong_output"),
    ],
)
def test_functions(source, label, reason):
    found = verdict(ADD, source)
    assert (found.label, found.reason) == (label, reason)


HUMAN = (
    "def check(candidate):\n"
    "    assert candidate([1, 2]) == (3, {1})\n"
    "    assert abs(candidate([0.5])[0] - 0.5) < 1e-9\n"
)
TOTAL = "def total(xs):\n    return sum(xs), {x for x in xs if x < 2}"


@pytest.mark.parametrize(
    ("source", "label"),
    [
        (TOTAL.replace("{x for", "set() or {x for"), "correct"),
        ("def total(xs):\n    return 3, {1}", "wrong"),
        (
            "class Any:\n    __eq__ = lambda *_: True\n    __getitem__ = lambda *_: 0.5\ndef total(xs):\n    return "
            "Any()",
            "wrong",
        ),
        ("import os\ndef total(xs):\n    os._exit(0)", "wrong"),
        ("import sys\nsys.exit(0)", "wrong"),
        ("import os\nos.write(3, b'\\0\\0\\0\\x04[[]]')\ndef total(xs): return 3, {1}", "wrong"),
        ("def total(xs):\n    raise SystemExit(0)", "wrong"),
        ("def total(xs):\n    while True: pass", "wrong"),
    ],
)
def test_statements_of_a_test_run_where_the_program_cannot_see_them(source, label):
    gold = Cases("asserts", ((HUMAN, None),), function="total", time_s=1).gold()
    assert verdict(gold, source).label == label


@pytest.mark.parametrize(
    ("statements", "source"),
    [
        ("import math\nassert math.isnan(f(1))", "def f(x): return float('nan')"),
        ("assert f(float('nan')) is f([1, float('-inf')]) is True", "def f(x): return x != x or x[1] < 0"),
        ("assert f(5000) == 10**5000 and f(3) == 1000", "def f(x): return 10**x"),
        ("assert f(1) == frozenset({1, 2})", "def f(x): return frozenset({1, 2})"),
    ],
)
def test_values_that_have_no_literal_are_sent_between_statements_and_program(statements, source):
    gold = Cases("asserts", ((statements, None),), function="f").gold()
    assert verdict(gold, source).label == "correct"
    assert verdict(gold, "def f(x): return 7").label == "wrong"


def test_a_program_cannot_end_a_loop_of_the_statements():
    loop = "for found, wanted in zip(map(f, [1, 2]), [2, 3]):\n    assert found == wanted"
    gold = Cases("asserts", ((loop, None),), function="f").gold()
    assert verdict(gold, "def f(x): return x + 1").label == "correct"
    assert verdict(gold, "def f(x): raise StopIteration").label == "wrong"


def test_a_result_that_leaves_a_name_of_the_statements_unset_is_wrong():
    for indent, call in (("", ""), ("    ", "def check(f):\n")):
        lines = ("for x in f(1):", "    last = x", "assert last == 3")
        gold = Cases("asserts", ((call + "\n".join(indent + line for line in lines), None),), function="f").gold()
        assert verdict(gold, "def f(x): return [3]").label == "correct"
        assert verdict(gold, "def f(x): return []").label == "wrong"


def test_equal_numbers_are_equal_in_any_order():
    gold = Cases("call", (([1], [1.0, [2.0], {"x": 3}]),), function="f", compare="unordered").gold()
    assert verdict(gold, "def f(x): return [[2], {'x': 3.0}, 1]").label == "correct"
    assert verdict(gold, "def f(x): return [[2], {'x': 3.0}, True]").label == "wrong"


def test_nan_is_the_result_where_it_is_expected():
    gold = Cases("call", (([1], [float("nan")]),), function="f").gold()
    assert verdict(gold, "def f(x): return [float('nan')]").label == "correct"
    assert verdict(gold, "def f(x): return [1.0]").label == "wrong"


@pytest.mark.parametrize("kind", ["call", "asserts", "stdin"])
def test_a_program_may_import_from_the_future_after_the_source_before_it(kind):
    case = {"call": ([4], 2), "asserts": ("assert f(4) == 2", None), "stdin": ("", "2\n")}[kind]
    gold = Cases(kind, (case,), function="" if kind == "stdin" else "f", before="import math").gold()
    source = '"""Roots."""\nfrom __future__ import annotations\ndef f(x: unknown): return math.isqrt(x)\n'
    assert verdict(gold, source + ("print(f(4))" if kind == "stdin" else "")).label == "correct"


def test_builtins_of_a_program_are_a_module():
    assert verdict(SUM, f"assert __builtins__.len([1]) == 1\n{GOOD}").label == "correct"


def test_statements_that_expect_an_error():
    gold = Cases(
        "asserts", (("try:\n    f(0)\nexcept ZeroDivisionError: pass\nelse: assert False", None),), function="f"
    ).gold()
    assert verdict(gold, "def f(x): return 1 / x").label == "correct"
    assert verdict(gold, "def f(x): return 1").label == "wrong"


@pytest.mark.parametrize(
    ("compare", "output", "label"),
    [
        ("tokens", "1  2\n\n3\n", "correct"),
        ("lines", "1 2  \n3\n\n", "correct"),
        ("lines", "1  2\n3\n", "wrong"),
        ("unordered", "3\n1 2\n", "correct"),
        ("unordered", "3\n3\n1 2\n", "wrong"),
        ("close", "1.0000001 2 3", "correct"),
        ("close", "1.1 2 3", "wrong"),
        ("close", "nan 2 3", "wrong"),
    ],
)
def test_ways_to_compare(compare, output, label):
    assert verdict(Cases("stdin", (("", "1 2\n3\n"),), compare=compare).gold(), f"print({output!r})").label == label


CHECKER = (
    "import sys\nn = int(open('input').read())\n"
    "try:\n    a, b = map(int, open('output').read().split())\nexcept ValueError:\n    sys.exit(1)\n"
    "sys.exit(not (a * b == n and 1 < a < n))"
)


def test_a_checker_takes_any_right_output():
    gold = Cases("stdin", (("12", ""),), checker=CHECKER).gold()
    labels = [
        verdict(gold, source).label for source in ("print(3, 4)", "print(6, 2)", "print(1, 12)", "print('x')", "")
    ]
    assert labels == ["correct", "correct", "wrong", "wrong", "no_answer"]
    assert (
        verdict(Cases("stdin", (("12", ""),), checker="raise ValueError").gold(), "print(1)").label == "unscored:tests"
    )


def test_a_checker_that_an_output_breaks_is_not_an_excuse():
    fragile = "import sys\nsys.exit(int(open('output').read()) != int(open('expected').read()))"
    gold = Cases("stdin", (("", "12"),), checker=fragile).gold()
    assert [verdict(gold, f"print({said!r})").label for said in ("12", "13", "x", "9" * 5000)] == [
        "correct",
        "wrong",
        "wrong",
        "wrong",
    ]


def test_partial_credit_is_the_share_of_cases():
    found = verdict(SUM, "print(5)", partial=True)
    assert (found.label, found.partial) == ("wrong", pytest.approx(1 / 3))
    assert verdict(SUM, GOOD, partial=True).score == 1.0
    assert verdict(SUM, "no program", fenced=False, partial=True).score == 0.0
    assert verdict(SUM, "print(5)", max_cases=1).label == "correct"


@pytest.mark.parametrize(
    "gold", ["17", "{}", '{"kind":"stdin","cases":[]}', '{"kind":"dance","cases":[["",""]]}', "[" * 99999]
)
def test_a_gold_answer_that_is_no_tests_is_unscored(gold):
    assert verdict(gold, GOOD).label == "unscored:gold"


def test_golds_come_back_as_they_were():
    cases = Cases(
        "call", (([1, "ä"], {"x": [None, 1.5]}),), function="f", compare="close", before="import math", time_s=2.0
    )
    assert Cases.of(cases.gold()) == cases
    assert set(json.loads(cases.gold())) == {"kind", "function", "cases", "compare", "before", "time_s"}


# --- what the verdict says ---


def test_a_verdict_says_what_the_first_failing_case_was():
    found = verdict(SUM, "a, b = map(int, input().split())\nprint(abs(a) + abs(b))\nif a == 2: print()")
    assert found.trace.splitlines() == ["case 2 of 3: wrong_output", "input: 10 -4", "expected: 6", "output: 14"]
    assert verdict(SUM, "print(1 / 0)").trace.endswith("output: \nerrors: ZeroDivisionError: division by zero")
    assert verdict(ADD, "def add(a, b): return [a]").trace.splitlines()[1:] == [
        "input: [2, 3]",
        "expected: 5",
        "output: [2]",
    ]
    assert verdict(SUM, GOOD).trace == ""


def test_the_command_says_it_too(tmp_path, capsys):
    from kgym.cli.main import main

    rows = [{"gold": SUM, "response": f"```python\n{source}\n```"} for source in (GOOD, "print(5)")]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["verify", str(tmp_path / "answers.jsonl"), "--verifier", "code"]) == 0
    right, wrong = map(json.loads, capsys.readouterr().out.splitlines())
    assert "trace" not in right
    assert wrong["trace"] == ["case 2 of 3: wrong_output", "input: 10 -4", "expected: 6", "output: 5"]


def test_what_is_shown_is_short():
    assert len(verdict(SUM, "print('x' * 10**6)").trace) < 400


# --- trouble ---


@pytest.mark.parametrize(
    ("statements", "before", "source", "label"),
    [
        ("import numpy\nassert f(1) == 1", "", "def f(x): return x", "unscored:tests"),
        ("assert f(1) == 1 and", "", "def f(x): return x", "unscored:tests"),
        ("assert g(f(1)) == 2", "", "def f(x): return x", "unscored:tests"),
        ("assert g(f(1)) == 2", "def g(x): return x + 1", "def f(x): return x", "correct"),  # HumanEval's find_zero
        ("assert g(f(1)) == 2", "def g(x): return x + 1", "def f(x): return 2", "wrong"),
        ("assert f(1) == 1", "", "def f(x): return unknown", "wrong"),
        ("assert f(1) == 1", "", "def f(x): import numpy", "wrong"),
        ("assert f(1) == 1", "", "raise NameError", "wrong"),
        ("assert f(1)[0] == 1", "", "def f(x): return None", "wrong"),
    ],
)
def test_statements_that_cannot_be_run_are_not_a_wrong_answer(statements, before, source, label):
    gold = Cases("asserts", ((statements, None),), function="f", before=before).gold()
    assert verdict(gold, source).label == label


@pytest.mark.parametrize(
    ("gold", "source", "reason"),
    [
        (
            Cases("call", (([1], 1.0),), function="f", compare="close").gold(),
            "def f(x): return 10**400",
            "wrong_output",
        ),
        (
            Cases("call", (([1], 1.0),), function="f", compare="close").gold(),
            "def f(x): return float('nan')",
            "wrong_output",
        ),
        (SUM, "print('\ud800')", "crash"),
        (SUM, "x = '\0'", "crash"),
        (SUM, "raise SystemExit(3)", "crash"),
    ],
)
def test_nothing_that_a_program_does_makes_it_unscored(gold, source, reason):
    found = verdict(gold, source)
    assert (found.label, found.reason) == ("wrong", reason)


def test_a_sandbox_that_is_lost_once_is_replaced(monkeypatch):
    real, lost = boxes.Box.run, []

    def run(self, *args, **kwargs):
        if not lost:
            lost.append(1)
            raise SandboxLost("the machine has no memory")
        return real(self, *args, **kwargs)

    probe.require()
    monkeypatch.setattr(boxes.Box, "run", run)
    assert verdict(SUM, GOOD).label == "correct"


def test_trouble_of_the_sandbox_is_not_a_wrong_answer(monkeypatch):
    def run(self, *_, **__):
        raise SandboxLost("the machine has no memory")

    probe.require()  # found out once in a process, and not from what is broken here
    monkeypatch.setattr(boxes.Box, "run", run)
    assert verdict(SUM, "print(0)").label == "unscored:sandbox"


def test_the_doctor_says_what_is_missing(monkeypatch, tmp_path, capsys):
    from kgym.cli.main import main

    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["plugins", "doctor", "--json"]) == 0
    (lacking,) = [entry for entry in json.loads(capsys.readouterr().out)["lacking"] if entry["name"] == "code"]
    assert "install bubblewrap" in lacking["lacks"]


def test_without_a_sandbox_the_verifier_is_refused(monkeypatch):
    monkeypatch.setattr(probe, "_finding", "programs cannot be isolated: bwrap is not installed; install it")
    with pytest.raises(SandboxError, match="bwrap is not installed"):
        load_verifier("code")


def test_answers_are_judged_side_by_side():
    verifier = load_verifier("code")
    items = [VerifyItem(SUM, f"```python\n{GOOD if n % 2 else 'print(5)'}\n```") for n in range(8)]
    labels = ["wrong", "correct"] * 4
    assert [found.label for found in verifier.verify_many(items)] == labels
    assert [future.result(120).label for future in [verifier.submit(item) for item in items]] == labels


def test_a_program_keeps_what_is_no_end_of_a_line_in_python():
    assert program_of('```python\r\nprint("\u2028\x85")\r\n```') == 'print("\u2028\x85")'
