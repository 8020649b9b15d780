"""Problems from files: the layouts that are about, what is refused, and what was stored comes back the same."""

import csv
import doctest
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kgym.data import columns
from kgym.data.cells import Row
from kgym.data.columns import problems_of
from kgym.data.sources import DataSource, FileSource, data_folder, data_path, data_source, save_data
from kgym.errors import ConfigError, DataError, MissingData


def of(*rows, name="set"):
    return problems_of([Row(f"line {number}", row) for number, row in enumerate(rows, 1)], name)[0]


def write_jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# --- columns, in the layouts of the hub

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " Q "},
    {"role": "assistant", "content": "..."},
]


@pytest.mark.parametrize(
    ("row", "question", "gold"),
    [
        ({"id": 60, "problem": "Q", "solution": "so", "answer": "025", "url": "u", "year": "2024"}, "Q", "025"),
        ({"ID": "2024-I-1", "Problem": "Q", "Solution": "so", "Answer": 204}, "Q", "204"),
        ({"id": 1, "problem": "Q", "solution": r"\boxed{204}"}, "Q", "204"),
        ({"problem": "Q", "solution": r"\boxed{1}, at last $\framebox{\frac{1}{2}}$."}, "Q", r"\frac{1}{2}"),
        ({"prompt": CHAT, "reward_model": {"ground_truth": "73", "style": "rule"}}, "Q", "73"),
        ({"prompt": "Q", "reward_model.ground_truth": "73"}, "Q", "73"),
        ({"prompt": [], "extra_info": {"raw_problem": "Q", "index": 3}, "ground_truth": "73"}, "Q", "73"),
        ({"problem_idx": 1, "problem": "Q", "answer": 70, "problem_type": ["Algebra"]}, "Q", "70"),
        ({"question": "Q", "answer": "2+2=4\n#### 4"}, "Q", "4"),
        ({"question": "Q", "solution": "2+2=4\n#### 4"}, "Q", "4"),
        ({"Question": "Q", "Answer": r"\left( 3, \frac{\pi}{2} \right)"}, "Q", r"\left( 3, \frac{\pi}{2} \right)"),
        ({"id": 1, "problem": "Q", "reference_solution": "so", "expected_answer": "73"}, "Q", "73"),
        ({"problem": "Q", "answer": 3.0}, "Q", "3"),
        ({"problem": "Q", "answer": 0.5}, "Q", "0.5"),
        ({"problem": "", "question": "Q", "answer": None, "target": 7}, "Q", "7"),
        ({"problem": "Q", "answer": float("nan"), "solution": r"\fbox{7}"}, "Q", "7"),
    ],
)
def test_question_and_answer_are_found(row, question, gold):
    (problem,) = of(row)
    assert (problem.question, problem.gold) == (question, gold)


def test_the_other_columns():
    row = {
        "unique_id": "test/algebra/1.json",
        "problem": "Q",
        "answer": "1",
        "solution": "S",
        "level": "Level 5",
        "subject": "Algebra",
    }
    (problem,) = of(row)
    assert (problem.id, problem.level, problem.subject, problem.solution) == (
        "set/test/algebra/1.json",
        5,
        "Algebra",
        "S",
    )
    (problem,) = of({"question": "Q", "answer": "2+2=4 #### 4", "type": "sums", "level": "hard"})
    assert (problem.level, problem.subject, problem.solution) == (0, "sums", "2+2=4")
    assert of({"problem": "Q", "answer": "1", "level": 7})[0].level == 7


def test_ids_that_are_no_ids_give_way_to_hashes():
    rows = [
        {"Problem Number": 1, "Question": "Q1", "Answer": 1},
        {"Problem Number": 1, "Question": "Q2", "Answer": 2},
    ]  # examinations I and II
    one, other = of(*rows)
    assert one.id != other.id
    assert of(rows[1], rows[0]) == [other, one]  # of the question alone
    assert of({"question": "Q1", "answer": "1"})[0].id == one.id


def test_a_question_that_stands_there_twice_is_one():
    problems, notes, places = problems_of(
        [Row(f"line {n}", {"id": n, "problem": "Q", "answer": "1"}) for n in (1, 2, 3)], "set"
    )
    assert ([problem.id for problem in problems], places) == (["set/1"], ["line 1"])
    assert notes == ["line 2: the question of line 1 again, left out", "line 3: the question of line 1 again, left out"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"problem": "Q", "answer": "1"}, {"answer": "1"}], r"^line 2: no question"),
        ([{"problem": "Q"}], r"^line 1: no answer"),
        ([{"problem": "Q", "answer": " "}], r"^line 1: no answer"),
        ([{"problem": "Q", "solution": r"\boxed{1} or \boxed{"}], r"^line 1: no answer"),
        (
            [{"problem": "Q", "answer": "1"}, {"problem": "Q", "answer": "2"}],
            r"^line 2: .* of line 1 with another answer, '2' instead of '1'",
        ),
        ([{"problem": {"text": "Q"}, "answer": "1"}], r"^line 1: problem is .* not a text"),
        ([{"problem": "Q", "answer": True}], r"^line 1: answer is true"),
        ([{"problem": "Q\ud800", "answer": "1"}], r"^line 1: '\\ud800' is half of a surrogate"),
        ([{"x": 1}, {"x": 2}, {"x": 3}], r"^line 1: no question.* \(and 2 more bad rows\)"),
    ],
)  # fmt: skip
def test_bad_rows_are_refused_with_their_line(rows, message):
    with pytest.raises(DataError, match=message):
        of(*rows)


