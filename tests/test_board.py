"""Leaderboard files: what is written is what is read, by us, by pandas and by spreadsheets."""

import csv
import json
import multiprocessing
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.board import table
from kgym.board.schema import PUBLISHED, RESULTS
from kgym.board.standings import published_rows
from kgym.board.table import Board, append_row, format_board, parse_board, read_board
from kgym.cli.main import main
from kgym.data.known import known_sets
from kgym.errors import ConfigError, DataError, RunError
from kgym.neutral import for_markdown, for_spreadsheet, from_spreadsheet, printable
from kgym.options import Options
from kgym_plugins.exporters.csv import CsvExporter
from kgym_plugins.exporters.json import JsonExporter
from kgym_plugins.exporters.markdown import MarkdownExporter
from kgym_plugins.exporters.plot import PlotExporter, PlotOptions

ROOT = Path(__file__).parent.parent
CELL = {"int": 7, "float": 0.4125, "text": "nano"}


def row(**cells):
    return {column.name: CELL[column.type] for column in RESULTS.columns} | {"schema_version": RESULTS.version} | cells


def test_a_row_comes_back_as_it_was(tmp_path):
    board = tmp_path / "board.csv"
    added = row(stderr=None, note='a, b; "c"', model="=1+1")
    assert append_row(board, added)
    assert read_board(str(board)) == Board(RESULTS, [added])


@pytest.mark.parametrize("version", range(1, RESULTS.version))
def test_a_board_of_an_earlier_version_is_read_and_goes_on_as_one_of_this(tmp_path, version):
    board = tmp_path / "board.csv"
    old = {name: cell for name, cell in row().items() if name in RESULTS.names_of(version)} | {
        "schema_version": version
    }
    assert len(old) < len(RESULTS.names)
    pd.DataFrame([old]).to_csv(board, index=False)
    assert read_board(str(board)).rows == [dict.fromkeys(RESULTS.names) | old | {"schema_version": RESULTS.version}]
    append_row(board, row())
    assert [line["maj_at_k_stderr"] for line in read_board(str(board)).rows] == [None, CELL["float"]]
    assert pd.read_csv(board)["schema_version"].tolist() == [RESULTS.version] * 2


def test_the_same_row_is_added_once(tmp_path):
    board = tmp_path / "board.csv"
    assert append_row(board, row(accuracy=1 / 3))
    assert not append_row(board, row(accuracy=1 / 3))
    assert append_row(board, row(accuracy=2 / 3))
    assert len(read_board(str(board)).rows) == 2


def test_pandas_reads_the_file_as_it_is(tmp_path):
    board = tmp_path / "board.csv"
    append_row(board, row(pass_at_k=json.dumps({"1": 0.4, "4": 0.7}), stderr=None))
    frame = pd.read_csv(board)
    assert list(frame.columns) == RESULTS.names
    assert frame["accuracy"].dtype == "float64"
    assert frame["n_problems"].dtype == "int64"
    assert pd.isna(frame["stderr"][0])
    assert json.loads(frame["pass_at_k"][0])["4"] == 0.7


@given(st.text())
def test_no_cell_begins_like_a_formula(text):
    cell = for_spreadsheet(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert "\n" not in cell
    assert "\r" not in cell


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@given(text=st.text(alphabet=st.sampled_from(";=+-@'\" ,\tx1\n＝"), max_size=12))
def test_no_separator_of_a_spreadsheet_begins_a_formula(separator, text):
    line = CsvExporter(Options())([{"model": "m", "note": text, "last": 1}]).splitlines()[1]
    for cell in next(csv.reader([line], delimiter=separator)):
        assert not cell.strip().startswith(("=", "+", "-", "@", "＝"))


@given(st.text(alphabet=st.sampled_from(";=+-@'\"x1＝")))
def test_a_cell_of_a_spreadsheet_gives_its_text_back(text):
    assert from_spreadsheet(for_spreadsheet(text)) == text


def test_a_semicolon_before_a_formula_is_neutralised():
    assert for_spreadsheet('x;=HYPERLINK("http://x")') == 'x;\'=HYPERLINK("http://x")'


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])))
def test_neutral_text_comes_back(text):
    (back,) = parse_board(format_board(Board(RESULTS, [row(note=text)])), "text").rows
    assert back["note"] == text


