"""Tables on terminals of any width: no word is broken, paths give way first, and nothing is left out without a word."""

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.cli.layout import layout
from kgym.cli.output import print_table

KEYS = ("option", "type", "default", "must be", "meaning")
OPTIONS = [
    ("algo.inner_steps", "int", "4", ">= 1", "Passes over the batch, with one or more optimizer steps each."),
    ("algo.reset_optimizer", "bool", "False", "", "Start each batch with a fresh optimizer state."),
]
RESULTS = ("rank", "model", "accuracy", "95% interval", "maj@k", "truncated", "unscored", "run")
RUNS = [
    ("1", "nano + mirror, seed 0", "68.9% ± 1.7", "65.5 to 72.1", "-", "0.1%", "0.0%", "runs/quickstart/eval/after"),
    ("2", "nano", "38.8% ± 1.4", "36.1 to 41.5", "-", "0.0%", "0.0%", "runs/a-rather-long-name-of-a-run-folder"),
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    def show(columns, rows, width, **more):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("NO_COLOR", "1")
        out = Terminal()
        print_table(columns, rows, file=out, **more)
        return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())

    return show


@pytest.mark.parametrize("width", [20, 60, 80, 100, 120, 300])
def test_keys_and_words_are_whole_at_any_width(shown, width):
    text = shown(KEYS, OPTIONS, width)
    words = re.split(r"\s+", text)
    for row in OPTIONS:
        for cell in row:
            assert all(word in words for word in cell.split())


@pytest.mark.parametrize("width", [80, 100, 120, 300])
def test_a_table_is_no_wider_than_the_terminal(shown, width):
    assert max(map(len, shown(KEYS, OPTIONS, width).splitlines())) <= width


def test_a_run_folder_gives_way_before_anything_else(shown):
    wide = shown(RESULTS, RUNS, 200, gives_way=("run",))
    assert "runs/quickstart/eval/after" in wide
    shorter = shown(RESULTS, RUNS[:1], 80, gives_way=("run",))
    assert "…/eval/after" in shorter
    assert "quickstart" not in shorter
    narrow = shown(RESULTS, RUNS, 72, gives_way=("run",))
    assert "quickstart" not in narrow
    assert "left out, as the terminal is too narrow: run (--json has everything)" in narrow
    assert "accuracy" in narrow
    assert "truncated" in narrow


def test_what_fits_nowhere_is_written_as_lines(shown):
    text = shown(RESULTS, RUNS, 40, gives_way=("run",))
    assert "model         nano + mirror, seed 0\n" in text
    assert "run           runs/a-rather-long-name-of-a-run-folder\n" in text
    assert text.count("\n\n") == 1


def test_columns_without_content_are_left_out_everywhere(shown):
    assert "maj@k" not in shown(RESULTS, RUNS, 200)
    out = io.StringIO()
    print_table(RESULTS, RUNS, file=out)
    assert "maj@k" not in out.getvalue()
    assert "runs/a-rather-long-name-of-a-run-folder" in out.getvalue()
    assert "maj@k" in shown(RESULTS, [], 200)  # of no rows the headings are all there is


def test_piped_cells_are_on_one_line_however_long():
    out = io.StringIO()
    print_table(("name", "what"), [("a", "word " * 200)], file=out)
    assert len(out.getvalue().splitlines()) == 3


words = st.text("abcdefgh_./", min_size=1, max_size=14)
cells = st.lists(words, max_size=6).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=4)),
    st.integers(10, 90),
)
def test_no_column_is_narrower_than_its_longest_word(rows, width):
    columns = [f"c{place}" for place in range(len(rows[0]))]
    fitted = layout(columns, rows, width)
    if fitted.as_lines:
        return
    assert sum(fitted.widths) + 3 * max(0, len(fitted.widths) - 1) <= width
    for place, column_width in enumerate(fitted.widths):
        assert all(len(word) <= column_width for row in fitted.rows for word in row[place].split())
