"""Data sets of programming problems, in the layouts that there are, through `kgym data add` to verdicts."""

import base64
import json
import pickle
import zlib

import pytest

from kgym.cli.main import main
from kgym.types import VerifyItem
from kgym.verify.service import load_verifier
from kgym_envs.code.task import CodeOptions, CodeTask

PRIVATE = base64.b64encode(
    zlib.compress(pickle.dumps(json.dumps([{"input": "[3]", "output": "9", "testtype": "functional"}])))
).decode()
ROWS = {
    "apps": (
        {"question": "Double.", "input_output": json.dumps({"inputs": ["2\n"], "outputs": ["4\n"]})},
        "print(2 * int(input()))",
    ),
    "apps_call": (
        {"question": "Double.", "input_output": json.dumps({"fn_name": "f", "inputs": [[2]], "outputs": [[4]]})},
        "def f(x): return 2 * x",
    ),
    "livecodebench": (
        {
            "question_content": "Square.",
            "public_test_cases": json.dumps([{"input": "[2]", "output": "4", "testtype": "functional"}]).replace(
                "[2]", "2"
            ),
            "private_test_cases": PRIVATE.replace("\n", ""),
            "metadata": json.dumps({"func_name": "f"}),
        },
        "class Solution:\n    def f(self, x): return (x[0] if isinstance(x, list) else x) ** 2",
    ),
    "codeforces": (
        {
            "description": "Add.",
            "official_tests": [{"input": "1 2", "output": "3"}],
            "time_limit": 1.0,
            "memory_limit": 64.0,
        },
        "print(sum(map(int, input().split())))",
    ),
    "humaneval": (
        {
            "prompt": "import math\n\ndef f(x):\n",
            "test": "def check(candidate):\n    assert candidate(4) == 2",
            "entry_point": "f",
        },
        "def f(x): return math.isqrt(x)",
    ),
    "mbpp": (
        {"text": "Return the set.", "test_list": ["assert set(f([1, 1])) == {1}"], "test_setup_code": ""},
        "def f(x): return set(x)",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_added_and_judged(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    row, right = ROWS[name]
    path = tmp_path / f"{name}.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert main(["data", "add", name, str(path)]) == 0, capsys.readouterr().err
    assert "gold answer" not in capsys.readouterr().err
    problem = CodeTask(CodeOptions(dataset=name, validation_frac=1)).source("validation")[0]
    items = [
        VerifyItem(problem.gold, f"```python\n{source}\n```") for source in (right, "def f(*x): return 77\nprint(77)")
    ]
    assert [verdict.label for verdict in load_verifier("code").verify_many(items)] == ["correct", "wrong"]


def test_tests_that_cannot_be_read_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({"question": "Double.", "input_output": "{"}) + "\n")
    assert main(["data", "add", "bad", str(path)]) == 2
    assert "bad.jsonl line 1: the tests in input_output cannot be read" in capsys.readouterr().err
