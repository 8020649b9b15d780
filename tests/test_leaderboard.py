"""`kgym leaderboard`: rows from anywhere, tables that keep apart what cannot be compared, and formats for papers and
other harnesses.
"""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from kgym.board.rows import result_row
from kgym.board.schema import RESULTS
from kgym.board.standings import MOST_RANKED, blocks_of, ranked_rows
from kgym.board.table import Board, append_row, format_board, read_board
from kgym.cli.main import main
from kgym.errors import ConfigError, DataError
from kgym.score.evaluating import shortened
from kgym.score.results import EvalResult
from kgym_plugins.exporters.latex import LatexExporter, escape
from kgym_plugins.exporters.lmeval import LmEvalExporter
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
    assert "apart from the first table: max_tokens is 512 in one and 1024 in the other" in out
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


# --- lm-evaluation-harness

LM_EVAL = {
    "results": {
        "aime24": {
            "name": "aime24",
            "alias": "aime24",
            "sample_len": 30,
            "exact_match,none": 0.3,
            "exact_match_stderr,none": 0.0851,
            "math_verify,none": 0.4,
            "math_verify_stderr,none": "N/A",
            "word_perplexity,none": 11.5,
            "brier,none": 0.2,
        }
    },
    "configs": {
        "aime24": {
            "task": "aime24",
            "dataset_path": "Maxwell-Jia/AIME_2024",
            "test_split": "train",
            "doc_to_text": "Question: {{Problem}}\nAnswer:",
            "process_results": "<function process_results at 0x7f00>",
            "generation_kwargs": {
                "until": ["Question:"],
                "do_sample": True,
                "temperature": 0.6,
                "top_p": 0.95,
                "max_gen_toks": 32768,
            },
            "repeats": 1,
            "num_fewshot": 0,
        }
    },
    "versions": {"aime24": 0.0},
    "n-shot": {"aime24": 0},
    "higher_is_better": {"aime24": {"exact_match": True, "math_verify": True, "brier": False}},
    "n-samples": {"aime24": {"original": 30, "effective": 30}},
    "config": {"model": "hf", "model_args": "pretrained=org/model", "random_seed": 7},
    "date": 1764000000.0,
    "model_name": "org/model",
    "lm_eval_version": "0.4.13",
    "chat_template_sha": "77aa",
}


def test_results_of_lm_eval_are_rows(place, capsys):
    (place / "results_2025.json").write_text(json.dumps(LM_EVAL))
    added = run_json(capsys, "leaderboard", "add", "results_2025.json")
    assert added["added"] == 2
    exact, verified = read_board("leaderboard.csv").rows
    assert (exact["model"], exact["benchmark"], exact["accuracy"], exact["stderr"]) == (
        "org/model",
        "aime24",
        0.3,
        0.0851,
    )
    assert (exact["temperature"], exact["top_p"], exact["max_tokens"], exact["n_problems"]) == (0.6, 0.95, 32768, 30)
    assert (exact["date"], exact["seed"], exact["kgym_version"]) == ("2025-11-24", 7, "lm-eval 0.4.13")
    assert 0.12 < exact["interval_low"] < 0.3 < exact["interval_high"] < 0.55
    assert exact["truncated_frac"] is None  # lm-eval does not say
    assert (verified["accuracy"], verified["stderr"], verified["interval_low"]) == (0.4, None, None)
    assert exact["comparability"] != verified["comparability"]  # another metric is another question


def test_another_budget_is_another_hash_and_another_model_is_not(place, capsys):
    def hashes(**change):
        data = json.loads(json.dumps(LM_EVAL)) | {"model_name": change.get("model", "org/model")}
        data["configs"]["aime24"]["generation_kwargs"]["max_gen_toks"] = change.get("tokens", 32768)
        (place / "r.json").write_text(json.dumps(data))
        return [
            row["comparability"] for row in run_json(capsys, "leaderboard", "add", "r.json", "--board", "b.csv")["rows"]
        ]

    assert hashes() == hashes(model="org/other")
    assert hashes()[0] != hashes(tokens=1024)[0]


def test_our_rows_become_results_of_lm_eval_and_come_back(place, capsys):
    row = evaluation(place, "one", solved=30)
    append_row(place / "leaderboard.csv", row)
    assert main(["leaderboard", "export", "--format", "lm-eval", "-o", "out.json"]) == 0
    data = json.loads((place / "out.json").read_text())
    assert data["results"]["aime-style"]["exact_match,integer"] == 0.5
    assert data["configs"]["aime-style"]["generation_kwargs"]["max_gen_toks"] == 512
    capsys.readouterr()
    (back,) = run_json(capsys, "leaderboard", "add", "out.json", "--board", "back.csv")["rows"]
    kept = (
        "model",
        "benchmark",
        "date",
        "split",
        "n_problems",
        "samples_per_problem",
        "temperature",
        "top_p",
        "top_k",
        "max_tokens",
        "seed",
    )
    assert {name: back[name] for name in kept} == {name: row[name] for name in kept}
    assert (back["accuracy"], back["stderr"]) == (
        pytest.approx(row["accuracy"]),
        pytest.approx(row["stderr"], abs=1e-6),
    )


