"""kgym verify and kgym rescore, and the drop-in rewards for other trainers."""

import asyncio
import inspect
import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pyarrow as pa
import pytest

from kgym.bridges import (
    compute_score,
    compute_score_batch,
    text_of,
    trl_reward,
    verifiers_reward,
    verifiers_task_reward,
)
from kgym.cli.main import main
from kgym.cli.verify import _batches
from kgym.runs.episodes import schema, write_table
from kgym.verify.pool import close_all


@pytest.fixture(scope="module", autouse=True)
def no_workers_left():
    yield
    close_all()


def run(capfd, *arguments):
    status = main(list(arguments))
    out, err = capfd.readouterr()
    return status, out, err


def write(path, *rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("odd", ["\u202e a\x85b\u200b\xa0\ue000 \x1b[31m\n\u4e00", "\u202e\ud83d"])
def test_a_line_keeps_characters_that_act_on_a_terminal(tmp_path, capfd, odd):
    response = f"{odd} \\boxed{{1}}"
    path = write(tmp_path / "answers.jsonl", {"gold": "1", "response": response})
    status, out, _ = run(capfd, "verify", path, "--verifier", "integer")
    assert status == 0
    assert out.rstrip("\n").isprintable()
    assert json.loads(out)["response"] == response


def test_verify_answers_in_order_and_keeps_the_line(tmp_path, capfd):
    path = write(
        tmp_path / "answers.jsonl",
        {"gold": "1/2", "response": r"So it is \boxed{0.5}.", "id": 7},
        {"gold": 12, "response": r"\boxed{13}"},
        {"gold": "12", "response": "I do not know"},
        {"gold": r"\sqrt{8}", "response": r"\boxed{2\sqrt2}", "question": "?"},
    )
    status, out, err = run(capfd, "verify", path)
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [(row["correct"], row["status"]) for row in rows] == [
        (True, "correct"),
        (False, "wrong"),
        (False, "no_answer"),
        (True, "correct"),
    ]
    assert rows[0]["id"] == 7
    assert (rows[0]["answer"], rows[0]["normal"], rows[0]["reason"]) == ("0.5", "1/2", "exact")
    assert "4 completions: correct 2" in err
    assert "accuracy 50.0%" in err


def test_bad_lines_are_named_and_the_rest_is_judged(tmp_path, capfd):
    path = write(
        tmp_path / "answers.jsonl",
        {"gold": "5", "response": r"\boxed{5}"},
        "no json\n",
        "\n",
        {"gold": "5"},
        "[1, 2]\n",
        {"gold": None, "response": "5"},
        {"gold": "5", "response": 5},
        {"gold": "5", "response": "\ud800 \\boxed{5}"},
    )
    status, out, err = run(capfd, "verify", path, "--json")
    assert status == 1
    assert [json.loads(line)["correct"] for line in out.splitlines()] == [True, True]
    complaints = [line for line in err.splitlines() if ", line " in line]
    assert [line.split(", line ")[1].split(":")[0] for line in complaints] == ["2", "4", "5", "6", "7"]
    summary = json.loads(err.splitlines()[-1])
    assert summary["answers"] == 2
    assert summary["bad_lines"] == 5
    assert summary["accuracy"] == 1.0


def test_explain_prints_what_each_stage_made(tmp_path, capfd):
    lines = write(tmp_path / "answers.jsonl", {"gold": "(-\\infty, 5]", "response": "So \\boxed{x < 5}."})
    status, out, _ = run(capfd, "verify", "--explain", lines)
    assert status == 0
    assert out.startswith("wrong (different), gold answer (-\\infty, 5]\n")
    for stage in ("find", "clean", "grammar", "values", "compare", "verdict"):
        assert f" {stage} " in out
    status, out, _ = run(capfd, "verify", "--explain", lines, "--json")
    assert json.loads(out)["trace"][-1].endswith("wrong: different")
    status, _, err = run(capfd, "verify", "--explain", "--verifier", "integer", lines)
    assert (status, "explain" in err) == (2, True)


def test_requests_that_cannot_work(tmp_path, capfd):
    status, _, err = run(capfd, "verify", str(tmp_path / "absent.jsonl"))
    assert status == 2
    assert "absent.jsonl" in err
    status, _, err = run(capfd, "verify", "-", "--verifier", "maths")
    assert status == 2
    assert "did you mean 'math'?" in err
    status, _, err = run(capfd, "verify", "-", "--set", "verifier.forgive=1")
    assert status == 2
    status, _, err = run(capfd, "verify", "-", "--workers", "0")
    assert status == 2
    assert len(err.splitlines()) == 1


def test_a_pipe_is_answered_line_by_line():
    command = [sys.executable, "-c", "import sys; from kgym.cli.main import main; sys.exit(main(['verify', '-']))"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for gold in ("3", "4"):
            process.stdin.write(json.dumps({"gold": gold, "response": rf"\boxed{{{gold}}}"}) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["gold"] == gold
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_a_line_without_an_end_is_refused_and_the_others_are_judged(tmp_path, capfd):
    lines = tmp_path / "lines.jsonl"
    good = b'{"gold": "1", "response": "\\\\boxed{1}"}'
    lines.write_bytes(good + b"\n" + b"x" * 3_000_000 + b"\n" + good)
    status, out, err = run(capfd, "verify", str(lines), "--verifier", "integer", "--max-line", "2")
    assert status == 1
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["correct", "correct"]
    assert "lines.jsonl, line 2: longer than 2 MiB; --max-line takes longer ones" in err
    lines.write_bytes(good[:-1] + b', "note": "' + b"x" * 3_000_000 + b'"}')
    assert run(capfd, "verify", str(lines), "--verifier", "integer")[0] == 0
    assert run(capfd, "verify", str(lines), "--max-line", "0")[0] == 2


def test_a_line_is_read_in_linear_time():
    # each read used to copy the line so far: 64 times as many reads are 64 times as much work, and not 4096
    class Reads:
        def __init__(self, n):
            self.left = n

        def read(self, size):
            self.left -= 1
            return b"x" * 10_000 if self.left >= 0 else b""

    def seconds(n):
        begin = time.process_time()
        ((numbered,),) = list(_batches(Reads(n), 1 << 40))
        assert numbered == (1, b"x" * (10_000 * n))
        return time.process_time() - begin

    seconds(10)
    assert min(seconds(6400) for _ in range(3)) < 1000 * min(seconds(100) for _ in range(3))


PARTIAL = """
from kgym.hookspecs import VerifierInfo, hookimpl
from kgym.options import Options
from kgym.types import Verdict
kgym_api = 1

class HalfOptions(Options):
    credit: float = 0.5

class Half:
    Options = HalfOptions
    def __init__(self, options): self.options = options
    def verify_many(self, items):
        return [Verdict("wrong", "half", partial=self.options.credit) if "half" in item.response
                else Verdict("correct" if item.gold in item.response else "wrong", "text") for item in items]

@hookimpl
def kgym_components():
    yield VerifierInfo(name="half", target=f"{__name__}:Half", isolation="none")
"""


def test_partial_credit_is_in_lines_and_summaries(tmp_path, capfd):
    plugin = tmp_path / "half_plugin.py"
    plugin.write_text(PARTIAL)
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps({"gold": "7", "response": text}) + "\n" for text in ("7", "half", "8")))
    status, out, err = run(capfd, "-p", str(plugin), "verify", str(lines), "--verifier", "half")
    assert status == 0
    assert [json.loads(line)["score"] for line in out.splitlines()] == [1.0, 0.5, 0.0]
    assert "accuracy 50.0% of those scored (mean score, with partial credit)" in err
    status, _, err = run(capfd, "-p", str(plugin), "verify", str(lines), "--verifier", "half", "--json")
    assert json.loads(err)["accuracy"] == 0.5
    (tmp_path / "samples").mkdir()
    rows = [row(0, "7", "wrong", None), {**row(1, "half", "wrong", None), "score": 0.5}]
    write_table(
        tmp_path / "samples" / "part-00000.parquet",
        pa.Table.from_pylist([{**each, "gold": "7"} for each in rows], schema=schema()),
    )
    options = ("rescore", str(tmp_path), "--verifier", "half", "--set", "verifier.credit=0.9")
    facts = json.loads(run(capfd, "-p", str(plugin), *options, "--json")[1])
    assert (facts["changed"], facts["rescored"], facts["accuracy_before"], facts["accuracy_now"]) == (1, 1, 0.25, 0.95)
    assert (
        "1 more have another score; accuracy of scored completions 25.0% -> 95.0% (mean score"
        in run(capfd, "-p", str(plugin), *options)[1]
    )


def row(attempt, text, status, answer):
    base = {
        "problem_id": "p/1",
        "level": 0,
        "subject": "",
        "question": "",
        "gold": r"\frac{1}{2}",
        "normal": None,
        "reason": "",
    }
    rest = {"score": 0.0, "reward": 0.0, "tokens": 1, "finish_reason": "stop", "truncated": False, "trainable": True}
    versions = {"first_version": 0, "last_version": 0, "verify_s": 0.0}
    return base | rest | versions | {"attempt": attempt, "text": text, "status": status, "answer": answer}


def test_rescore_shows_what_changes(tmp_path, capfd):
    (tmp_path / "samples").mkdir()
    rows = [
        row(0, r"\boxed{0.5}", "no_answer", None),
        row(1, r"\boxed{1}", "wrong", "1"),
        row(2, r"\boxed{2/4}", "no_answer", None),
    ]
    write_table(tmp_path / "samples" / "part-00000.parquet", pa.Table.from_pylist(rows, schema=schema()))
    status, out, _ = run(capfd, "rescore", str(tmp_path), "--verifier", "math", "--json")
    facts = json.loads(out)
    assert status == 0
    assert (facts["answers"], facts["changed"], facts["accuracy_before"]) == (3, 2, 0.0)
    assert facts["accuracy_now"] == pytest.approx(2 / 3)
    (change,) = facts["changes"]
    assert (change["before"], change["now"], change["answers"]) == ("no_answer", "correct", 2)
    assert [example["answer_now"] for example in change["examples"]] == ["0.5", "2/4"]
    status, out, _ = run(capfd, "rescore", str(tmp_path), "--verifier", "math")
    assert "3 completions judged by math: 2 verdicts change; accuracy of scored completions 0.0% -> 66.7%" in out
    status, _, err = run(capfd, "rescore", str(tmp_path / "samples"), "--verifier", "math")
    assert status == 2
    assert "has Parquet files of kgym" in err


def test_rescore_leaves_completions_that_no_verifier_judged(tmp_path, capfd):
    """Under the rule `zero` a completion that a budget ended is wrong, also with the right answer in a box."""
    (tmp_path / "samples").mkdir()
    cut = {"finish_reason": "length", "truncated": True}
    rows = [
        row(0, r"\boxed{1/2} and", "wrong", None) | cut | {"reason": "truncated"},
        row(1, r"\boxed{1/2} \boxed{1/2}", "wrong", None) | cut | {"reason": "repetition"},
        row(2, r"\boxed{1/2} and", "wrong", None) | cut | {"reason": "different"},  # judged, under the rule `score`
    ]
    write_table(tmp_path / "samples" / "part-00000.parquet", pa.Table.from_pylist(rows, schema=schema()))
    _, out, _ = run(capfd, "rescore", str(tmp_path), "--verifier", "math", "--json")
    facts = json.loads(out)
    assert (facts["answers"], facts["changed"]) == (3, 1)
    assert [example["attempt"] for change in facts["changes"] for example in change["examples"]] == [2]
    assert facts["accuracy_now"] == pytest.approx(1 / 3)


def test_trl_reward_funcs():
    reward = trl_reward()
    assert reward.__name__ == "kgym_reward", "TRL logs rewards by the function's name"
    assert inspect.signature(reward).parameters["columns"].kind is inspect.Parameter.VAR_KEYWORD, (
        "TRL passes every column"
    )
    chats = [[{"role": "assistant", "content": r"\boxed{0.5}"}], [{"role": "assistant", "content": "hm"}]]
    arguments = {"completion_ids": [[1], [2]], "trainer_state": None, "answer": ["1/2", "1/2"]}
    assert reward(prompts=[[{"role": "user", "content": "?"}]] * 2, completions=chats, **arguments) == [1.0, 0.0]
    assert trl_reward(gold="key")(completions=[r"\boxed{7}"], key=["7"], answer=["8"]) == [1.0]
    with pytest.raises(ValueError, match="no column of gold answers"):
        reward(completions=["5"], topic=["x"])


def test_an_unscored_answer_is_none_for_trl_and_flagged_for_verl():
    assert trl_reward()(completions=[r"\boxed{7}"], answer=[""]) == [None], "an empty gold answer cannot be judged"
    flagged = compute_score("math", r"\boxed{7}", "")
    assert (flagged["score"], flagged["unscored"]) == (0.0, 1.0)


def test_verl_compute_score():
    assert list(inspect.signature(compute_score).parameters)[:4] == [
        "data_source",
        "solution_str",
        "ground_truth",
        "extra_info",
    ]
    right = compute_score(
        data_source="math_dapo", solution_str=r"Answer: $\frac{1}{2}$", ground_truth="0.5", extra_info={"index": 0}
    )
    assert (right["score"], right["acc"], right["unscored"], right["pred"]) == (1.0, 1.0, 0.0, r"$\frac{1}{2}$")
    wrong = compute_score("aime", r"\boxed{73}", ["074"], None, verifier="integer")
    assert (wrong["score"], wrong.keys()) == (0.0, right.keys())


def test_verl_reward_loop_and_batch_manager():
    # the reward loop calls by keyword, in an executor's thread, and passes a reward model's address and tokenizer along
    extra = {"question": "Compute $3 \\times 4$.", "num_turns": 2, "rollout_reward_scores": {}}
    found = compute_score(
        data_source="d",
        solution_str=r"\boxed{12}",
        ground_truth="12",
        extra_info=extra,
        reward_router_address=None,
        reward_model_tokenizer=None,
    )
    assert found["score"] == 1.0
    assert compute_score("d", r"\boxed{3 \times 4}", "12", extra)["score"] == 0.0, "the question copied is no answer"
    assert not inspect.iscoroutinefunction(compute_score), "a synchronous function is given to an executor"
    batch = compute_score_batch(
        data_sources=["d", "d"],
        solution_strs=[r"\boxed{1}", r"\boxed{2}"],
        ground_truths=["1", "1"],
        extra_infos=[{}, None],
    )
    assert [result["score"] for result in batch] == [1.0, 0.0]


def test_verifiers_task_reward():
    reward = verifiers_task_reward()
    assert list(inspect.signature(reward).parameters) == ["task", "trace"], "verifiers passes arguments by these names"
    row = SimpleNamespace(prompt="What is 1/2?", answer="1/2")
    trace = SimpleNamespace(last_reply=r"\boxed{0.5}", info={})
    assert asyncio.run(reward(task=row, trace=trace)) == 1.0
    assert trace.info["kgym_verdict"] == "correct"

    class Task:
        data = row
        correct = reward

    assert asyncio.run(Task().correct(trace=SimpleNamespace(last_reply="no idea", info={}))) == 0.0


def test_verifiers_reward():
    reward = verifiers_reward()
    assert {"completion", "answer", "state"} <= set(inspect.signature(reward).parameters)
    assert inspect.iscoroutinefunction(reward)
    state = {}
    completion = [{"role": "assistant", "content": r"\boxed{\frac{2}{\sqrt{2}}}"}]
    assert (
        asyncio.run(reward(completion=completion, answer=r"\sqrt{2}", state=state, prompt=[], task="math", info={}))
        == 1.0
    )
    assert state["kgym_verdict"] == "correct"
    assert asyncio.run(reward(completion="no idea", answer="3")) == 0.0


def test_text_of_a_completion():
    assert text_of([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]) == "b"
    assert (
        text_of([{"role": "assistant", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]}])
        == "bc"
    )
    assert text_of([{"role": "assistant", "content": None}]) == ""
    assert text_of([]) == ""
