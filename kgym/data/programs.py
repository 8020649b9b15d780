"""From a row of a data set of programming problems to its question and its hidden tests, in the layouts of known sets.

{"question": "...", "input_output": "{\\"inputs\\": [...], \\"outputs\\": [...]}"}       APPS, TACO
{"question_content": "...", "public_test_cases": "[...]", "private_test_cases": ...}   LiveCodeBench
{"description": "...", "official_tests": [{"input": ..., "output": ...}]}              Codeforces
{"prompt": "def f(x): ...", "test": "def check(candidate): ...", "entry_point": "f"}   HumanEval
{"text": "...", "test_list": ["assert f(1) == 2"], "test_setup_code": ""}              MBPP
"""

import ast
import base64
import json
import pickletools
import zlib
from collections.abc import Mapping
from typing import Any

from kgym.data.cells import Row
from kgym.errors import DataError
from kgym.judging.cases import Cases

COLUMNS = (
    *(
        "input_output",
        "starter_code",
        "solutions",
        "question_content",
        "public_test_cases",
        "private_test_cases",
        "metadata",
    ),
    *(
        "description",
        "input_format",
        "output_format",
        "official_tests",
        "time_limit",
        "memory_limit",
        "generated_checker",
    ),
    *("test", "entry_point", "canonical_solution", "text", "test_list", "test_setup_code", "test_imports", "code"),
)
"""Columns that are read, in addition to those of every data set."""
LONGEST = 1 << 30
"""Most bytes of tests that are unpacked."""


def question_and_tests(row: Row) -> tuple[str, str] | None:
    """Return the question and the gold answer of a programming problem; None for a row in another layout.

    Raises DataError, with the place of the row, for tests that cannot be read.
    """
    values = row.values
    for columns, read in (
        (("input_output",), _apps),
        (("question_content", "public_test_cases"), _live_code_bench),
        (("description", "official_tests"), _codeforces),
        (("prompt", "test", "entry_point"), _human_eval),
        (("test_list",), _mbpp),
    ):
        if all(values.get(column) for column in columns):
            try:
                question, cases = read(values)
            except (ValueError, TypeError, KeyError, IndexError, SyntaxError, StopIteration, zlib.error) as error:
                raise DataError(f"{row.where}: the tests in {columns[-1]} cannot be read: {error}") from None
            return question.strip(), cases.gold()
    return None


def _loaded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _apps(values: Mapping[str, Any]) -> tuple[str, Cases]:
    tests = _loaded(values["input_output"])
    question = str(values["question"])
    if starter := values.get("starter_code"):
        question = f"{question}\n\nBegin with:\n{starter}"
    pairs = list(zip(tests["inputs"], tests["outputs"], strict=True))
    if name := tests.get("fn_name"):
        return question, Cases(
            "call", tuple((one, other[0] if isinstance(other, list) else other) for one, other in pairs), function=name
        )
    return question, Cases("stdin", tuple((_text(one), _text(other)) for one, other in pairs))


def _text(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _live_code_bench(values: Mapping[str, Any]) -> tuple[str, Cases]:
    tests = [*_loaded(values["public_test_cases"]), *_packed(values.get("private_test_cases") or "[]")]
    question = str(values["question_content"])
    if starter := values.get("starter_code"):
        question = f"{question}\n\nBegin with:\n{starter}"
    if tests[0]["testtype"] != "functional":
        return question, Cases("stdin", tuple((test["input"], test["output"]) for test in tests))
    name = _loaded(values["metadata"])["func_name"]
    calls = (
        ([json.loads(line) for line in test["input"].split("\n") if line.strip()], json.loads(test["output"]))
        for test in tests
    )
    return question, Cases("call", tuple(calls), function=name)


def _packed(value: Any) -> Any:
    """Read tests that are JSON, or JSON as the only text of a pickle, compressed and in base 64. The pickle is not
    loaded.
    """
    if not isinstance(value, str) or value.lstrip().startswith("["):
        return _loaded(value)
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(base64.b64decode(value), LONGEST)
    return json.loads(next(argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, str)))


def _codeforces(values: Mapping[str, Any]) -> tuple[str, Cases]:
    parts = (("", "description"), ("Input\n", "input_format"), ("Output\n", "output_format"))
    question = "\n\n".join(f"{title}{values[column]}" for title, column in parts if values.get(column))
    tests = tuple((test["input"], test["output"]) for test in _loaded(values["official_tests"]))
    limits = {
        "time_s": float(values.get("time_limit") or 2),
        "memory_mib": int(float(values.get("memory_limit") or 256)),
    }
    return question, Cases("stdin", tests, **limits)  # type: ignore[arg-type]


def _human_eval(values: Mapping[str, Any]) -> tuple[str, Cases]:
    prompt, name = str(values["prompt"]), str(values["entry_point"])
    before = prompt[: prompt.find(f"def {name}")]
    return f"Complete this function:\n{prompt}", Cases(
        "asserts", ((str(values["test"]), None),), function=name, before=before.strip()
    )


def _mbpp(values: Mapping[str, Any]) -> tuple[str, Cases]:
    tests = [str(test) for test in _loaded(values["test_list"])]
    called = next(
        name for node in ast.walk(ast.parse(tests[0])) if isinstance(node, ast.Call) and (name := _called(node))
    )
    setup = "\n".join(
        str(line) for line in (values.get("test_setup_code"), *(values.get("test_imports") or ())) if line
    )
    question = f"{values.get('text') or values['prompt']}\nIt has to pass tests such as:\n{tests[0]}"
    return question, Cases("asserts", tuple((f"{setup}\n{test}".lstrip(), None) for test in tests), function=called)


def _called(call: ast.Call) -> str:
    """Return the name of the function that a call calls; "" for built-ins that tests put around the tested call."""
    around = {"set", "sorted", "abs", "len", "list", "tuple", "round", "all", "any", "str", "sum", "isinstance"}
    return call.func.id if isinstance(call.func, ast.Name) and call.func.id not in around else ""