def lm_eval_file(figures, **config):
    """A results file with one task; settings of the file that are not of the task begin with `file_`."""
    data = json.loads(json.dumps(LM_EVAL))
    data["results"]["aime24"] = {"name": "aime24", "alias": "aime24", "sample_len": 30, **figures}
    data["higher_is_better"]["aime24"] |= config.pop("higher_is_better", {})
    data |= {key.removeprefix("file_"): config.pop(key) for key in list(config) if key.startswith("file_")}
    data["configs"]["aime24"] |= config
    return data


def imported(data):
    from kgym.board.lmeval import lm_eval_rows

    return lm_eval_rows(data, where="x.json")


VOTES = [
    {"name": "score-first", "filter": [{"function": "regex", "regex_pattern": "x"}, {"function": "take_first"}]},
    {"name": "maj@64", "filter": [{"function": "majority_vote"}, {"function": "take_first"}]},
    {
        "name": "maj@8",
        "filter": [{"function": "take_first_k", "k": 8}, {"function": "majority_vote"}, {"function": "take_first"}],
    },
    {"name": "all", "filter": [{"function": "custom", "filter_fn": "<function build at 0x7f>"}]},
    {"name": "four", "filter": [{"function": "take_first_k", "k": 4}]},
]


@pytest.mark.parametrize(
    ("filtered", "config", "samples"),
    [
        ("none", {}, 1),
        ("none", {"repeats": 10}, 1),  # the default filter takes the first of ten
        ("none", {"repeats": 10, "filter_list": None}, 1),
        ("score-first", {"repeats": 64, "filter_list": VOTES}, 1),
        ("all", {"repeats": 64, "filter_list": VOTES}, 64),
        ("four", {"repeats": 64, "filter_list": VOTES}, 4),
    ],
)
def test_repeats_count_only_if_the_metric_saw_them(filtered, config, samples):
    (row,), left_out = imported(lm_eval_file({f"exact_match,{filtered}": 0.5}, **config))
    assert (row["accuracy"], row["samples_per_problem"], left_out) == (0.5, samples, [])


def test_a_vote_is_no_accuracy():
    figures = {"exact_match,score-first": 0.4, "exact_match,maj@64": 0.6, "exact_match,maj@8": 0.5}
    (row,), left_out = imported(lm_eval_file(figures, repeats=64, filter_list=VOTES))
    assert row["accuracy"] == 0.4
    assert [reason.partition(" of aime24: ")[::2] for reason in left_out] == [
        (f"exact_match,maj@{n}", f"its filter takes the majority of {n} completions, which is maj@{n}, not an accuracy")
        for n in (64, 8)
    ]


def test_pass_at_k_is_in_its_own_column():
    figures = {
        "pass@1,all": 0.25,
        "pass@1_stderr,all": 0.05,
        "pass@16,all": 0.5,
        "pass@16_stderr,all": 0.08,
        "pass@4,all": 0.4,
    }
    (row,), left_out = imported(lm_eval_file(figures, repeats=64, filter_list=VOTES))
    assert (row["accuracy"], row["samples_per_problem"], left_out) == (0.25, 64, [])
    assert json.loads(row["pass_at_k"]) == {"1": 0.25, "4": 0.4, "16": 0.5}
    assert json.loads(row["pass_at_k_stderr"]) == {"1": 0.05, "16": 0.08}


def test_pass_at_k_without_pass_at_1_is_left_out():
    figures = {"exact_match,none": 0.3, "pass@16,all": 0.5, "pass@1,score-first": 0.2}
    rows, left_out = imported(lm_eval_file(figures, repeats=64, filter_list=VOTES))
    assert {row["verifier"]: (row["accuracy"], row["pass_at_k"]) for row in rows} == {
        "lm-eval:exact_match,none": (0.3, "{}"),
        "lm-eval:pass@1,score-first": (0.2, '{"1": 0.2}'),
    }
    assert left_out == [
        "pass@16,all of aime24: it is not an accuracy, and the file has no pass@1 of the same completions"
    ]


@pytest.mark.parametrize(
    ("figures", "config", "reason"),
    [
        ({"exact_match,flexible": float("nan")}, {}, "its value is nan"),
        ({"exact_match,flexible": "N/A"}, {}, "'N/A' is not a number"),
        ({"acc_norm,none": 88.5}, {}, "88.5 is not a share from 0 to 1"),
        ({"brier,none": 0.2}, {}, "it is better when lower"),
        ({"mcc,none": 0.4}, {}, "the file does not say that it is better when higher"),
        (
            {"mcc,none": 0.4},
            {"higher_is_better": {"mcc": True}},
            "the file does not say that it is a mean over problems",
        ),
        (
            {"f1,none": 0.4},
            {"metric_list": [{"metric": "f1", "aggregation": "f1", "higher_is_better": True}]},
            "it is aggregated by f1, not a mean over problems",
        ),
        ({"pass@16,none": 0.4}, {"repeats": 16}, "its name says 16 completions of a problem, and its filter takes 1"),
        ({"pass@k,all": 0.4}, {"repeats": 64, "filter_list": VOTES}, "the name does not say what k is"),
        ({"maj@8,all": 0.4}, {"repeats": 64, "filter_list": VOTES}, "maj@8 is not a mean of the scores of completions"),
        (
            {"best_at_8,all": 0.4},
            {"repeats": 64, "filter_list": VOTES},
            "best_at_8 is not a mean of the scores of completions",
        ),
        ({"avg@64,none": 0.4}, {"repeats": 64}, "its name says 64 completions of a problem, and its filter takes 1"),
    ],
)
def test_what_is_no_accuracy_is_left_out_and_named(figures, config, reason):
    (row,), left_out = imported(lm_eval_file({"exact_match,none": 0.3} | figures, **config))
    ((key, _),) = figures.items()
    assert (row["verifier"], left_out) == ("lm-eval:exact_match,none", [f"{key} of aime24: {reason}"])


