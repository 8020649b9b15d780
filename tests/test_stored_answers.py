"""One reader of stored completions: old run folders, samples that are stored twice, damaged files."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kgym.cli.main import main
from kgym.errors import DataError
from kgym.runs.answers import BATCH, LATER, answer_batches, answer_files, read_answers
from kgym.runs.episodes import TOKENS, schema, write_episodes
from kgym.supervised_config import PairsConfig
from kgym.train.supervised.comparisons import stored_comparisons
from kgym.types import Episode, Problem, Segment, Verdict

NAMES = ["problem_id", "attempt", "text", "year", "env", "token_ids"]


def rewrite(path, change):
    pq.write_table(change(pq.read_table(path)), path)


def without_later(table):
    return table.drop_columns([name for name in LATER if name in table.column_names])


def in_files(folder, *files, kind="samples/part"):
    """Write files of completions given as (problem, attempt, text, seed)."""
    for number, rows in enumerate(files):
        path = folder / f"{kind}-{number:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_episodes(
            path,
            [
                Episode(
                    Problem(problem, "2+2", "4"),
                    attempt,
                    (),
                    [Segment(text, token_ids=[attempt], engine_logprobs=[-1.0])],
                    Verdict("correct", seconds=number),
                    seed=seed,
                )
                for problem, attempt, text, seed in rows
            ],
        )
    return answer_files(folder)


@pytest.fixture(scope="module")
def runs(tiny_model, tmp_path_factory):
    """A training and an evaluation as an earlier version left them, and the command of the evaluation."""
    root = tmp_path_factory.mktemp("runs")
    small = [
        "rollout.problems_per_step=2",
        "rollout.group_size=2",
        "env.max_tokens=8",
        "eval.problems=2",
        "train.threads=1",
    ]
    train = ["train", "--env", "arithmetic", "--steps", "2", "--model", str(tiny_model), "--set", *small]
    evaluate = [
        "eval",
        "--model",
        str(tiny_model),
        "--bench",
        "arithmetic:validation",
        "--problems",
        "4",
        "--max-tokens",
        "8",
    ]
    assert main([*train, "-q", "--run", str(root / "train")]) == 0
    assert main([*evaluate, "-q", "--run", str(root / "eval")]) == 0
    for path in (*answer_files(root / "train"), *answer_files(root / "eval")):
        rewrite(path, without_later)
    for path in answer_files(root / "train"):  # attempts at one problem, counted from 0 in each step
        rewrite(path, lambda table: table.set_column(0, "problem_id", pa.array(["p"] * 2 + ["q"] * 2)))
    return root, evaluate


def test_every_command_reads_runs_of_earlier_versions(runs, tmp_path, capsys):
    root, evaluate = tmp_path / "runs", runs[1]
    shutil.copytree(runs[0], root)
    for run, n in (("train", 8), ("eval", 4)):
        capsys.readouterr()
        assert main(["rescore", str(root / run), "--verifier", "integer", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["answers"] == n
        assert main(["runs", "view", str(root / run)]) == 0
    assert main(["leaderboard", "compare", str(root / "eval"), str(root / "eval")]) == 0
    before = json.loads((root / "eval/results.json").read_text())
    assert main([*evaluate, "-q", "--run", str(root / "eval")]) == 0
    assert json.loads((root / "eval/results.json").read_text()) | {"run": ""} == before | {"run": ""}
    assert (
        main([*evaluate, "-q", "--samples", "2", "--run", str(root / "eval")]) == 0
    )  # old and new files in one folder
    assert json.loads((root / "eval/results.json").read_text())["n_samples"] == 8
    answers = answer_files(root / "train")[0]
    rewrite(
        answers,
        lambda table: table.set_column(table.column_names.index("score"), "score", pa.array([1.0, 0.0, 1.0, 0.0])),
    )
    rewrite(
        answers,
        lambda table: table.set_column(table.column_names.index("text"), "text", pa.array(["a", "b", "c", "d"])),
    )
    rewrite(
        answers,
        lambda table: table.set_column(table.column_names.index("truncated"), "truncated", pa.array([False] * 4)),
    )
    assert len(stored_comparisons(root / "train", PairsConfig(), seed=0)) == 2


def test_columns_that_an_earlier_version_did_not_store(tmp_path):
    old, new = in_files(tmp_path, [("p", 0, "a", 1)], [("p", 1, "b", 2)])
    rewrite(old, without_later)
    assert read_answers([old, new], NAMES, remedy="-").to_pylist() == [
        {"problem_id": "p", "attempt": 0, "text": "a", "year": 0, "env": "", "token_ids": None},
        {"problem_id": "p", "attempt": 1, "text": "b", "year": 0, "env": "", "token_ids": [1]},
    ]
    assert set(TOKENS) < set(LATER) < set(schema().names)


def test_a_sample_that_is_stored_twice_counts_once(tmp_path):
    rows = [("p", n, str(n), n + 1) for n in range(BATCH + 3)]
    files = in_files(tmp_path, rows[:-1], [*rows[-3:], rows[-1]], rows[2:4])
    table = read_answers(files, ["attempt", "text"], remedy="-")
    assert table["attempt"].to_pylist() == list(range(len(rows)))
    assert table["text"].to_pylist() == [str(n) for n in range(len(rows))]


@pytest.mark.parametrize("kind", ["samples/part", "episodes/step"])
def test_two_answers_under_one_number_are_refused(tmp_path, kind):
    first, second = in_files(tmp_path, [("p", 0, "a", 5)], [("q", 0, "a", 6), ("p", 0, "b", 5)], kind=kind)
    with pytest.raises(DataError) as error:
        read_answers([first, second], ["problem_id"], remedy="remove it")
    assert str(error.value) == f"{second}: attempt 0 at p is also in {first}, and differs in text; remove it"
    (only,) = in_files(tmp_path / "episodes", [("p", 0, "a", 5), ("p", 0, "b", 5)])
    with pytest.raises(DataError, match="attempt 0 at p is twice, and differs in text"):
        read_answers([only], ["problem_id"], remedy="remove it")


def test_two_answers_under_one_number_end_a_command_in_one_line(runs, tmp_path, capsys):
    run = tmp_path / "eval"
    shutil.copytree(runs[0] / "eval", run)
    (part,) = answer_files(run)
    other = run / "samples" / "part-00007.parquet"
    shutil.copy(part, other)
    rewrite(other, lambda table: table.set_column(table.column_names.index("text"), "text", pa.array(["x"] * 4)))
    for command in (["runs", "view", run], ["rescore", run, "--verifier", "integer"], [*runs[1], "--run", run]):
        assert main([str(word) for word in command]) == 2
        err = capsys.readouterr().err
        assert f"kgym: error: {other}: attempt 0 at " in err
        assert "differs in text; remove it" in err


def test_steps_of_an_earlier_version_tell_their_attempts_apart(tmp_path):
    files = in_files(tmp_path, [("p", 0, "a", 0)], [("p", 0, "b", 0)], [("p", 0, "a", 0)], kind="episodes/step")
    assert read_answers(files, ["text"], remedy="-")["text"].to_pylist() == ["a", "b", "a"]


def test_rows_without_a_number_are_samples_of_their_own(tmp_path):
    (path,) = in_files(tmp_path, [("p", 0, "a", 0), ("p", 1, "a", 0)])
    rewrite(path, lambda table: table.drop_columns(["attempt"]))
    assert read_answers([path], ["text"], remedy="-")["text"].to_pylist() == ["a", "a"]
    with pytest.raises(DataError, match="no column attempt"):
        read_answers([path], ["attempt"], remedy="-")


def test_token_lists_are_not_read_for_other_columns(tmp_path):
    """Their pages are overwritten: anyone who reads them fails."""
    (path,) = in_files(tmp_path, [("p", n, "a", 0) for n in range(100)])
    group = pq.ParquetFile(path).metadata.row_group(0)
    broken = bytearray(path.read_bytes())
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema.split(".")[0] in TOKENS:
            start = column.dictionary_page_offset or column.data_page_offset
            broken[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(broken)
    small = [name for name in schema().names if name not in TOKENS]
    assert len(read_answers([path], small, remedy="-")) == 100
    with pytest.raises(DataError, match=r"part-00000\.parquet is damaged"):
        read_answers([path], ["token_ids"], remedy="-")


def test_without_a_damaged_file_the_others_are_read(tmp_path):
    good, bad = in_files(tmp_path, [("p", 0, "a", 0)], [("p", n, "a", 0) for n in range(1, 9)])
    bad.write_bytes(bad.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"part-00001\.parquet is damaged .*; remove it"):
        list(answer_batches([good, bad], ["text"], remedy="remove it"))
    bad.unlink()
    assert len(read_answers(answer_files(tmp_path), ["text"], remedy="-")) == 1
