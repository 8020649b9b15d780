"""The page of kgym runs view and of the exporter html: what is on it, and that no text of a model can run or be read
as markup.
"""

import base64
import hashlib
import json
import re
import shutil
import zlib
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kgym.board.schema import RESULTS
from kgym.board.standings import ranked_rows
from kgym.board.view import names_of, run_page
from kgym.cli.main import main
from kgym.errors import ConfigError
from kgym.page.answers import MOST_CHARACTERS, pack_answers
from kgym.page.board import tables
from kgym.page.document import Cell, Column, Page, Table, render
from kgym.page.picture import drawing, legend_below, new_figure, picture

HOSTILE = (
    "</script><script>document.documentElement.dataset.owned='1'</script>",
    "<img src=x onerror=\"document.documentElement.dataset.owned='1'\">",
    "<!--<script>",
    '"><svg onload="document.documentElement.dataset.owned=1">',
    "{{ 7 * 7 }} {% raw %}",
    "\u202eevil\u2066 \x00 \u2028 &lt;b&gt;",
)


def frame(answers, *, problems=2):
    """Rows of sampled completions: `answers` texts for each problem, right where the text ends in the gold answer."""
    rows = []
    for problem in range(problems):
        for attempt, text in enumerate(answers):
            right = text.endswith(f"{{{problem}}}")
            rows.append(
                {
                    "problem_id": f"p/{problem}",
                    "subject": f"subject {problem % 2}",
                    "level": 1 + problem % 3,
                    "year": 0,
                    "question": f"What is {problem}?",
                    "gold": str(problem),
                    "attempt": attempt,
                    "text": text,
                    "answer": str(problem) if right else None,
                    "status": "correct" if right else "unscored:timeout" if text == "slow" else "wrong",
                    "reason": "integer",
                    "tokens": len(text),
                    "finish_reason": "stop",
                    "truncated": False,
                    "worth": np.nan if text == "slow" else float(right),
                }
            )
    return pd.DataFrame(rows)


def unpacked(packed):
    return json.loads(zlib.decompress(base64.b64decode(packed)))


