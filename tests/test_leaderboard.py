"""`kgym leaderboard`: rows from anywhere, tables that keep apart what cannot be compared, and formats for papers and
other harnesses.
"""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kgym.board.rows import result_row
from kgym.board.schema import PUBLISHED, RESULTS
from kgym.board.standings import MOST_RANKED, blocks_of, ranked_rows
from kgym.board.table import Board, append_row, format_board, read_board
from kgym.cli.main import main
from kgym.score.evaluating import shortened
from kgym.score.results import EvalResult
from kgym_plugins.exporters.latex import LatexExporter, escape
from kgym_plugins.exporters.plot import PlotExporter, PlotOptions

FACTS = {
    "env_id": "kgym/aime-v1",
    "split": "validation",
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "max_tokens": 512,
    "truncated": "zero",
    "verifier": "integer",
    "data_sha256": "ab",
    "prompt_sha256": "p0",
    "n_problems": 60,
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluation(place, name, *, solved, seed=0, facts=FACTS, comparability="c0ffee" * 10):
    """A run folder with 60 problems of which so many are solved, whichever the seed says."""
    order = np.random.default_rng(seed).permutation(60)
    scores = {f"p{i}": float(i in set(order[:solved].tolist())) for i in range(60)}
    accuracy = solved / 60
    result = EvalResult(
        accuracy=accuracy,
        stderr=float(np.std(list(scores.values()), ddof=1) / 60**0.5),
        n_problems=60,
        n_scored_problems=60,
        samples=1,
        n_samples=60,
        truncated_frac=0.0,
        unscored_frac=0.0,
        no_answer_frac=0.0,
        tokens_mean=100.0,
        pass_at_k={"1": accuracy},
        by_level={},
        by_subject={},
        scores=scores,
        facts=facts,
        comparability=comparability,
        interval=(max(0.0, accuracy - 0.12), min(1.0, accuracy + 0.12)),
    )
    about = {
        "date": "2026-11-23",
        "model": name,
        "benchmark": "aime-style",
        "engine": "transformers",
        "kgym_version": "0.1",
    }
    about |= {"seed": seed, "run": name, "note": ""}
    (place / name).mkdir()
    (place / name / "results.json").write_text(json.dumps(result.to_json() | about))
    return result_row(result, about)


def run_json(capsys, *arguments):
    status = main([*arguments, "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return json.loads(captured.out)


# --- add


def test_add_makes_the_row_of_the_run(place, capsys):
    row = evaluation(place, "one", solved=30)
    assert run_json(capsys, "leaderboard", "add", "one", "--note", "again")["added"] == 1
    assert run_json(capsys, "leaderboard", "add", "one/results.json", "--note", "again")["added"] == 0
    (found,) = read_board("leaderboard.csv").rows
    expected = row | {
        "note": "again",
        "finished_accuracy": None,
        "accuracy_if_cut_wrong": None,
        "accuracy_if_cut_right": None,
    }  # NaN is an empty cell
    expected |= dict.fromkeys(("tokens_median", "tokens_p95", "tokens_per_solved"))
    assert found == {
        name: pytest.approx(value, abs=1e-6) if isinstance(value, float) else value for name, value in expected.items()
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none", None, "none does not exist"),
        ("x.json", "{", "is not JSON"),
        ("x.json", "[1]", "neither a results.json"),
        ("x.json", '{"results": {}, "configs": {}, "n-samples": {}}', "contains no accuracy"),
        ("x.json", '{"results": {"t": 3}, "configs": {}, "n-samples": {}}', "damaged"),
        (".", "", "contains no finished evaluation"),
    ],
)
def test_what_cannot_be_added_is_one_line(place, capsys, name, text, message):
    if text:
        (place / name).write_text(text)
    assert main(["leaderboard", "add", name]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (place / "leaderboard.csv").exists()


# --- ranks and tables


def test_tables_rank_by_paired_tests_and_say_what_keeps_them_apart(place, capsys):
    rows = [evaluation(place, name, solved=solved) for name, solved in (("good", 50), ("twin", 49), ("bad", 20))]
    rows.append(evaluation(place, "longer", solved=40, facts=FACTS | {"max_tokens": 1024}, comparability="d0"))
    rows.append(evaluation(place, "prompted", solved=40, facts=FACTS | {"prompt_sha256": "p1"}, comparability="e0"))
    for row in rows:
        append_row(place / "leaderboard.csv", row)
    first, *others = blocks_of(read_board("leaderboard.csv").rows)
    assert [row["model"] for row in first.rows] == ["good", "twin", "bad"]
    assert first.ranks == [(1, 2), (1, 2), (3, 3)]
    assert (first.apart, first.n_paired) == ([], 3)
    assert [block.apart for block in others] == [
        ["max_tokens is 512 in one and 1024 in the other"],
        ["prompt_sha256 is p0 in one and p1 in the other"],
    ]
    assert main(["leaderboard", "show"]) == 0
    out = capsys.readouterr().out
    assert "differs from the first table: max_tokens is 512 in one and 1024 in the other" in out
    assert re.search(r"1-2 +good +83\.3% ± 4\.9", out)
    ranks = [(row["model"], row["rank_low"], row["rank_high"]) for row in run_json(capsys, "leaderboard", "show")[:3]]
    assert ranks == [("good", 1, 2), ("twin", 1, 2), ("bad", 3, 3)]
    assert main(["leaderboard", "export", "--format", "md"]) == 0
    header, _, best, *_ = capsys.readouterr().out.splitlines()
    assert header.startswith("| rank | model | benchmark | accuracy |")
    assert best.startswith("| 1-2 | good | ")


def test_without_the_run_folders_the_ranks_are_wider_and_the_reason_is_from_the_columns(place):
    clear = [evaluation(place, name, solved=solved) for name, solved in (("a", 50), ("b", 45))]
    for name in "ab":
        (place / name / "results.json").unlink()
    (block,) = blocks_of(clear)
    assert (block.ranks, block.n_paired) == ([(1, 2), (1, 2)], 0)
    apart = evaluation(place, "c", solved=45, comparability="d0")
    (place / "c" / "results.json").unlink()
    assert "no column for" in blocks_of([*clear, apart])[1].apart[0]


def test_a_run_folder_with_other_figures_is_not_believed(place):
    rows = [evaluation(place, name, solved=solved) for name, solved in (("a", 50), ("b", 45))]
    evaluation(place, "other", solved=10)
    (place / "a" / "results.json").write_text((place / "other" / "results.json").read_text())
    (block,) = blocks_of(rows)
    assert block.n_paired == 1


# --- compare


def test_three_are_compared_pair_by_pair_and_corrected(place, capsys):
    for name, solved, seed in (("a", 50, 0), ("b", 20, 0), ("c", 45, 1)):
        evaluation(place, name, solved=solved, seed=seed)
    many = run_json(capsys, "leaderboard", "compare", "a", "b", "c")
    assert [(pair["before"], pair["after"]) for pair in many["pairs"]] == [("a", "b"), ("a", "c"), ("b", "c")]
    alone = sorted(pair["p_value"] for pair in many["pairs"])
    assert sorted(pair["p_holm"] for pair in many["pairs"])[0] == pytest.approx(3 * alone[0])
    assert [pair["distinguishable"] for pair in many["pairs"]] == [True, False, True]
    assert many["pairs"][0]["difference"] == pytest.approx(-0.5)
    assert main(["leaderboard", "compare", "a", "b", "c"]) == 0
    out = capsys.readouterr().out
    assert out.count("not distinguishable") == 1
    assert "95% interval, alone" in out  # and the verdict is not: it counts the comparisons
    assert "Holm, 3 comparisons" in out


def test_one_that_asked_something_else_is_refused_with_the_field(place, capsys):
    evaluation(place, "a", solved=50)
    evaluation(place, "b", solved=20)
    evaluation(place, "c", solved=20, facts=FACTS | {"temperature": 0.6}, comparability="d0")
    assert main(["leaderboard", "compare", "a", "b", "c"]) == 2
    assert "a and c cannot be compared: temperature is 1.0 in one and 0.6 in the other" in capsys.readouterr().err


# --- precision


def test_precision_wants_two_answers_to_a_problem(place, capsys):
    evaluation(place, "a", solved=50)
    assert main(["leaderboard", "precision", "a"]) == 2
    assert "same kgym eval again" in capsys.readouterr().err


# --- pictures and papers

HOSTILE = r"\input{/etc/passwd} $x^2$ & 100% _a_ <script>alert(1)</script>"


@pytest.mark.parametrize("board", ["results", "published"])
def test_latex_has_every_row_and_runs_nothing(place, board):
    rows = read_board("kgym_boards:published").rows
    if board == "results":
        rows = [
            evaluation(place, f"m{i}", solved=20 + i) | {"model": HOSTILE, "rank_low": 1, "rank_high": 2}
            for i in range(3)
        ]
    text = LatexExporter(None)(rows)
    assert text.count(r" \\") == len(rows) + len({row["benchmark"] for row in rows})
    assert r"\input" not in text
    for line in text.splitlines():
        assert len(re.findall(r"(?<!\\)\$", line)) % 2 == 0
        if line.endswith(r" \\"):
            assert len(re.findall(r"(?<!\\)&", line)) == (7 if board == "results" else 4)


def test_latex_escapes_its_own_signs():
    assert escape("\\a{b}~^%\n\x07") == r"\textbackslash{}a\{b\}\textasciitilde{}\textasciicircum{}\%"


def test_a_plot_is_a_picture_with_names_that_are_no_formulas(place):
    rows = [
        evaluation(place, f"m{i}", solved=20 + i) | {"model": f"{HOSTILE} {i} 模型", "rank_low": 1, "rank_high": 3}
        for i in range(3)
    ]
    svg = PlotExporter(PlotOptions())(rows)
    assert svg.startswith("<?xml")
    assert "<script" not in svg
    assert svg == PlotExporter(PlotOptions())(rows)  # the same board is the same file
    png = PlotExporter(PlotOptions(suffix="png"))(rows)
    assert png.startswith(b"\x89PNG")


def test_the_name_of_the_file_says_which_picture(place, capsys):
    append_row(place / "leaderboard.csv", evaluation(place, "a", solved=30))
    assert main(["leaderboard", "export", "--format", "plot", "-o", "board.png"]) == 0
    assert (place / "board.png").read_bytes().startswith(b"\x89PNG")
    assert main(["leaderboard", "export", "--format", "plot", "-o", "board.gif"]) == 2
    assert "suffix" in capsys.readouterr().err
    assert main(["leaderboard", "export", "--format", "plot", "--set", "exporter.suffix=png"]) == 2
    assert "name a file with -o" in capsys.readouterr().err
    assert (
        main(
            [
                "leaderboard",
                "export",
                "--format",
                "plot",
                "--board",
                "kgym_boards:published",
                "--bench",
                "aime24",
                "-o",
                "p.svg",
            ]
        )
        == 0
    )


def test_formats_of_text_are_the_board(place, capsys):
    append_row(place / "leaderboard.csv", evaluation(place, "=cmd()", solved=30))
    assert main(["leaderboard", "export"]) == 0
    header, cells = csv.reader(capsys.readouterr().out.splitlines())
    assert header == RESULTS.names
    assert cells[2] == "'=cmd()"


def synthetic(model, **cells):
    """A row of a board whose run folder is not here."""
    first = dict.fromkeys(RESULTS.names) | {
        "schema_version": RESULTS.version,
        "model": model,
        "benchmark": "b",
        "comparability": "c",
    }
    figures = {
        "accuracy": 0.5,
        "stderr": 0.05,
        "interval_low": 0.4,
        "interval_high": 0.6,
        "n_problems": 100,
        "samples_per_problem": 1,
    }
    return (
        first
        | {"env_id": "e", "split": "s", "run": "", "note": "", "date": "2026-01-01", "pass_at_k": "{}"}
        | figures
        | cells
    )


def test_a_table_of_many_rows_has_no_ranks_and_says_so(tmp_path, capsys):
    rows = [synthetic(f"m{number}", accuracy=number / 1000) for number in range(MOST_RANKED + 1)]
    (block,) = blocks_of(rows)
    assert block.ranks is None
    assert [row["rank_low"] for row in ranked_rows(rows)] == [None] * len(rows)
    board = tmp_path / "board.csv"
    board.write_text(format_board(Board(RESULTS, rows)))
    assert main(["leaderboard", "show", "--board", str(board)]) == 0
    assert f"more than {MOST_RANKED} rows" in capsys.readouterr().out
    for name in ("md", "html", "latex", "json"):
        assert (
            main(["leaderboard", "export", "--board", str(board), "--format", name, "-o", str(tmp_path / "out")]) == 0
        )
    assert blocks_of(rows[:3])[0].ranks == [(1, 3)] * 3


def test_a_row_whose_interval_does_not_hold_its_accuracy_is_drawn(tmp_path):
    board = tmp_path / "board.csv"
    rows = [synthetic("edited by hand", accuracy=0.9, tokens_mean=10.0), synthetic("other", tokens_mean=10.0)]
    board.write_text(format_board(Board(RESULTS, rows)))
    for name in ("html", "plot"):
        assert (
            main(["leaderboard", "export", "--board", str(board), "--format", name, "-o", str(tmp_path / "out.svg")])
            == 0
        )


def test_a_note_that_no_reader_of_csv_takes_is_refused_before_anything_runs(tmp_path, capsys):
    for command in (["eval", "--run", str(tmp_path / "run")], ["leaderboard", "add", str(tmp_path)]):
        assert main([*command, "--note", "x" * 10_001]) == 2
        assert "--note: 10,001 characters; at most 10,000" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_run_folders_are_also_found_beside_the_board(place, monkeypatch, tmp_path_factory):
    board = place / "leaderboard.csv"
    for name, solved in (("one", 10), ("two", 25)):
        append_row(board, evaluation(place, name, solved=solved))
    rows = read_board(str(board)).rows
    assert blocks_of(rows)[0].n_paired == 2
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert blocks_of(rows)[0].n_paired == 0
    assert blocks_of(rows, (Path(), place))[0].n_paired == 2


def test_a_board_that_pandas_or_excel_saved_is_read_and_appended_to(place):
    made = {name: evaluation(place, name, solved=20) for name in "abcd"}
    for name in "abc":
        append_row(place / "own.csv", made[name])
    rows = list(csv.DictReader((place / "own.csv").read_text().splitlines()))
    rows[1]["max_tokens"] = ""  # as of lm-evaluation-harness
    frame = pd.DataFrame(rows).replace("", np.nan)
    for column in ("max_tokens", "seed"):
        frame[column] = frame[column].astype(float)
    frame.to_csv(place / "saved.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    read = read_board("saved.csv").rows
    assert [row["max_tokens"] for row in read] == [512, None, 512]
    assert read[0] == read_board("own.csv").rows[0]
    assert append_row(place / "saved.csv", made["a"]) is False, "the same row"
    assert append_row(place / "saved.csv", made["d"]) is True
    assert [row["model"] for row in read_board("saved.csv").rows] == ["a", "b", "c", "d"]


def test_a_figure_that_is_not_a_number_is_unknown_and_comes_last(place):
    rows = [evaluation(place, name, solved=20) | {"run": ""} for name in "abcd"]
    text = format_board(Board(RESULTS, [row | {"accuracy": 0.111} for row in rows]))
    for accuracy in ("0.1", "nan", "0.9", "0.5"):
        text = text.replace(",0.111,", f",{accuracy},", 1)
    (place / "x.csv").write_text(text)
    ranked = ranked_rows(read_board("x.csv").rows)
    assert [(row["model"], row["accuracy"]) for row in ranked] == [("c", 0.9), ("d", 0.5), ("a", 0.1), ("b", None)]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"figure": ""}, "figure is None, which is not a number of points from 0 to 100"),
        ({"figure": "120"}, "figure is 120.0, which"),
        ({"figure": "-3"}, "figure is -3.0, which"),
        ({"figure": "50", "n_problems": "0"}, "n_problems is 0, which is less than 1"),
    ],
)
def test_a_published_figure_without_an_interval_is_refused_with_its_line(place, capsys, cells, message):
    row = {"schema_version": "2", "model": "m", "benchmark": "aime24", "n_problems": "30"} | cells
    with (place / "x.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, PUBLISHED.names)
        writer.writeheader()
        writer.writerow(row)
    assert main(["leaderboard", "show", "--board", "x.csv"]) == 2
    assert f"x.csv, line 2: {message}" in capsys.readouterr().err


def test_the_folder_of_an_evaluation_is_cut_at_a_word():
    assert (
        shortened("fresh-runs-quickstart-checkpoints-step-12-data-validation") == "checkpoints-step-12-data-validation"
    )
    assert shortened("nano") == "nano"
    assert len(shortened("x" * 99)) == 40
