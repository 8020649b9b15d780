"""The page of `kgym runs view` in a browser: what its script draws, and that no text of a model acts."""

import re

import numpy as np
import pytest

from chromium import dom_of, in_browser, screenshot
from kgym.page.answers import pack_answers
from kgym.page.document import Cell, Column, Page, Table, render
from test_page import SAID, frame, hostile_page


@in_browser
def test_in_a_browser_the_bars_of_a_table_share_one_scale(tmp_path):
    path = tmp_path / "page.html"
    values = (8.0, 40.0, 100.0)
    cells = [[Cell("a model"), Cell(f"{value:g}", value, (value, value, value))] for value in values]
    path.write_text(render(Page(title="t", tables=[Table("t", (Column("model"), Column("accuracy", True)), cells)])))
    pixels = screenshot(path, tmp_path)
    blue = np.argwhere(pixels[:, :, 2] - pixels[:, :, 0] > 0.2)  # nothing else on the page has the colour of the points
    rows = np.split(blue, np.flatnonzero(np.diff(blue[:, 0]) > 5) + 1)
    points = [row[:, 1].mean() for row in rows]
    assert len(points) == 3
    assert points[1] - points[0] == pytest.approx(0.84 * 32, abs=2)  # the bar is 84 pixels wide
    assert points[2] - points[1] == pytest.approx(0.84 * 60, abs=2)


@in_browser
def test_in_a_browser_hostile_text_is_text(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(hostile_page()))
    dom = dom_of(path, tmp_path)
    assert re.search(r'<html[^>]* data-ready="\d+"', dom)
    assert "data-owned" not in dom
    assert "6 of" not in dom
    assert "12 of 12 completions; 2 of 2 problems" in dom
    assert "⟨U+202E⟩evil⟨U+2066⟩ ⟨U+0000⟩" in dom


@in_browser
def test_in_a_browser_the_fragment_chooses(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        render(Page(title="t", answers=pack_answers([("one", frame(["no", "so \\boxed{1}", "slow"], problems=3))])))
    )
    dom = dom_of(path, tmp_path, "#verdict=correct")
    assert "1 of 9 completions; 1 of 3 problems" in dom
    assert "so \\boxed{<mark>1</mark>}" in dom
    dom = dom_of(path, tmp_path, "#verdict=unscored&subject=subject%200")
    assert "2 of 9 completions; 2 of 3 problems" in dom
    assert "timeout, integer" in dom
    dom = dom_of(path, tmp_path, "#text=What+is+2")
    assert "3 of 9 completions; 1 of 3 problems" in dom
    assert "<h3>p/2</h3>" in dom
    dom = dom_of(path, tmp_path, "#from=4&to=11")
    assert "3 of 9 completions" in dom


@in_browser
def test_in_a_browser_replies_are_folded_between_the_turns(tmp_path):
    path = tmp_path / "page.html"
    reply = {"role": "tool", "content": "<b>12</b>\nand more"}
    answers = frame(["askso \\boxed{12}"], problems=1).assign(answer="12", pieces=[[SAID, reply, SAID]])
    path.write_text(render(Page(title="t", answers=pack_answers([("one", answers)]))))
    dom = dom_of(path, tmp_path)
    folded = "<summary>tool: &lt;b&gt;12&lt;/b&gt;</summary><pre>&lt;b&gt;12&lt;/b&gt;\nand more</pre></details>"
    assert f'<pre>ask</pre><details class="reply">{folded}' in dom
    assert "</details><pre>so \\boxed{<mark>12</mark>}</pre>" in dom
    assert "<span>2 turns</span>" in dom


@in_browser
def test_in_a_browser_a_problem_that_a_run_was_not_asked_is_not_called_unscored(tmp_path):
    answers = frame(["slow"], problems=2)
    runs = [("step 1", answers), ("step 5", answers[answers["problem_id"] == "p/0"])]
    path = tmp_path / "page.html"
    path.write_text(render(Page(title="t", answers=pack_answers(runs))))
    shares = re.findall(r'<span class="share">([^<]*)</span>', dom_of(path, tmp_path))
    assert shares == ["not scored", "not scored", "not scored", "not asked"]


@in_browser
def test_in_a_browser_partial_credit_has_its_own_mark(tmp_path):
    answers = frame(["no", "so \\boxed{1}"], problems=2)
    answers["worth"] = [0.5, 1.0, 0.0, 1.0]
    path = tmp_path / "page.html"
    path.write_text(render(Page(title="t", answers=pack_answers([("one", answers)]))))
    dom = dom_of(path, tmp_path, "#verdict=partial&problem=p/0")
    assert "1 of 4 completions; 1 of 2 problems" in dom
    assert '<span class="badge partial">partly right</span><span>score 0.5</span>' in dom
    assert '<i class="partial"' in dom
    assert '<option value="partial">' in dom
    answers["worth"] = [0.0, 1.0, 0.0, 1.0]
    path.write_text(render(Page(title="t", answers=pack_answers([("one", answers)]))))
    assert '<option value="partial">' not in dom_of(path, tmp_path), "no filter for what there is not"


@in_browser
@pytest.mark.parametrize(
    ("text", "read", "marked"),
    [
        (r"\boxed{12}, and 120 is ten times 12.", "12", r"\boxed{<mark>12</mark>}, and"),
        (r"\boxed{ 7 } not \boxed{17}", "7", r"\boxed{ <mark>7</mark> } not"),
        ("so 12 it is, of 120 or 312", "12", "so <mark>12</mark> it is"),
        ("only 120 and x12", "12", "only 120 and x12</pre>"),
        (r"\boxed{\frac{1}{2}}, 1/2", r"\frac{1}{2}", r"\boxed{<mark>\frac{1}{2}</mark>}, 1/2"),
    ],
)
def test_in_a_browser_the_answer_is_marked_where_it_was_read(tmp_path, text, read, marked):
    path = tmp_path / "page.html"
    path.write_text(
        render(Page(title="t", answers=pack_answers([("one", frame([text], problems=1).assign(answer=read))])))
    )
    assert marked in dom_of(path, tmp_path)