class Reader(HTMLParser):
    """Every tag of a page with its attributes, and the texts between."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


# --- completions ------------------------------------------------------------------------------------------------------


def test_answers_are_packed_by_column_and_come_back():
    data = unpacked(pack_answers([("before", frame(["no", "\\boxed{1}", "slow"]))]).packed)
    assert data["problems"][1] == ["p/1", "subject 1", 2, 0, "What is 1?", "1"]
    (run,) = data["runs"]
    assert run["problem"] == [0, 0, 0, 1, 1, 1]
    assert run["attempt"] == [0, 1, 2, 0, 1, 2]
    assert run["text"][:3] == ["no", "\\boxed{1}", "slow"]
    assert run["worth"] == [0.0, 0.0, None, 0.0, 1.0, None]
    assert run["answer"] == [None, None, None, None, "1", None]
    assert [data["words"][word] for word in run["status"]] == [
        "wrong",
        "wrong",
        "unscored:timeout",
        "wrong",
        "correct",
        "unscored:timeout",
    ]


SAID = {"role": None, "content": None, "characters": 3}


def test_replies_are_packed_with_their_place_in_the_answer():
    answers = frame(["one"], problems=2).assign(
        text=["\U0001f600b\u00e9two", "one"], pieces=[[SAID, {"role": "tool", "content": "4"}, SAID], [SAID]]
    )
    (run,) = unpacked(pack_answers([("before", answers)]).packed)["runs"]
    assert run["replies"] == {"0": [[4, "tool", "4"]]}, "a character beyond 16 bits is two in the browser"
    assert unpacked(pack_answers([("before", frame(["one"]))]).packed)["runs"][0]["replies"] == {}


def test_two_runs_share_their_problems_whatever_their_order():
    one, other = frame(["a"], problems=3), frame(["b"], problems=4).iloc[::-1]
    data = unpacked(pack_answers([("one", one), ("other", other)]).packed)
    assert [problem[0] for problem in data["problems"]] == ["p/0", "p/1", "p/2", "p/3"]
    assert data["runs"][0]["problem"] == [0, 1, 2]
    assert data["runs"][1]["problem"] == [0, 1, 2, 3]


def test_what_does_not_fit_is_left_out_by_whole_problems_and_said():
    answers = pack_answers([("one", frame(["a", "b"], problems=5)), ("two", frame(["a", "b"], problems=5))], most=9)
    data = unpacked(answers.packed)
    assert len(data["problems"]) == 2
    assert (answers.n, answers.n_left_out) == (8, 12)
    assert answers.left_out == "8 of 20 completions are in this page: those of the first 2 of 5 problems"
    assert pack_answers([("one", frame(["a"]))]).left_out == ""


def test_long_answers_fill_a_page_sooner():
    page = pack_answers(
        [("one", frame(["x" * 1000, "y"], problems=5)), ("two", frame(["z" * 500], problems=5))], most_characters=4600
    )
    assert (page.n, page.n_left_out) == (9, 6)  # 1,501 characters a problem
    assert page.left_out == "9 of 15 completions are in this page: those of the first 3 of 5 problems"
    assert pack_answers([("one", frame(["x" * 1000], problems=2))], most_characters=1).n == 1
    assert pack_answers([("one", frame(["x" * 1000], problems=5))], most=4, most_characters=1).n == 4  # as asked


def test_a_long_answer_keeps_its_head_and_its_tail():
    text = "head" + "x" * 1_000_000 + "tail"
    (kept,) = unpacked(pack_answers([("one", frame([text], problems=1))]).packed)["runs"][0]["text"]
    assert kept.startswith("head")
    assert kept.endswith("tail")
    assert "900,008 characters are left out here" in kept
    assert len(kept) < MOST_CHARACTERS + 100


# --- the document -----------------------------------------------------------------------------------------------------


def hostile_page():
    with drawing():
        figure = new_figure()
        figure.subplots().plot([0, 1], [0, 1], label=HOSTILE[0])
        figure.axes[0].legend()
        image = picture(figure, HOSTILE[1], HOSTILE[3])
    cells = [Cell(text, remark=text) for text in HOSTILE]
    return Page(
        title=HOSTILE[0],
        lead=HOSTILE[:5],
        facts=[(text, text) for text in HOSTILE[:5]],
        tables=[
            Table(HOSTILE[1], [Column(HOSTILE[0], help=HOSTILE[3])], [[cell] for cell in cells[:5]], notes=HOSTILE[:5])
        ],
        pictures=[image],
        answers=pack_answers([(HOSTILE[1], frame(HOSTILE))]),
    )


def test_no_text_is_read_as_markup():
    page = Reader(render(hostile_page()))
    assert [tag for tag, _ in page.tags].count("script") == 2  # the data and the page's own
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert [attributes["src"][:26] for tag, attributes in page.tags if tag == "img"] == ["data:image/svg+xml;base64,"]
    assert {"iframe", "object", "embed", "link", "base"}.isdisjoint(tag for tag, _ in page.tags)
    for text in HOSTILE[:5]:
        assert any(text in found for found in page.texts), text


def test_the_policy_allows_the_one_script_and_the_one_style():
    text = render(hostile_page())
    (policy,) = (
        a["content"]
        for tag, a in Reader(text).tags
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_a_page_loads_nothing():
    text = render(hostile_page())
    outside = re.sub(r'"data:[^"]*"|<script type="application/octet-stream".*?</script>', "", text, flags=re.DOTALL)
    assert not re.search(r"https?://|//\w+\.\w", outside.replace("// ", ""))
    for image in re.findall(r"data:image/svg\+xml;base64,([^\"]*)", text):
        svg = base64.b64decode(image).decode()
        assert set(re.findall(r"https?://[^\s\"]+", svg)) <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }


def test_a_page_is_the_same_when_it_is_written_again():
    assert render(hostile_page()) == render(hostile_page())


def test_a_page_of_nothing_has_no_empty_parts():
    page = Reader(render(Page(title="empty")))
    assert not {"table", "img", "form", "dl"} & {tag for tag, _ in page.tags}


# --- boards -----------------------------------------------------------------------------------------------------------


def test_a_board_becomes_a_page_with_a_table_for_each_hash(tmp_path, capsys):
    out = tmp_path / "board.html"
    assert main(["leaderboard", "export", "--board", "kgym_boards:results", "--format", "html", "-o", str(out)]) == 0
    page = Reader(out.read_text())
    text = " ".join(page.texts)
    assert [tag for tag, _ in page.tags].count("table") == 2
    assert (
        "Not comparable with the first table of this benchmark: temperature is 1.0 in one and 0.0 in the other." in text
    )
    assert "nano + mirror, seed 0" in text
    assert {"aime-style, temperature 1", "aime-style, temperature 0"} <= {
        found.strip() for found in page.texts
    }  # two tables, two headings
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert main(["leaderboard", "export", "--board", "kgym_boards:published", "--format", "html", "-o", str(out)]) == 0
    assert "Published figures" in out.read_text()
    assert "data:image" not in out.read_text()


def test_numbers_sort_as_numbers_and_what_is_unknown_has_no_key():
    row = dict.fromkeys(
        (
            "rank_low",
            "rank_high",
            "accuracy",
            "interval_low",
            "interval_high",
            "maj_at_k",
            "maj_at_k_stderr",
            "pass_at_k_stderr",
            "samples_per_problem",
            "tokens_mean",
            "n_problems",
        ),
    ) | {
        "model": "m",
        "benchmark": "b",
        "comparability": "c",
        "pass_at_k": "{}",
        "env_id": "e",
        "split": "s",
        "verifier": "",
        "note": "",
    }
    row |= dict.fromkeys(
        (
            "truncated_frac",
            "unscored_frac",
            "no_answer_frac",
            "tokens_per_solved",
            "date",
            "max_tokens",
            "temperature",
            "top_p",
        )
    )
    known = row | {"accuracy": 0.5, "interval_low": 0.25, "interval_high": 0.75, "tokens_mean": 1234.0}
    (table,) = tables([row, known])
    place = [column.label for column in table.columns].index("accuracy")
    assert [cells[place].sort for cells in table.rows] == [None, 0.5]
    assert table.rows[1][place].interval == (25.0, 50.0, 75.0)
    assert table.rows[0][place].interval is None
    assert "1,234" in [cell.text for cell in table.rows[1]]
    (table,) = tables([known | {"accuracy": 0.0, "tokens_per_solved": float("nan")}])
    assert "nan" not in [cell.text for cell in table.rows[0]], "nothing was solved"


def test_headings_name_what_tables_of_one_benchmark_differ_in():
    row = dict.fromkeys([*RESULTS.names, "rank_low", "rank_high"]) | {"env_id": "e", "split": "s", "verifier": "v"}
    row |= {"temperature": 1.0, "max_tokens": 1024, "note": ""}
    rows = [
        row | {"benchmark": "b", "comparability": "1", "model": "m"},
        row | {"benchmark": "b", "comparability": "2", "max_tokens": 64},
    ]
    rows.append(row | {"benchmark": "c", "comparability": "3", "temperature": 0.6})
    assert [table.title for table in tables(rows)] == ["b, 1,024 tokens", "b, 64 tokens", "c"]


def test_an_accuracy_near_the_end_of_the_scale_has_a_caution():
    row = dict.fromkeys(RESULTS.names) | {"note": "", "model": "m", "accuracy": 0.98, "n_problems": 30, "run": ""}
    for samples, there in ((1, False), (16, True)):
        (ranked,) = ranked_rows([row | {"benchmark": "b", "comparability": "1", "samples_per_problem": samples}])
        assert any("fewer than 3 of 30 problems" in note for note in tables([ranked])[0].notes) == there


# --- runs -------------------------------------------------------------------------------------------------------------

SMALL = (
    "rollout.problems_per_step=2",
    "rollout.group_size=2",
    "env.max_tokens=24",
    "eval.problems=8",
    "train.threads=1",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A training of one step, and two evaluations."""
    root = tmp_path_factory.mktemp("runs")
    train = [
        "train",
        "--env",
        "arithmetic",
        "--algo",
        "grpo",
        "--run",
        str(root / "train"),
        "--steps",
        "1",
        "-q",
        *(word for setting in SMALL for word in ("--set", setting)),
    ]
    assert main(train) == 0
    for name, samples in (("before", "2"), ("after", "2")):
        model = "nano" if name == "before" else str(root / "train")
        asked = ["--bench", "arithmetic:validation", "--problems", "6", "--samples", samples, "--max-tokens", "24"]
        assert main(["eval", "--model", model, *asked, "--run", str(root / name), "-q"]) == 0
    return root