@pytest.mark.parametrize(
    ("metric", "config"),
    [
        ("score", {"metric_list": [{"metric": "score", "aggregation": "mean", "higher_is_better": True}]}),
        (
            "own",
            {
                "metric_list": [
                    {
                        "metric": "def own(references, predictions):\n    return 1",
                        "aggregation": "mean",
                        "higher_is_better": True,
                    }
                ]
            },
        ),
        (
            "own",
            {"metric_list": [{"metric": "<function own at 0x7f>", "aggregation": "mean", "higher_is_better": True}]},
        ),
        ("avg@64", {"repeats": 64, "filter_list": VOTES}),
    ],
)
def test_other_means_are_accuracies(metric, config):
    (row,), left_out = imported(lm_eval_file({f"{metric},all": 0.3}, **config))
    assert (row["accuracy"], left_out) == (0.3, [])


def test_a_group_of_tasks_is_left_out_and_named():
    data = json.loads(json.dumps(LM_EVAL))
    data["results"]["mathematics"] = {"alias": "mathematics", "exact_match,none": 0.4}
    _, left_out = imported(data)
    assert "exact_match,none of mathematics: it belongs to a group of tasks, not to a single task" in left_out


@pytest.mark.parametrize(
    "change",
    [
        {"file_fewshot_as_multiturn": True},
        {"file_chat_template_sha": "99bb"},
        {"file_chat_template_sha": None},
        {"file_system_instruction_sha": "12ab"},
        {"file_n-shot": {"aime24": 4}},
        {"description": "Think first."},
        {"gen_prefix": "Answer:"},
        {"filter_list": VOTES},
    ],
)
def test_what_the_model_was_shown_is_part_of_the_hash(change):
    def comparability(**config):
        (row,), _ = imported(lm_eval_file({"exact_match,none": 0.3}, **config))
        return row["comparability"]

    assert comparability() == comparability(file_fewshot_as_multiturn=False, file_model_name="org/other")
    assert comparability() != comparability(**change)


def test_what_is_left_out_is_printed(place, capsys):
    figures = {"exact_match,none": 0.3, "math_verify,none": float("nan"), **{f"loss_{n},none": 2.0 for n in range(12)}}
    (place / "r.json").write_text(json.dumps(lm_eval_file(figures)))
    assert main(["leaderboard", "add", "r.json"]) == 0
    out = capsys.readouterr().out
    assert "1 of 1 rows added to leaderboard.csv\nleft out: math_verify,none of aime24: its value is nan\n" in out
    assert "left out: 3 more figures; --json has them all" in out
    assert len(run_json(capsys, "leaderboard", "add", "r.json")["left_out"]) == 13
    (place / "none.json").write_text(json.dumps(lm_eval_file({"pass@16,all": 0.5}, repeats=64, filter_list=VOTES)))
    assert main(["leaderboard", "add", "none.json", "--board", "none.csv"]) == 2
    assert "none.json contains no accuracy" in capsys.readouterr().err
    assert not (place / "none.csv").exists()


def test_two_models_do_not_fit_into_one_file_of_lm_eval(place, capsys):
    for name in ("a", "b"):
        append_row(place / "leaderboard.csv", evaluation(place, name, solved=30))
    assert main(["leaderboard", "export", "--format", "lm-eval"]) == 2
    assert "choose one with --model" in capsys.readouterr().err
    assert main(["leaderboard", "export", "--format", "lm-eval", "--model", "b"]) == 0
    assert json.loads(capsys.readouterr().out)["model_name"] == "b"
    with pytest.raises(ConfigError, match="published"):
        LmEvalExporter(None)([{"model": "m", "benchmark": "aime24", "figure": 1.0}])


def test_lm_eval_rows_refuse_a_damaged_file():
    from kgym.board.lmeval import lm_eval_rows

    with pytest.raises(DataError, match="damaged"):
        lm_eval_rows(LM_EVAL | {"n-samples": {"aime24": {}}}, where="x.json")


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


def test_the_folder_of_an_evaluation_is_cut_at_a_word():
    assert (
        shortened("fresh-runs-quickstart-checkpoints-step-12-data-validation") == "checkpoints-step-12-data-validation"
    )
    assert shortened("nano") == "nano"
    assert len(shortened("x" * 99)) == 40