@given(st.text())
def test_the_csv_exporter_and_the_board_neutralise_alike(text):
    exported = CsvExporter(Options())([row(note=text)])
    (_, cells) = csv.reader(exported.splitlines())
    assert cells[-1] == for_spreadsheet(text)


def test_markdown_escapes_what_would_break_the_table():
    text = MarkdownExporter(Options())([row(model="a|b\n<script>", accuracy=0.4125, comparability="0123456789abcdef")])
    header, rule, cells = text.splitlines()
    assert header.count("|") == rule.count("|") == cells.replace("\\|", "").count("|")
    assert "a\\|b &lt;script&gt;" in cells
    assert "| 41.2% |" in cells
    assert "| 0123456789ab |" in cells


def test_markdown_has_no_link_no_picture_and_no_mention():
    for text in (
        "[x](javascript:alert(1))",
        "![x](http://evil/x.png)",
        "http://evil",
        "www.evil.org",
        "@someone",
        "$x$",
        "*b* _i_ `c`",
    ):
        shown = for_markdown(text)
        bare = re.sub(r"\\.", "", shown)
        assert not re.search(r"[\[\]!*_`@$]|://|www\.", bare), shown
        assert re.sub(r"\\(.)", r"\1", shown) == text


@given(st.text())
def test_nothing_that_acts_on_a_terminal_is_left(text):
    assert all(c.isprintable() or c in "\n\t" for c in printable(text))


def test_a_long_board_is_appended_to_without_reading_the_rows_of_others(tmp_path, monkeypatch):
    board = tmp_path / "board.csv"
    board.write_text(format_board(Board(RESULTS, [row(model=f"m{number}") for number in range(500)])))
    read = []
    monkeypatch.setattr(
        "kgym.board.table._parse_row", lambda *args, real=table._parse_row: read.append(args[3]) or real(*args)
    )
    assert append_row(board, row(model="new"))
    assert not append_row(board, row(model="new"))
    assert len(read) <= 3
    monkeypatch.undo()
    assert [line["model"] for line in read_board(str(board)).rows] == [*(f"m{number}" for number in range(500)), "new"]


def test_a_board_that_was_edited_is_appended_to(tmp_path):
    board = tmp_path / "board.csv"
    append_row(board, row(model="one"))
    board.write_bytes(board.read_bytes().rstrip(b"\n").replace(b"\n", b"\r\n"))  # as an editor on Windows may leave it
    assert append_row(board, row(model="two"))
    assert not append_row(board, row(model="one"))
    assert [line["model"] for line in read_board(str(board)).rows] == ["one", "two"]


def test_json_has_null_for_what_could_not_be_computed():
    assert json.loads(JsonExporter(Options())([{"stderr": float("nan"), "model": "ü"}])) == [
        {"stderr": None, "model": "ü"}
    ]


def _append_many(path, writer):
    for number in range(10):
        append_row(Path(path), row(note=f"{writer}/{number}"))


def test_two_writers_lose_nothing(tmp_path):
    board = tmp_path / "board.csv"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(board, writer)) for writer in range(2)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert {line["note"] for line in read_board(str(board)).rows} == {
        f"{writer}/{number}" for writer in range(2) for number in range(10)
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "not a leaderboard"),
        ("", "not a leaderboard"),
        ("\n\na,b\n", "not a leaderboard"),
        ("schema_version,new\n9,x\n", "schema version 9"),
        (",".join(RESULTS.names) + "\n1,2\n", "line 2: 2 cells"),
        (
            format_board(Board(RESULTS, [row()])).replace("0.4125", "many", 1),
            "accuracy is 'many', which is not of type float",
        ),
        (format_board(Board(RESULTS, [row()])).replace(f"\n{RESULTS.version},", "\n9,", 1), "schema version 9"),
        ('"open\n', "not a CSV file"),
    ],
)
def test_what_is_no_board_is_refused(tmp_path, text, message):
    path = tmp_path / "board.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_board(str(path))
    if text:
        with pytest.raises(DataError):
            append_row(path, row())
        assert path.read_text() == text


def test_an_absent_board_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="kgym eval"):
        read_board(str(tmp_path / "board.csv"))
    with pytest.raises(ConfigError, match="'published'"):
        read_board("kgym_bords:published")


def test_a_row_with_another_column_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="acuracy"):
        append_row(tmp_path / "board.csv", row(acuracy=1.0))


def test_a_board_that_cannot_be_written(tmp_path):
    with pytest.raises(RunError, match="--board"):
        append_row(Path("/proc/board.csv"), row())