def test_examples():
    assert doctest.testmod(columns).failed == 0


# --- files

ROWS = [
    {"id": "a", "problem": "What is\n1,2?", "answer": "012", "level": 3},
    {"id": "b", "problem": "«∑»", "answer": "7", "level": 4},
]


@pytest.fixture
def files(tmp_path):
    write_jsonl(tmp_path / "set.jsonl", *ROWS)
    (tmp_path / "set.json").write_text(json.dumps(ROWS, indent=1))
    with (tmp_path / "set.csv").open("w", newline="", encoding="utf-8-sig") as file:  # as spreadsheets write it
        writer = csv.DictWriter(file, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "set.parquet")
    return tmp_path


def test_every_kind_of_file_has_the_same_problems(files):
    sources = [FileSource(files / f"set.{suffix}") for suffix in ("jsonl", "json", "csv", "parquet")]
    assert sources[0].problems[0].gold == "012"
    assert sources[0].problems[1].question == "«∑»"
    for source in sources[1:]:
        assert source.problems == sources[0].problems
        assert source.fingerprint == sources[0].fingerprint
    assert sources[0].size == 2
    assert sources[0][1].id == "set/b"
    for index in (-1, 2):
        with pytest.raises(IndexError):
            sources[0][index]


def test_files_are_joined(files, tmp_path):
    more = write_jsonl(tmp_path / "more.jsonl", {"id": "c", "problem": "Q", "answer": "1"})
    joined = FileSource(files / "set.csv", more, name="both")
    assert [problem.id for problem in joined.problems] == ["both/a", "both/b", "both/c"]


def test_the_fingerprint_is_of_questions_and_answers(tmp_path):
    base = {"id": "a", "problem": "Q", "answer": "1"}

    def fingerprint(**changes):
        return FileSource(write_jsonl(tmp_path / "x.jsonl", base | changes)).fingerprint

    assert fingerprint() == fingerprint(id="z", solution="because", level=3)
    assert len({fingerprint(), fingerprint(problem="R"), fingerprint(answer="01")}) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"problem": "Q", "answer": "1"}\n\n{"problem": ', r"a\.jsonl line 3: not JSON"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl line 1: a row has to be an object"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl line 1: not JSON"),
        ("a.jsonl", b"\xff\xfe\x00", r"is not UTF-8"),
        ("a.json", b'{"problem": "Q"}', r"is not a list of rows"),
        ("a.csv", b"problem,answer\nQ,1\nR,2,3\n", r"a\.csv line 3: more fields than the 2"),
        ("a.csv", b'problem,answer\n"Q,1\n', r"a\.csv line \d: unexpected end of data"),
        ("a.parquet", b"PAR1 or not", r"is not a Parquet file"),
        ("a.txt", b"", r"known kinds of data files are \.jsonl"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        FileSource(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        FileSource(tmp_path / "a.jsonl")


# --- data sets that were added


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_what_was_put_away_comes_back_the_same(files, folder):
    source = FileSource(files / "set.csv", name="mine")
    path = save_data("mine", source)
    assert path == folder / "mine.parquet"
    assert list(folder.iterdir()) == [path]  # no temporary file is left
    back = data_source("mine")
    assert back.problems == source.problems
    assert back.fingerprint == source.fingerprint


def test_a_data_set_that_is_not_there_says_the_command(folder):
    with pytest.raises(MissingData, match=r"kgym data add aime24 FILE"):
        data_source("aime24")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "-x", "ä"])
def test_names_are_plain_words(folder, name):
    with pytest.raises(ConfigError, match="data set name"):
        data_path(name)


def test_a_changed_file_is_found_out(files, folder):
    path = save_data("mine", FileSource(files / "set.csv", name="mine"))
    table = pq.read_table(path)
    changed = table.set_column(2, "gold", pa.array(["12", "8"])).replace_schema_metadata(table.schema.metadata)
    pq.write_table(changed, path)
    with pytest.raises(DataError, match="add it again"):
        DataSource(path)
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    with pytest.raises(DataError, match="was not written by kgym data add"):
        DataSource(path)


def test_where_data_lies(monkeypatch, tmp_path):
    monkeypatch.delenv("KGYM_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "kgym" / "data"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / ".local" / "share" / "kgym" / "data"
