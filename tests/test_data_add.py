"""`kgym data add`: where data are from, names, requests that cannot be met, named columns, gold answers that cannot be
right, and sizes.
"""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kgym  # noqa: F401  (registers the environments)
from kgym.cli.main import main
from kgym.data.sources import data_source
from test_data_layouts import LAYOUTS, add, chat, folder, write

__all__ = ["add", "folder"]  # fixtures

# --- where it is from


def test_provenance_is_kept_and_shown(add, tmp_path, capsys):
    file = write(tmp_path / "x.jsonl", LAYOUTS["math-ai/aime25"].rows)
    add("aime25", file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert main(["data", "show", "aime25", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    (place,) = facts["provenance"]["sources"]
    assert place == {"source": str(file), "revision": None, "files": [{"name": "x.jsonl", "sha256": digest}]}
    assert set(facts["provenance"]) == {"sources", "date", "kgym_version"}
    assert main(["data", "show", "aime25"]) == 0
    out = capsys.readouterr().out
    assert f"sha256 {digest}" in out
    assert facts["sha256"] in out


def test_where_it_is_from_does_not_change_what_it_is(add, tmp_path):
    one = add("aime24", write(tmp_path / "one.jsonl", LAYOUTS["evalchemy"].rows))[1]
    other = add("aime24", write(tmp_path / "other.parquet", LAYOUTS["Maxwell-Jia/AIME_2024"].rows))[1]
    assert one["sha256"] == other["sha256"]


# --- names


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["My set.v2.jsonl"], "My-set-v2"),
        (["mine", "My set.v2.jsonl"], "mine"),
        (["./repo"], "repo"),
        (["repo/"], "repo"),
    ],
)
def test_a_file_alone_is_named_after_itself(add, tmp_path, monkeypatch, arguments, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "My set.v2.jsonl", [{"problem": "Q", "answer": "1"}])
    write(tmp_path / "repo" / "train.jsonl", [{"problem": "Q", "answer": "1"}])
    assert add(*arguments)[1]["name"] == name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["mine"],
            "'mine' is not the name of a known data set (aime24, aime25, aime26, hmmt_feb25, hmmt_nov25, math500, "
            "gsm8k); give its FILE or hub:OWNER/NAME as well",
        ),
        (["aime24", "x.jsonl", "--split", "test"], "--config and --split choose within a repository"),
        (["aime24", "x.jsonl", "--revision", "main"], "--revision main needs one repository on the hub"),
        (["aime24", "hub:a/b", "hub:a/c", "--revision", "main"], "--revision main needs one repository on the hub"),
        (["aime24", "none.jsonl"], "the file none.jsonl does not exist"),
        (["a b", "x.jsonl"], "data set name 'a b'"),
    ],
)
def test_requests_that_cannot_be_met_are_one_line(add, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = add(*arguments)
    assert (status, out) == (2, None)
    assert message in err
    assert len(err.splitlines()) == 1


def test_without_the_hub_it_says_what_to_do(add):
    status, _, err = add("math500")  # HF_HUB_OFFLINE is set in tests
    assert status == 2
    assert "HuggingFaceH4/MATH-500 is not in the cache of the hub, and HF_HUB_OFFLINE is set" in err
    assert "hf download --repo-type dataset HuggingFaceH4/MATH-500" in err


# --- more layouts, named columns, gold answers that cannot be right, and how much


def sums(n=3):
    return [(f"What is {i}+{i}?", str(2 * i)) for i in range(1, n + 1)]


def boxed(text):
    return rf"It is \boxed{{{text}}}."


def turns(asked, said, keys=("role", "content"), names=("user", "assistant")):
    return [dict(zip(keys, (name, text), strict=True)) for name, text in zip(names, (asked, said), strict=True)]


MORE = {
    "label": lambda q, a: {"prompt": q, "label": a},
    "gt_answer": lambda q, a: {"problem": q, "gt_answer": a},
    "instruction": lambda q, a: {"instruction": "What is", "input": q.removeprefix("What is "), "output": boxed(a)},
    "response": lambda q, a: {"question": q, "response": boxed(a)},
    "messages": lambda q, a: {"messages": turns(q, boxed(a))},
    "messages as text": lambda q, a: {"messages": json.dumps(turns(q, boxed(a)))},
    "conversations": lambda q, a: {"conversations": turns(q, boxed(a), ("from", "value"), ("human", "gpt"))},
    "reward_model as text": lambda q, a: {
        "prompt": turns(q, "")[:1],
        "reward_model": json.dumps({"ground_truth": a, "style": "rule"}),
    },
    "verification_info": lambda q, a: {"prompt": q, "verification_info": json.dumps({"ground_truth": a})},
    "info": lambda q, a: {"question": q, "info": {"answer": a}},
    "a JSON list": lambda q, a: {"question": q, "answer": json.dumps([a])},
    "a list": lambda q, a: {"question": q, "answer": [a]},
}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("layout", MORE)
def test_more_layouts(add, tmp_path, layout, suffix):
    status, _, err = add("mine", write(tmp_path / f"x.{suffix}", [MORE[layout](*pair) for pair in sums()]))
    assert status == 0, err
    assert [(p.question.replace("\n", " "), p.gold) for p in data_source("mine").problems] == sums()


def test_a_list_in_json_is_unwrapped_with_a_note_and_several_answers_are_refused(add, tmp_path):
    half = {"prompt": chat(1), "reward_model": {"ground_truth": '["\\\\frac{1}{2}"]', "style": "rule"}}
    _, facts, err = add("sky", write(tmp_path / "sky.jsonl", [half]))
    assert data_source("sky").problems[0].gold == r"\frac{1}{2}"
    assert "a JSON list of one text, replaced by the text: 1" in err
    assert facts["refused_golds"] == []
    for several in ('["1", "2"]', ["1", "2"]):
        status, _, err = add("two", write(tmp_path / "two.jsonl", [{"question": "Q", "answer": several}]))
        assert (status, "has 2 gold answers" in err) == (2, True)
    status, _, _ = add("interval", write(tmp_path / "interval.jsonl", [{"question": "Q", "answer": "[1, 2]"}]))
    assert data_source("interval").problems[0].gold == "[1, 2]"


def test_a_list_of_null_is_no_answer(add, tmp_path):
    status, _, err = add("mine", write(tmp_path / "x.jsonl", [{"question": "Q", "answer": [None]}]))
    assert status == 2
    assert "x.jsonl line 1: no answer" in err
    assert add("one", write(tmp_path / "y.jsonl", [{"question": "Q", "answer": [None, "5"]}]))[0] == 0
    assert data_source("one").problems[0].gold == "5"


@pytest.mark.parametrize("column", ["id", "subject", "question", "answer"])
def test_half_of_a_surrogate_pair_is_refused_with_its_line(add, tmp_path, column):
    row = {"id": "1", "question": "Q", "answer": "5", "subject": "algebra"} | {column: "\ud83d"}
    (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
    status, _, err = add("mine", tmp_path / "x.jsonl")
    assert status == 2
    assert "x.jsonl line 1: '\\ud83d' is half of a surrogate pair" in err


def test_one_question_with_two_answers_of_many_digits_is_refused_with_its_line(add, tmp_path):
    rows = [{"question": "Q", "answer": digit * 5000} for digit in "89"]  # Python converts at most 4,300 digits
    status, _, err = add("mine", write(tmp_path / "x.jsonl", rows))
    assert status == 2
    assert "x.jsonl line 2: has the question of x.jsonl line 1 with another answer" in err


def test_columns_may_be_named(add, tmp_path, capsys):
    rows = [{"answer": "of the author", "task": {"text": q}, "result": a} for q, a in sums()]
    file = write(tmp_path / "x.jsonl", rows)
    status, _, err = add("mine", file)
    assert status == 2
    assert "the row has answer, task, result: name one with --question-column" in err
    assert add("mine", file, "--question-column", "task.text", "--answer-column", "result")[0] == 0
    assert [(p.question, p.gold) for p in data_source("mine").problems] == sums()
    assert data_source("mine").provenance["columns"] == {"question": "task.text", "answer": "result"}
    assert main(["data", "show", "mine"]) == 0
    assert "task.text" in capsys.readouterr().out
    status, _, err = add("mine", file, "--question-column", "task.text", "--answer-column", "nowhere")
    assert (status, "no answer; the columns searched are nowhere;" in err) == (2, True)


def test_rows_of_gold_answers_that_are_not_accepted_are_named(add, tmp_path):
    rows = [{"question": q, "answer": a} for q, a in sums()]
    odd = {"And?": "1}{", "Or?": r"\frac{1}{", "Why?": r"\sqrt{", "Then?": r"\text{}"}
    rows[1:1] = [{"question": q, "answer": a} for q, a in odd.items()]
    status, facts, err = add("mine", write(tmp_path / "some.jsonl", rows))
    assert (status, facts["problems"]) == (0, len(rows))
    assert [(row["row"], row["gold"]) for row in facts["refused_golds"]] == [
        (f"some.jsonl line {number}", gold) for number, gold in enumerate(odd.values(), 2)
    ]
    assert (
        "3 of 7 gold answers cannot be read, so every completion of these problems is unscored (verifier math):" in err
    )
    for row in facts["refused_golds"]:
        assert row["verdict"].startswith("unscored:gold") == (row["gold"] != "1}{")
        assert f"{row['row']}: {row['gold']!r} ({row['verdict']})" in err
    status, _, err = add("none", write(tmp_path / "none.jsonl", rows[1:3]))
    assert (
        status,
        "accepts none of the gold answers, such as that of none.jsonl line 1: '1}{'" in err,
        "--answer-column" in err,
    ) == (2, True, True)


def test_gold_answers_that_cannot_be_read_come_first_and_many_are_counted(tmp_path, monkeypatch, capsys):
    rows = [{"question": f"Q{n}", "answer": answer} for n, answer in enumerate(["7", *["1}{"] * 12, "half"])]
    plugin, file = tmp_path / "picky.py", write(tmp_path / "x.jsonl", rows)
    plugin.write_text(PICKY)
    monkeypatch.setattr("kgym.cli.data.VERIFIER", "picky")
    assert main(["-p", str(plugin), "data", "add", "mine", str(file), "--json"]) == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    lines = err.splitlines()
    assert lines[0] == (
        "kgym: warning: 1 of 14 gold answers cannot be read, so every completion of these problems is unscored "
        "(verifier picky):"
    )
    assert lines[1] == "kgym:   x.jsonl line 14: 'half' (unscored:gold: no number)"
    assert lines[2].startswith("kgym: warning: 12 of 14 gold answers are not accepted as answers to their own problems")
    assert lines[-1] == "kgym:   and 2 more; --json lists all"
    assert len(facts["refused_golds"]) == 13


def test_other_problems_under_a_known_name_are_compared(add, tmp_path):
    rows = [{"question": q, "answer": a} for q, a in sums()]
    assert add("mine", write(tmp_path / "one.jsonl", rows))[0] == 0
    mirror = [
        rows[0] | {"question": rows[0]["question"].replace(" ", "  ")},
        rows[1] | {"answer": "385"},
        {"question": "And?", "answer": "1"},
    ]
    file = write(tmp_path / "mirror.jsonl", mirror)
    status, _, err = add("mine", file)
    said = (
        "2 of 3 questions are in both; 1 of them with another answer, such as mirror.jsonl line 2: "
        f"'385' instead of {rows[1]['answer']!r}"
    )
    assert (status, f"{said}; 1 are new, such as mirror.jsonl line 3; --replace replaces it" in err) == (
        2,
        True,
    )
    status, _, err = add("mine", file, "--replace")
    assert (status, f"instead of {len(rows)} other problems: {said}" in err) == (0, True)
    assert "instead of" not in add("mine", file)[2]


@pytest.mark.parametrize(
    ("question", "gives_away"),
    [
        (r"What is $10+1$? $\boxed{11}$", True),
        ("What is 10+1? Answer: 11", True),
        ("What is 10+1? The answer is $11$.", True),
        ("What is 10+1? **Answer:** 11", True),
        ("What is 10+1?", False),
        ("What is 10+1? The answer is 111.", False),
        ("What is 10+1? The answer is 11.5 rounded.", False),
        ("What is 10+1? The answer is 11/3.", False),
        (r"What is 11 - 0? Answer in \boxed{}.", False),
    ],
)
def test_questions_that_contain_their_answer_are_named(add, tmp_path, question, gives_away):
    rows = [{"question": q, "answer": a} for q, a in sums()] + [{"question": question, "answer": "11"}]
    _, facts, err = add("mine", write(tmp_path / "x.jsonl", rows))
    named = [f"x.jsonl line {len(rows)}"] if gives_away else []
    assert facts["give_away"] == named
    assert (f"warning: questions that contain their own answer: {', '.join(named)}" in err) == gives_away


PICKY = """
from kgym.hookspecs import VerifierInfo, hookimpl
from kgym.types import Verdict

kgym_api = 1

@hookimpl
def kgym_components():
    yield VerifierInfo(name="picky", target="picky:Picky", summary="digits alone", isolation="none")

class Picky:
    def __init__(self, options):
        pass

    def verify_many(self, items):
        return [self.judge(item.gold) for item in items]

    def judge(self, gold):
        if gold.isalpha():
            return Verdict("unscored", "gold: no number")
        return Verdict("correct" if gold.isdecimal() else "wrong", "digits")
"""


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "json", "parquet"])
def test_files_with_more_text_than_allowed_are_refused_unread(add, tmp_path, suffix):
    rows = [{"question": "word " * 200, "answer": "7"}] * 3000  # 3 MB; a Parquet file of them has a few KB
    file = write(tmp_path / f"x.{suffix}", rows)
    status, _, err = add("mine", file, "--max-gib", "0.002")
    assert (status, "more than 0.002 GiB of text, unpacked; allow more with --max-gib" in err) == (2, True)
    assert add("mine", file, "--max-gib", "0.01")[1]["problems"] == 1
    assert add("mine", file, file, "--max-gib", "0.004")[0] == 2  # together


def test_a_long_name_is_refused(add, tmp_path):
    status, _, err = add("x" * 300, write(tmp_path / "x.jsonl", [{"question": "Q", "answer": "1"}]))
    assert (status, "at most 100 characters" in err, len(err) < 200) == (2, True, True)


def test_very_many_repeated_rows_are_counted_and_few_are_told(add, tmp_path):
    _, facts, err = add("mine", write(tmp_path / "x.jsonl", [{"question": "Q", "answer": "7"}] * 2500))
    assert len(facts["left_out"]) == 1001
    assert "2499 rows that repeat a question, left out; the first 1000:" in err


def test_a_dictionary_in_a_parquet_file_counts_as_what_it_stands_for(add, tmp_path):
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), pa.array(["word " * 200]))
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"question": words, "answer": pa.array(["7"] * 50_000)}), file)
    assert file.stat().st_size < 100_000
    assert add("mine", file, "--max-gib", "0.01")[0] == 2