def test_two_evaluations_side_by_side(runs, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["runs", "view", str(runs / "before"), str(runs / "after"), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": str(out),
        "answers": 24,
        "answers_left_out": 0,
        "bytes": out.stat().st_size,
    }
    text = " ".join(Reader(out.read_text()).texts)
    assert "before: nano on arithmetic:validation" in text
    assert re.search(r"before to after: .*points \(95% interval", text)
    data = unpacked(re.search(r'id="packed">([^<]*)<', out.read_text())[1])
    assert [run["name"] for run in data["runs"]] == ["before", "after"]


def test_a_label_is_the_name_of_its_evaluation(runs, tmp_path):
    labelled = tmp_path / "eval-nano-arithmetic-0123abcd"
    shutil.copytree(runs / "before", labelled)
    stored = json.loads((labelled / "results.json").read_text())
    (labelled / "results.json").write_text(json.dumps(stored | {"model": "our model"}))
    page = run_page([labelled, runs / "after"])
    assert page.title == "our model and after"
    assert [cells[1].text for cells in page.tables[0].rows] in (["our model", "after"], ["after", "our model"])
    assert {run["name"] for run in unpacked(page.answers.packed)["runs"]} == {"our model", "after"}
    assert next(cells[1].remark for cells in page.tables[0].rows if cells[1].text == "our model") == str(labelled)


def test_answers_that_were_not_right_say_how_they_were_judged(runs, tmp_path):
    (plain,) = unpacked(run_page([runs / "before"]).answers.packed)["runs"]
    assert plain["trace"] == []  # the verifier of arithmetic does not explain itself
    judged = tmp_path / "eval-math"
    shutil.copytree(runs / "before", judged)
    stored = json.loads((judged / "results.json").read_text())
    (judged / "results.json").write_text(json.dumps(stored | {"facts": stored["facts"] | {"verifier": "math"}}))
    data = unpacked(run_page([judged]).answers.packed)
    (run,) = data["runs"]
    wrong = [data["words"][status] in ("wrong", "no_answer") for status in run["status"]]
    assert any(wrong)
    assert [bool(trace) for trace in run["trace"]] == wrong
    assert all("verdict" in trace for trace in run["trace"] if trace)


def test_what_a_verifier_said_when_it_judged_is_kept(runs, tmp_path):
    told = tmp_path / "eval-code"
    shutil.copytree(runs / "before", told)
    for file in (told / "samples").glob("*.parquet"):
        table = pq.read_table(file)
        place = table.schema.get_field_index("trace")
        said = pa.array(["case 2 of 9: wrong_output\noutput: </pre><script>"] * len(table))
        pq.write_table(table.set_column(place, table.schema.field(place), said), file)
    page = run_page([told])
    (run,) = unpacked(page.answers.packed)["runs"]
    assert set(run["trace"]) == {"case 2 of 9: wrong_output\noutput: </pre><script>"}
    assert "</pre><script>" not in render(page)


def test_rollouts_that_were_not_right_say_how_they_were_judged(runs, tmp_path):
    (plain,) = unpacked(run_page([runs / "train"]).answers.packed)["runs"]
    assert plain["trace"] == []  # the verifier of arithmetic does not explain itself
    judged = tmp_path / "train-math"
    shutil.copytree(runs / "train", judged)
    manifest = json.loads((judged / "manifest.json").read_text())
    assert manifest["env"]["verifier"] == "integer"
    (judged / "manifest.json").write_text(json.dumps(manifest | {"env": manifest["env"] | {"verifier": "math"}}))
    data = unpacked(run_page([judged]).answers.packed)
    (run,) = data["runs"]
    wrong = [data["words"][status] in ("wrong", "no_answer") for status in run["status"]]
    assert any(wrong)
    assert [bool(trace) for trace in run["trace"]] == wrong
    assert all("verdict" in trace for trace in run["trace"] if trace)


def test_no_legend_covers_its_lines():
    with drawing():
        figure = new_figure()
        axes = figure.subplots()
        for number in range(4):
            axes.plot([0, 1], [number, number], label=f"a line with a long name, number {number}")
        legend_below(axes)
        figure.draw_without_rendering()  # lays out
        assert not figure.legends[0].get_window_extent().overlaps(axes.get_window_extent())


def test_shares_on_the_page_are_those_of_the_harness(runs):
    page = run_page([runs / "before"])
    data = unpacked(page.answers.packed)
    (run,) = data["runs"]
    worth = pd.Series(run["worth"]).groupby(pd.Series(run["problem"])).mean()
    assert worth.mean() == pytest.approx(json.loads((runs / "before" / "results.json").read_text())["accuracy"])


def test_a_training_has_curves_and_its_rollouts_until_it_is_scored(runs, tmp_path):
    page = run_page([runs / "train"])
    titles = [image.title for image in page.pictures]
    assert titles[:2] == ["Reward in training", "Validation"]
    assert [run["name"] for run in unpacked(page.answers.packed)["runs"]] == ["step 1"]
    assert ("algorithm", "grpo") in page.facts
    scored = tmp_path / "scored"
    shutil.copytree(runs / "train", scored)
    for name in ("after", "before"):
        shutil.copytree(runs / name, scored / "eval" / name)
    page = run_page([scored])
    assert [run["name"] for run in unpacked(page.answers.packed)["runs"]] == ["before", "after"]
    assert len(page.tables) == 1


def test_the_page_lies_in_the_run_folder_unless_it_is_told(runs, capsys):
    assert main(["runs", "view", str(runs / "before"), "--answers", "4"]) == 0
    assert "4; 8 more are left out; --answers N includes more" in capsys.readouterr().out
    assert (runs / "before" / "view.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing"),
        (["before", "--answers", "0"], "--answers 0"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(runs, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(runs)
    assert main(["runs", "view", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_runs_of_one_name_are_told_apart(runs, tmp_path, monkeypatch):
    for side in ("a", "b"):
        shutil.copytree(runs / "before", tmp_path / side / "eval" / "after")
    monkeypatch.chdir(tmp_path)
    folders = [tmp_path / side / "eval" / "after" for side in ("a", "b")]
    assert list(names_of(folders).values()) == ["a/eval/after", "b/eval/after"]
    assert list(names_of([*folders, tmp_path]).values()) == ["a/eval/after", "b/eval/after", tmp_path.name]
    page = run_page(folders)
    assert page.title == "a/eval/after and b/eval/after"
    assert [run["name"] for run in unpacked(page.answers.packed)["runs"]] == ["a/eval/after", "b/eval/after"]


def test_an_evaluation_that_has_not_ended_is_refused(runs, tmp_path):
    shutil.copytree(runs / "before", tmp_path / "open")
    (tmp_path / "open" / "results.json").unlink()
    with pytest.raises(ConfigError, match="no finished evaluation"):
        run_page([tmp_path / "open"])


def test_a_page_in_a_folder_that_does_not_exist_is_refused(runs, capsys):
    assert main(["runs", "view", str(runs / "before"), "-o", str(runs / "no" / "such" / "page.html")]) == 2
    assert "cannot write" in capsys.readouterr().err
