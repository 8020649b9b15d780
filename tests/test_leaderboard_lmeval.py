"""`kgym leaderboard` and results files of lm-evaluation-harness: which figures become rows, and rows as such a file."""

import json

import pytest

from kgym.board.table import append_row, read_board
from kgym.cli.main import main
from kgym.errors import ConfigError, DataError
from kgym_plugins.exporters.lmeval import LmEvalExporter
from test_leaderboard import evaluation, place, run_json

__all__ = ["place"]  # a fixture

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
