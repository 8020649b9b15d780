"""From completions to figures, and which figures may be compared."""

import json
import math

import pandas as pd
import pytest

from kgym.score.comparability import comparability_facts, comparability_hash, differences
from kgym.score.results import EvalResult, summarise, variance_of
from kgym.types import Sampling


def frame(*rows):
    """Answers as (problem, attempt, status, truncated, tokens); problems "a..." are of level 1, others of level 2."""
    return pd.DataFrame(
        [
            {
                "problem_id": problem,
                "attempt": attempt,
                "level": 1 if problem.startswith("a") else 2,
                "subject": "algebra",
                "year": 2024 if problem.endswith("1") else 0,
                "answer": None if status == "no_answer" else f"{problem} {status}",
                "normal": None,
                "status": status,
                "score": None if status.startswith("unscored") else float(status == "correct"),
                "tokens": tokens,
                "finish_reason": truncated if isinstance(truncated, str) else "length" if truncated else "stop",
                "truncated": bool(truncated),
            }
            for problem, attempt, status, truncated, tokens in rows
        ]
    )


TABLE = frame(
    ("a1", 0, "correct", False, 10),
    ("a1", 1, "correct", True, 20),  # right, but cut short
    ("a2", 0, "wrong", False, 10),
    ("a2", 1, "unscored:timeout", False, 10),
    ("b1", 0, "correct", False, 30),
    ("b1", 1, "no_answer", True, 10),
    ("b2", 0, "unscored:crash", False, 10),
    ("b2", 1, "unscored:crash", False, 12),
)


def summary(rule="zero", table=TABLE):
    return summarise(table, samples=2, truncated=rule, facts={"split": "test"}, comparability="c0ffee")


def test_answers_that_repeat_themselves_are_counted_and_never_masked():
    table = frame(("a1", 0, "correct", False, 10), ("a1", 1, "wrong", "repetition", 10), ("a1", 2, "wrong", True, 10))
    results = {rule: summary(rule, table) for rule in ("zero", "score", "mask")}
    assert [result.repetition_frac for result in results.values()] == [1 / 3] * 3
    assert [result.truncated_frac for result in results.values()] == [2 / 3] * 3
    assert results["mask"].accuracy == 1 / 2  # of the right one and the one that repeats itself
    assert results["zero"].accuracy == results["score"].accuracy == pytest.approx(1 / 3)
    assert (
        results["zero"].from_json(
            {key: value for key, value in results["zero"].to_json().items() if key != "repetition_frac"}
        )
        is not None
    )


def test_unscored_answers_are_masked_and_counted():
    result = summary()
    assert result.scores == {"a1": 0.5, "a2": 0.0, "b1": 0.5}  # b2 has no score at all
    assert result.accuracy == pytest.approx(1 / 3)
    assert result.stderr == pytest.approx(math.sqrt(1 / 12) / math.sqrt(3))  # variance of (1/2, 0, 1/2) is 1/12
    assert (result.n_problems, result.n_scored_problems, result.n_samples) == (4, 3, 8)
    assert result.unscored_frac == 3 / 8
    assert list(result.unscored_by.items()) == [("crash", 2 / 8), ("timeout", 1 / 8)]
    assert result.truncated_frac == 2 / 8
    assert result.no_answer_frac == 1 / 8
    assert result.tokens_mean == 14.0


@pytest.mark.parametrize(
    ("rule", "scores"),
    [
        ("zero", {"a1": 0.5, "a2": 0.0, "b1": 0.5}),
        ("score", {"a1": 1.0, "a2": 0.0, "b1": 0.5}),
        ("mask", {"a1": 1.0, "a2": 0.0, "b1": 1.0}),
    ],
)
def test_what_an_answer_cut_short_is_worth(rule, scores):
    assert summary(rule).scores == scores


def test_pass_at_k_is_over_problems_with_k_scored_answers():
    assert summary().pass_at_k == {
        "1": pytest.approx(1 / 3),
        "2": 1.0,
    }  # for k=2: a1 and b1, each with one correct of two


def test_accuracy_by_level():
    levels = summary().by_level
    assert levels["1"] == {"accuracy": 0.25, "stderr": pytest.approx(0.25), "n_problems": 2}
    assert (levels["2"]["accuracy"], levels["2"]["n_problems"]) == (0.5, 1)
    assert math.isnan(levels["2"]["stderr"])  # one problem says nothing of others
    assert summary().by_subject["algebra"]["accuracy"] == pytest.approx(1 / 3)
    assert {year: by["n_problems"] for year, by in summary().by_year.items()} == {"2024": 2}


def test_nothing_scored_is_no_figure_and_not_zero():
    result = summary(table=TABLE[TABLE["problem_id"] == "b2"])
    assert math.isnan(result.accuracy)
    assert result.to_json()["accuracy"] is None
    assert result.scores == {}