def test_results_do_not_go_among_published_figures(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(",".join(PUBLISHED.names) + "\n")
    with pytest.raises(DataError, match="need a separate file"):
        append_row(path, row())


def test_packaged_boards_are_boards():
    assert read_board("kgym_boards:results").schema is RESULTS
    published = read_board("kgym_boards:published")
    assert published.schema is PUBLISHED
    for name in ("results", "published"):  # in the one form that we write
        path = ROOT / f"leaderboards/kgym_boards/{name}.csv"
        assert format_board(read_board(str(path))) == path.read_text()


def test_published_figures_keep_the_two_models_of_k15_apart():
    figures = {
        (line["model"], line["benchmark"]): line["figure"]
        for line in read_board("kgym_boards:published").rows
        if line["model"].startswith("Kimi k1.5")
    }
    assert figures == {
        ("Kimi k1.5 long-CoT", "aime24"): 77.5,
        ("Kimi k1.5 long-CoT", "math500"): 96.2,
        ("Kimi k1.5 short-CoT", "aime24"): 60.8,
        ("Kimi k1.5 short-CoT", "math500"): 94.6,
    }


@pytest.mark.parametrize("schema", [RESULTS, PUBLISHED], ids=lambda schema: schema.name)
def test_columns_are_documented(schema):
    page = (ROOT / "docs/leaderboard.md").read_text()
    lines = [f"| `{column.name}` | {column.type} | {column.summary} |" for column in schema.columns]
    assert "\n".join(lines) in page


def test_every_published_figure_has_a_source_and_a_protocol():
    for line in read_board("kgym_boards:published").rows:
        assert line["source"]
        assert line["protocol"]
        assert 0 <= line["figure"] <= 100
        assert line["benchmark"] in known_sets()
        assert line["n_problems"] == known_sets()[line["benchmark"]].problems
        assert all(address.startswith("https://") for address in line["url"].split("; "))
        assert re.fullmatch(r"20\d\d(-\d\d){0,2}", line["date"])


def test_a_published_figure_stands_once_with_the_protocol_of_its_own_source():
    rows = read_board("kgym_boards:published").rows
    keys = [(line["model"], line["benchmark"], line["metric"], line["source"]) for line in rows]
    assert len(set(keys)) == len(keys)
    for line in rows:
        if line["source"].startswith("Qwen3 report"):
            assert "table" in line["source"]
            assert "4 to 64 answers" not in line["protocol"]  # that is DeepSeek-R1's
            assert ("38,912" in line["protocol"]) <= line["benchmark"].startswith("aime")  # of AIME alone
    (version,) = {line["model"] for line in rows if line["figure"] == 7.6}
    assert version == "GPT-4o (2024-11-20)"


def test_a_reader_sees_what_30_problems_carry(capsys):
    assert main(["leaderboard", "show", "--board", "kgym_boards:published", "--model", "Kimi k1.5 long-CoT"]) == 0
    out = capsys.readouterr().out
    assert "60 to 89" in out  # Wilson's interval of 77.5 % of 30; of 96.2 % of 500 it is 94 to 98
    assert "94 to 98" in out
    assert "± 10 to 17 points" in out
    of = ["leaderboard", "export", "--board", "kgym_boards:published", "--model", "Kimi k1.5 long-CoT"]
    assert main([*of, "--format", "html"]) == 0
    page = capsys.readouterr().out
    assert "60–89" in page
    assert "± 10 to 17 points" in page
    assert main([*of, "--format", "plot"]) == 0
    rows = [row for row in read_board("kgym_boards:published").rows if row["model"] == "Kimi k1.5 long-CoT"]
    assert (
        capsys.readouterr().out
        == PlotExporter(PlotOptions())(published_rows(rows))
        != PlotExporter(PlotOptions())(rows)
    )


def test_a_published_board_of_the_first_version_is_read_and_shown(tmp_path, capsys):
    old = {name: CELL[column.type] for column in PUBLISHED.columns for name in [column.name] if column.since == 1} | {
        "schema_version": 1
    }
    pd.DataFrame([old]).to_csv(tmp_path / "old.csv", index=False)
    assert main(["leaderboard", "show", "--board", str(tmp_path / "old.csv")]) == 0
    assert main(["leaderboard", "export", "--board", str(tmp_path / "old.csv"), "--format", "html"]) == 0
    assert "Published figures" in capsys.readouterr().out
