"""Generated tests: inputs of a generator, with the outputs on which references agree, run in real sandboxes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kgym.cli.main import main
from kgym.data.cells import Row
from kgym.data.sources import data_source
from kgym.data.untested import untested
from kgym.errors import DataError, SandboxError
from kgym.judging import probe
from kgym.judging.agreement import agreed, at_least, generated
from kgym.judging.cases import Cases
from kgym.judging.submissions import BadTests
from kgym.score.testcases import TestcasesConfig, make_testcases
from kgym.types import VerifyItem
from kgym.verify.service import load_verifier

GOOD = "a, b = map(int, input().split())\nprint(a + b)"
ANOTHER = "print(sum(int(word) for word in input().split()))"
WRONG = "a, b = map(int, input().split())\nprint(a * b)"
NUMBERS = "import random, sys\nprint(int(sys.argv[1]), random.randint(-99, 99))"
SLOW = "while True: pass"


def template(*inputs, **fields):
    return Cases("stdin", tuple((given, "") for given in inputs), time_s=0.5, **fields)


def problem(**row):
    values = {
        "question": "Print the sum of two numbers.",
        "generator": NUMBERS,
        "solutions": [GOOD, ANOTHER, GOOD + "\n"],
        **row,
    }
    return untested([Row("mine.jsonl line 1", values)], "mine")[0]


def made(tmp_path, *problems, **settings):
    config = TestcasesConfig(**{"cases": 6, **settings})
    return make_testcases(config, problems, tmp_path / "run")


# --- agreement ---


def test_a_wrong_reference_is_outvoted():
    found = agreed(template("1 2", "2 2", "0 5"), [GOOD] * 6 + [ANOTHER] * 3 + [WRONG], 0.7)
    assert found.cases == (("1 2", "3\n"), ("2 2", "4\n"), ("0 5", "5\n"))
    assert found.passed == (True,) * 9 + (False,)


def test_a_case_on_which_too_few_agree_is_not_valid():
    found = agreed(template("1 2", "2 2"), [GOOD, ANOTHER, GOOD, WRONG, WRONG], 0.7)
    assert found.cases == (("2 2", "4\n"),)  # 2 + 2 = 2 * 2
    assert found.passed == (True,) * 5


def test_an_input_on_which_all_fail_is_not_valid():
    found = agreed(template("1 2", "one two", ""), [GOOD, ANOTHER, GOOD], 0.7)
    assert [given for given, _ in found.cases] == ["1 2"]


def test_outputs_agree_as_the_problem_compares():
    spaced = "a, b = map(int, input().split())\nprint('', a + b, end='  ')"
    assert agreed(template("1 2"), [GOOD, spaced], 1).passed == (True, True)
    assert agreed(template("1 2", compare="lines"), [GOOD, spaced], 1).cases == ()


def test_a_checker_takes_several_right_outputs():
    programs = [f"n = int(input())\nprint({pair})" for pair in ("1, n - 1", "n - 1, 1", "0, n", "n, n")]
    assert agreed(template("7", "9"), programs, 0.7).cases == ()
    checker = "a, b = map(int, open('output').read().split())\nraise SystemExit(a + b != int(open('input').read()))"
    found = agreed(template("7", "9", checker=checker), programs, 0.7)
    assert [given for given, _ in found.cases] == ["7", "9"]
    assert found.passed == (True, True, True, False)


def test_a_checker_that_fails_is_said():
    with pytest.raises(BadTests, match="checker ended with exit code 1"):
        agreed(template("7 1", checker="1 / 0"), [GOOD, GOOD], 0.7)


def test_a_reference_that_runs_out_of_time_does_not_agree():
    found = agreed(template(*(f"{n} 1" for n in range(5))), [GOOD, ANOTHER, GOOD, SLOW], 0.7)
    assert (len(found.cases), found.passed) == (5, (True, True, True, False))


def test_results_of_functions():
    calls = Cases("call", (([2, 3], None), (["a", "b"], None), ([1, "b"], None)), function="add")
    found = agreed(
        calls, ["def add(a, b): return a + b", "add = lambda a, b: a + b", "def add(a, b): return None"], 0.6
    )
    assert found.cases == (([2, 3], 5), (["a", "b"], "ab"))
    assert found.passed == (True, True, False)


def test_shares_of_few():
    assert [at_least(0.7, n) for n in range(2, 11)] == [2, 3, 3, 4, 5, 5, 6, 7, 7]
    assert [at_least(0.9, n) for n in (2, 5, 10, 20)] == [2, 5, 9, 18]


# --- generators ---


def test_inputs_are_a_function_of_the_seed_and_differ():
    one, again, other = (generated(NUMBERS, 8, seed, "stdin") for seed in (1, 1, 2))
    assert one == again != other
    assert [int(text.split()[0]) for text in one] == list(range(8))
    assert len(generated("print(4)", 8, 1, "stdin")) == 1
    some = generated("import random; print(random.randint(1, 3))", 3, 1, "stdin")
    assert len(some) == len(set(some)) > 1


@pytest.mark.parametrize("source", ["1 / 0", "print()", "", "print(", "print('x' * (2 << 20))", "while True: print(1)"])
def test_what_is_not_an_input_is_left_out(source):
    assert generated(source, 3, 0, "stdin") == []


def test_arguments_of_a_function_are_a_list_in_json():
    assert generated(
        "import sys; print([int(sys.argv[1]), 'a'] if sys.argv[1] < '2' else 7)".replace("'a'", "5"), 2, 0, "call"
    ) == [
        [0, 5],
        [1, 5],
    ]
    assert generated("print({})", 3, 0, "call") == []


# --- rows ---


def test_layouts_of_references():
    for solutions in (
        [GOOD, WRONG],
        json.dumps([GOOD, WRONG]),
        {"language": [3, 2, 3], "solution": [GOOD, "int main()", WRONG]},
    ):
        assert problem(solutions=solutions).references == (GOOD, WRONG)
    assert problem(solutions=f"So:\n```python\n{GOOD}\n```").references == (GOOD,)
    assert problem(solutions=None, canonical_solution="[x for x in y]").references == ("[x for x in y]",)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2), (1.5, 1.5), ("2.0 seconds", 2), ("1500 ms", 1.5), ("", 4), (None, 4)]
)
def test_time_limits(text, seconds):
    assert problem(time_limit=text).time_s == seconds


@pytest.mark.parametrize(("text", "mib"), [("64 megabytes", 64), (64, 64), (67108864, 64), ("1 GB", 1024), (None, 256)])
def test_memory_limits(text, mib):
    assert problem(memory_limit=text).memory_mib == mib


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": ""}, "no question"),
        ({"compare": "roughly"}, "compare='roughly' must be one of"),
        ({"function": "not a name"}, "is not the name of a function"),
        ({"time_limit": "soon"}, "the time limit 'soon' is not a number"),
    ],
)
def test_rows_that_cannot_be_read(row, words):
    with pytest.raises(DataError, match=r"mine\.jsonl line 1") as caught:
        problem(**row)
    assert words in str(caught.value)


# --- problems ---


def test_a_problem_is_taken_if_its_references_agree_and_pass(tmp_path):
    found = made(tmp_path, problem(solutions=[GOOD + "\n" * n for n in range(9)] + [WRONG]))
    (taken,), (outcome,) = found.taken, found.outcomes
    assert (outcome.proposed, outcome.valid, outcome.references, outcome.passed) == (6, 6, 10, 9)
    labels = [
        verdict.label
        for verdict in load_verifier("code").verify_many(
            [VerifyItem(taken.gold, f"```\n{one}\n```") for one in (ANOTHER, WRONG)]
        )
    ]
    assert labels == ["correct", "wrong"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"solutions": [GOOD]}, "too few references"),
        ({"solutions": []}, "too few references"),
        ({"solutions": ["print 1", "print 2", GOOD, ANOTHER]}, "too few references"),  # Python 2
        ({"generator": ""}, "no generator"),
        ({"generator": "print('1 2')"}, "too few inputs"),
        ({"generator": "import random; print('x', random.random())"}, "too few valid cases"),
        (
            {"solutions": [f"print({n})" for n in range(4)]},
            "too few valid cases",
        ),  # any output will do: it cannot be tested like this
        ({"solutions": [GOOD, ANOTHER, GOOD + "\n", WRONG]}, "too few references pass"),
        ({"checker": "1 / 0"}, "checker failed"),
    ],
)
def test_why_a_problem_is_not_taken(tmp_path, row, reason):
    found = made(tmp_path, problem(id="good"), problem(id="bad", **row))
    assert [outcome.reason for outcome in found.outcomes] == ["", reason]
    assert found.reasons == {reason: 1}


def test_what_was_done_is_not_done_again(tmp_path):
    first = made(tmp_path, problem(id="a"), problem(id="b", solutions=[WRONG]))
    stored = tmp_path / "run" / "problems.jsonl"
    lines = stored.read_text().splitlines(keepends=True)
    kept = json.loads(lines[0])
    stored.write_text(
        json.dumps(kept | {"valid": 77}) + "\n" + lines[1][:20]
    )  # as after a kill in the middle of a line
    again = made(tmp_path, problem(id="a"), problem(id="b", solutions=[WRONG]))
    assert {outcome.valid for outcome in again.outcomes if outcome.id == kept["id"]} == {77}
    assert again.taken == first.taken
    assert len(stored.read_text().splitlines()) == 2


def test_trouble_of_the_sandbox_ends_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_finding", "programs cannot be isolated: bwrap is not installed; install it")
    with pytest.raises(SandboxError, match="install it"):
        made(tmp_path, problem())
    assert not (tmp_path / "run").exists()


def test_an_interruption_does_not_wait_for_a_slow_reference(data):
    slow = "import time\na, b = map(int, input().split())\ntime.sleep(60)\nprint(a + b)"
    rows = [
        {"id": f"{n}", "question": "Sum.", "solutions": [slow, slow + "\n", slow + "\n\n"], "time_limit": 100}
        for n in range(2)
    ]
    rows.insert(0, {"id": "quick", "question": "Sum.", "solutions": [GOOD, ANOTHER, GOOD + "\n"]})
    Path("problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "kgym", *ARGUMENTS]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        stored = Path("runs/testcases-mine/problems.jsonl")
        while not (stored.exists() and stored.read_text()):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=50)[1]
    assert process.returncode == 130
    assert "resume with the same command: kgym data testcases mine problems.jsonl" in said
    assert json.loads(stored.read_text())["id"] == "mine/quick"


def test_nothing_taken_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"none of the 1 problems is taken \(too few references: 1\)"):
        made(tmp_path, problem(solutions=[]))


# --- the command ---


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": "sum", "question": "Print the sum.", "solutions": [GOOD, ANOTHER, GOOD + "\n"]},
        {"id": "any", "question": "Print a number.", "solutions": [f"print({n})" for n in range(5)]},
        {"id": "few", "question": "Print the sum.", "solutions": [GOOD]},
    ]
    Path("problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("generator.py").write_text(NUMBERS)
    return tmp_path


ARGUMENTS = ["data", "testcases", "mine", "problems.jsonl", "--generator", "generator.py", "--cases", "6"]


def test_the_command_makes_a_data_set_for_the_environment(data, capsys):
    assert main([*ARGUMENTS, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["taken"], said["problems"], said["cases"]) == (1, 3, 6)
    assert said["not_taken"] == {"too few valid cases": 1, "too few references": 1}
    assert "too few valid cases" in Path(said["report"]).read_text()
    source = data_source("mine")
    assert [one.id for one in source.problems] == ["mine/sum"]
    assert len(Cases.of(source[0].gold).cases) == 6
    assert main(["envs", "show", "code", "--set", "env.dataset=mine", "env.validation_frac=0"]) == 0
    assert "Print the sum." in capsys.readouterr().out
    assert main(ARGUMENTS) == 0
    assert "mine: 1 of 3 problems, with 6 cases" in capsys.readouterr().out
    assert data_source("mine").fingerprint == source.fingerprint


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--agree", "0.3"], "testcases.agree=0.3: must be greater than 0.5"),
        (["--generator", "nothing.py"], "--generator nothing.py cannot be read"),
        (["--set", "testcases.min_case=3"], "did you mean"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(data, capsys, more, words):
    assert main([*ARGUMENTS, *more]) == 2
    assert words in capsys.readouterr().err
    assert not Path("data").exists()
    assert not list(Path("runs").glob("*/problems.jsonl"))


def test_a_folder_keeps_to_its_request(data, capsys):
    assert main(ARGUMENTS) == 0
    assert main([*ARGUMENTS, "--seed", "1"]) == 2
    assert "seed" in capsys.readouterr().err


WRITER = '''
from kgym.hookspecs import EngineInfo, hookimpl

kgym_api = 1


class Writer:
    """Writes a generator or a solution, whichever it is asked for; one in four is wrong."""

    version = 0

    def __init__(self, options, model):
        self.n = 0

    def load(self, version, weights): ...

    def sleep(self): ...

    def wake(self): ...

    def generate(self, requests):
        from kgym.types import Segment

        for request in requests:
            self.n += 1
            proposing = "random input" in request.prompt[0].content
            good = {True: GENERATOR, False: SOLUTION}[proposing] if request.id[-1] != "3" else "print(7)"
            yield Segment(f"Sure.\\n```python\\n{good}\\n```", request_id=request.id)


GENERATOR = "import random; print(random.randint(0, 99), random.randint(0, 99))"
SOLUTION = "print(sum(map(int, input().split())))"


@hookimpl
def kgym_register_engines():
    yield EngineInfo(name="writer", target="writer:Writer", summary="for this test", remote=True)
'''


def test_a_model_writes_generators_and_references(data, capsys, monkeypatch):
    Path("writer.py").write_text(WRITER)
    monkeypatch.syspath_prepend(str(data))
    Path("problems.jsonl").write_text(json.dumps({"id": "sum", "question": "Print the sum of two numbers."}) + "\n")
    command = [*ARGUMENTS[:4], "--cases", "8", "--model", "any", "--set", "engine=writer", "--json", "-p", "writer"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["taken"] == 1
    (outcome,) = [json.loads(line) for line in Path("runs/testcases-mine/problems.jsonl").read_text().splitlines()]
    assert (outcome["references"], outcome["passed"], outcome["valid"]) == (10, 9, 7)
    assert (
        outcome["proposed"] == 7
    )  # two of each generator that is right, and the 7 of the other, which is an input as well
    texts = Path("runs/testcases-mine/sampled.jsonl").read_text()
    assert len(texts.splitlines()) == 14
    assert main(command) == 0
    assert Path("runs/testcases-mine/sampled.jsonl").read_text() == texts