@pytest.mark.parametrize("table", [TABLE, TABLE[TABLE["problem_id"] == "b2"]])
def test_results_survive_json(table):
    result = summary(table=table)
    text = json.dumps(result.to_json(), allow_nan=False)
    back = EvalResult.from_json(json.loads(text) | {"model": "nano"})
    assert json.loads(json.dumps(back.to_json())) == json.loads(text)  # counts among the figures come back as floats


ENV = {
    "env_id": "kgym/aime-v0",
    "split": "validation",
    "data_sha256": "ab",
    "verifier": "integer",
    "max_tokens": 512,
    "truncated": "zero",
}


def test_the_hash_is_of_values_and_not_of_their_order_or_type():
    one = comparability_facts(ENV, sampling=Sampling(temperature=1, stop=("b", "a")), n_problems=30)
    other = comparability_facts(
        dict(reversed(ENV.items())), sampling=Sampling(temperature=1.0, stop=("a", "b")), n_problems=30
    )
    assert comparability_hash(one) == comparability_hash(other)


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": Sampling(loop_tokens=64)},
        {"env": {"max_tokens": 1024}},
        {"env": {"data_sha256": "cd"}},
        {"sampling": Sampling(temperature=0.6)},
        {"n_problems": 31},
    ],
)
def test_every_fact_changes_the_hash_and_is_named(change):
    base = comparability_facts(ENV, sampling=Sampling(), n_problems=30)
    sampling, n_problems = change.get("sampling", Sampling()), change.get("n_problems", 30)
    changed = comparability_facts(ENV | change.get("env", {}), sampling=sampling, n_problems=n_problems)
    assert comparability_hash(base) != comparability_hash(changed)
    (words,) = differences(base, changed)
    assert " in one and " in words


def test_the_hash_stays_the_same_for_ever():
    # golden: rows on boards carry it; it changes only together with a changelog line
    facts = comparability_facts(ENV, sampling=Sampling(), n_problems=30)
    assert comparability_hash(facts)[:12] == "b3731285cf26"


def test_results_of_an_earlier_version_are_read_and_say_no_more_than_they_knew():
    first = {name: value for name, value in summary().to_json().items() if name not in LATER}
    back = EvalResult.from_json(first)
    assert (back.accuracy, back.scores) == (summary().accuracy, summary().scores)
    assert all(map(math.isnan, back.interval))
    with pytest.raises(ValueError, match="same kgym eval again"):
        variance_of(back)


LATER = {
    "interval",
    "bootstrap_interval",
    "maj_at_k",
    "g_pass_at_k",
    "finished_accuracy",
    "truncated_bounds",
    "by_year",
    "variance",
} | {
    "pass_at_k_stderr",
    "maj_at_k_stderr",
    "g_pass_at_k_stderr",
    "tokens_median",
    "tokens_p95",
    "tokens_per_solved",
}


def test_the_cut_and_the_finished():
    result = summary()
    # finished and scored: a1 right, a2 wrong, b1 right; with the cut completions of a1 and b1 wrong or right
    assert result.finished_accuracy == pytest.approx(2 / 3)
    assert result.truncated_bounds == (pytest.approx((0.5 + 0 + 0.5) / 3), pytest.approx((1 + 0 + 1) / 3))
    assert (result.tokens_median, result.tokens_per_solved) == (10.0, 112 / 2)


@pytest.mark.parametrize("n", [1, 10, 20, 33, 100])
def test_at_most_5_in_100_answers_are_longer_than_the_95_percent_length(n):
    table = frame(*((f"b{i}", 0, "wrong", False, 3 * i) for i in range(n)))
    result = summarise(table, samples=1, truncated="zero", facts={}, comparability="c")
    assert (table["tokens"] > result.tokens_p95).mean() <= 0.05
    assert result.tokens_p95 in table["tokens"].tolist()


def test_errors_of_pass_and_majority_are_over_problems():
    table = frame(
        *(
            (problem, i, status, False, 1)
            for problem in ("a1", "a2", "b1")
            for i, status in enumerate(["correct", "wrong"])
        )
    )
    table.loc[table["problem_id"] == "b1", ["status", "score"]] = ["wrong", 0.0]
    result = summarise(table, samples=2, truncated="zero", facts={}, comparability="c")
    assert result.pass_at_k["2"] == pytest.approx(2 / 3)
    assert result.pass_at_k_stderr["2"] == pytest.approx(1 / 3)  # of 1, 1, 0: sqrt(1/3) / sqrt(3)
    assert result.maj_at_k_stderr["2"] == pytest.approx(1 / 6)  # of 1/2, 1/2, 0
    assert result.g_pass_at_k_stderr["2"]["1.0"] == 0.0


def test_the_year_of_a_row_travels_from_the_file_to_the_problem(tmp_path, monkeypatch):
    from kgym.data.sources import FileSource, data_source, save_data

    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path))
    rows = [
        {"id": "2024-I-1", "problem": "What is 1+1?", "answer": "2"},
        {"id": 7, "problem": "What is 1+2?", "answer": "3"},
    ]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_data("mine", FileSource(tmp_path / "mine.jsonl"))
    assert [data_source("mine")[i].year for i in range(2)] == [2024, 0]
