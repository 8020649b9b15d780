"""The picture of a run, and the commands that look at boards and runs."""

import json
from itertools import zip_longest

import matplotlib.image as mpimg
import pytest

from kgym.board.plots import draw_audit, draw_choice, draw_length, draw_levels, draw_reward, more_panels, plot_run
from kgym.board.view import run_page
from kgym.cli.main import main
from kgym.config import RunConfig
from kgym.errors import ConfigError
from kgym.options import validated
from kgym.page.picture import new_figure

LINES = [
    {"step": 0, "eval/accuracy": 0.3, "eval/stderr": 0.02, "eval/truncated_frac": 0.1},
    {"step": 1, "reward/mean": 0.3},
    {"step": 2, "reward/mean": None},  # nothing was trainable
    {"step": 3, "reward/mean": 0.5, "eval/accuracy": 0.6, "eval/stderr": None, "eval/truncated_frac": 0.0},
]


@pytest.fixture
def training_run(tmp_path):
    run = tmp_path / "runs" / "aime-mirror"
    run.mkdir(parents=True)
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    config = validated(RunConfig, {"train": {"steps": 3}}).model_dump(mode="json")
    (run / "manifest.json").write_text(json.dumps({"config": config}))
    return run


def test_the_curves_are_drawn(training_run, tmp_path):
    out = tmp_path / "curves.png"
    plot_run(training_run, out)
    assert out.read_bytes().startswith(b"\x89PNG")
    before = out.read_bytes()
    (training_run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES[:2]))
    plot_run(training_run, out)
    assert out.read_bytes() != before  # it is the metrics that are drawn


def test_steps_are_marked_at_whole_numbers():
    lines = [{"step": step, "reward/mean": 0.1 * step} for step in range(1, 6)]
    axes, _ = drawn(draw_reward, lines)
    assert all(mark == int(mark) for mark in axes.get_xticks())


CHOSEN = [
    {"step": 0, "eval/tokens_mean": 30.0},
    {
        "step": 1,
        "level/1/answers": 6.0,
        "level/2/answers": 2.0,
        "rollout/max_tokens": 40.0,
        "episode/tokens_mean": 31.0,
    },
    {
        "step": 2,
        "level/2/answers": 8.0,
        "rollout/max_tokens": 90.0,
        "episode/tokens_mean": 44.0,
        "eval/tokens_mean": 40.0,
    },
]


def drawn(draw, lines):
    """Return the axes that a panel draws, and its lines by their labels."""
    figure = new_figure()
    axes = figure.subplots()
    draw(axes, lines)
    return axes, {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_a_run_has_the_panels_of_what_it_has_measured():
    def titles(*more):
        return [
            title for _, title in more_panels([line | extra for line, extra in zip_longest(LINES, more, fillvalue={})])
        ]

    assert titles() == []
    assert titles(*CHOSEN) == ["Difficulty of the chosen problems", "Length and budget"]
    assert titles({"level/3/answers": 4.0}) == [], "all problems are of one level"
    assert titles({"sampler/chosen_success_frac": 0.0}) == ["Success on the chosen problems"]
    assert titles({"audit/completions": 4.0}) == ["Verifier and audit"]


def test_the_levels_of_a_step_are_shares_of_its_answers():
    axes, _ = drawn(draw_levels, CHOSEN)
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == [[75.0, 0.0], [25.0, 100.0]]
    assert [bar.get_y() for bar in axes.containers[1]] == [75.0, 0.0]


def test_the_budget_stands_beside_the_lengths():
    _, found = drawn(draw_length, CHOSEN)
    assert found == {
        "budget": ([1, 2], [40.0, 90.0]),
        "mean in training": ([1, 2], [31.0, 44.0]),
        "mean in validation": ([0, 2], [30.0, 40.0]),
    }


def test_what_was_never_measured_has_no_line():
    lines = [{"step": 1, "sampler/chosen_success_frac": 0.25, "sampler/retired_frac": 0.5}]
    assert drawn(draw_choice, lines)[1] == {
        "success rate before it": ([1], [25.0]),
        "retired, of all problems": ([1], [50.0]),
    }
    assert drawn(draw_audit, [{"step": 1, "audit/agreement_frac": None, "audit/correct_frac": 0.5}])[1] == {
        "right, by the audit": ([1], [50.0])
    }


def test_the_picture_and_the_page_have_the_panels(training_run, tmp_path):
    small = tmp_path / "small.png"
    plot_run(training_run, small)
    lines = [line | extra for line, extra in zip_longest(LINES, CHOSEN, fillvalue={})]
    (training_run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    plot_run(training_run, tmp_path / "large.png")
    assert mpimg.imread(tmp_path / "large.png").shape[0] == 2 * mpimg.imread(small).shape[0]
    page = run_page([training_run])
    assert [one.title for one in page.pictures if "chosen" in one.title or "budget" in one.title] == [
        "Difficulty of the chosen problems",
        "Length and budget",
    ]


def test_a_run_without_metrics_has_no_curves(tmp_path):
    with pytest.raises(ConfigError, match="no metrics to plot"):
        plot_run(tmp_path, tmp_path / "curves.png")


def test_an_unknown_picture_format(training_run, tmp_path):
    with pytest.raises(ConfigError, match=r"curves\.doc"):
        plot_run(training_run, tmp_path / "curves.doc")


def test_runs_show_and_list(training_run, tmp_path, capsys):
    assert main(["runs", "show", str(training_run), "--plot", str(tmp_path / "curves.png"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["accuracy_before"], facts["accuracy"], facts["state"]) == (0.3, 0.6, "step 3 of 3")
    assert (tmp_path / "curves.png").exists()
    (training_run / "summary.json").write_text(json.dumps({"gain": 0.3, "p_value": 0.0001}))
    assert main(["runs", "list", "--root", str(training_run.parent)]) == 0
    *_, line = capsys.readouterr().out.splitlines()
    assert "finished" in line
    assert "60.0%" in line


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert main(["runs", "show", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_the_published_board_is_shown(capsys):
    assert main(["leaderboard", "show", "--board", "kgym_boards:published", "--bench", "math500"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("Gemini 2.5 Pro")  # the best first
    assert all("math500" in line for line in lines[2 : lines.index("")])


def test_a_missing_board_is_one_clear_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", "show"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "kgym eval" in err


def test_an_unknown_format_is_refused(capsys):
    assert main(["leaderboard", "export", "--board", "kgym_boards:published", "--format", "jsn"]) == 2
    assert "did you mean 'json'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["csv", "json", "md"])
def test_export_writes_the_file(name, tmp_path, capsys):
    out = tmp_path / f"board.{name}"
    assert main(["leaderboard", "export", "--board", "kgym_boards:published", "--format", name, "-o", str(out)]) == 0
    assert main(["leaderboard", "export", "--board", "kgym_boards:published", "--format", name]) == 0
    assert capsys.readouterr().out.endswith(out.read_text())
    assert "Kimi k1.5 long-CoT" in out.read_text()


def test_escape_sequences_do_not_reach_the_terminal(tmp_path, capsys):
    board = tmp_path / "board.csv"
    main(["leaderboard", "export", "--board", "kgym_boards:published", "-o", str(board)])
    board.write_text(board.read_text().replace("Kimi", "\x1b[2J"))
    capsys.readouterr()
    assert main(["leaderboard", "show", "--board", str(board)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_an_unwritable_export_says_so(capsys):
    assert main(["leaderboard", "export", "--board", "kgym_boards:published", "-o", "/proc/board.csv"]) == 2
    assert "choose another with -o" in capsys.readouterr().err
