"""Curation: what a text rules out, what a model could guess, pass rates as difficulty, and balance."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.cli.main import main
from kgym.data.screening import N_WORDS, duplicates, overlaps, unfit_form, words
from kgym.data.sources import ListedSource, data_source, save_data
from kgym.score.curation import HARDEST, CurationConfig, balanced, curate, level_of, screened
from kgym.types import Problem


def problem(number, question, gold="7", level=1, subject=""):
    return Problem(id=f"mine/{number}", question=question, gold=gold, level=level, subject=subject)


@pytest.mark.parametrize(
    ("question", "gold", "reason"),
    [
        ("Which of these is prime?\n(A) 4\n(B) 6\n(C) 7\n(D) 9", "7", "multiple choice"),
        (r"$\textbf{(A)}\ 4\qquad\textbf{(B)}\ 6\qquad\textbf{(C)}\ 7$ Which?", "7", "multiple choice"),
        ("Which is prime? A. 4 B. 6 C. 7", "C", "multiple choice"),
        ("Which one holds?", r"\text{(B)}", "multiple choice"),
        ("Is 91 prime?", "No", "true or false"),
        ("Does it converge?", r"\text{Yes}", "true or false"),
        ("Prove that n^2 is even if n is.", "", "proof"),
        ("Let n be even. Show that n^2 is even, and find n.", "4", "proof"),
        ("Triangle ABC has sides 3, 4 and 5. Find its area.", "6", ""),
        ("Points A, B and C lie on a line; (A) is no choice here. Find AC.", "6", ""),
        ("A proofreader reads 4 pages an hour. How many in 3 hours?", "12", ""),
        ("The graph shows that sales doubled. From what?", "12", ""),
        ("If yes means 1 and no means 0, what is yes+no?", "1", ""),
    ],
)
def test_forms_that_are_guessed_or_cannot_be_checked(question, gold, reason):
    assert unfit_form(question, gold) == reason


def test_duplicates_differ_in_signs_and_layout_alone():
    some = [
        problem(1, "What is $2+3$?"),
        problem(2, "what is 2 + 3"),
        problem(3, "What is 2+4?"),
        problem(4, r"What is \(2+3\)?"),
    ]
    assert duplicates(some) == {"mine/2": "mine/1", "mine/4": "mine/1"}


LONG = "A train leaves the old station at nine and travels north at sixty miles an hour until noon. How far does it go?"


def test_a_problem_of_a_benchmark_is_found_in_another_wording_around_it():
    held_out = {"exam": [problem(90, LONG), problem(91, "Find 3 times 5.")]}
    taken = problem(1, f"Consider this: {LONG.replace('?', '')} Explain.")
    short = problem(2, "find 3 times 5")
    free = problem(3, "A train leaves the new station at ten and goes south. How far does it go?")
    assert overlaps([taken, short, free], held_out) == {"mine/1": "exam", "mine/2": "exam"}


def test_the_wording_that_all_problems_of_a_benchmark_share_counts_for_nothing():
    frame = "Express the answer as m over n in lowest terms and find the sum m plus n."
    held_out = {
        "exam": [
            problem(90 + i, f"{text} {frame}") for i, text in enumerate(["Roll two dice.", "Draw three red cards."])
        ]
    }
    assert overlaps([problem(1, f"Toss a coin four times. {frame}")], held_out) == {}


@given(st.permutations("abcdefghijklmnopqr"), st.integers(1, N_WORDS + 2), st.integers(0, 8))
def test_runs_of_enough_words_are_found_and_shorter_ones_are_not(letters, length, start):
    part = " ".join(letters[start : start + length])
    found = overlaps([problem(1, f"x1 {part} x2")], {"exam": [problem(90, " ".join(letters))]})
    assert (found == {"mine/1": "exam"}) == (len(part.split()) >= N_WORDS)
    assert words(part) == list(letters[start : start + length])


def test_the_first_reason_is_kept():
    some = [
        problem(1, "Is 91 prime?", "no"),
        problem(2, "is 91 prime", "no"),
        problem(3, "What is 5+6?"),
        problem(4, "What is 5 + 6"),
    ]
    assert screened(some, {}) == {"mine/1": "true or false", "mine/2": "true or false", "mine/4": "duplicate"}


@given(st.integers(1, 20))
def test_levels_rise_as_pass_rates_fall(samples):
    levels = [level_of(right / samples) for right in range(samples + 1)]
    assert levels == sorted(levels, reverse=True)
    assert (levels[0], levels[-1]) == (HARDEST, 1)


def test_balance_keeps_so_many_of_each_subject_and_level_in_order():
    some = [problem(i, f"q{i}", level=1 + i % 2, subject="ab"[i % 3 == 0]) for i in range(30)]
    kept = balanced(some, 3, seed=0)
    assert [one for one in some if one in kept] == kept
    for key in {(one.subject, one.level) for one in some}:
        assert sum((one.subject, one.level) == key for one in kept) == 3
    assert balanced(some, 3, seed=1) != kept
    assert balanced(some, 0, seed=0) == some


def test_what_cannot_be_curated_is_said_before_anything_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "curate", "hard", "--min-rate", "0.9", "--max-rate", "0.1"]) == 2
    assert "min_rate=0.9 is above max_rate=0.1" in capsys.readouterr().err
    assert main(["data", "curate", "no/name"]) == 2
    assert main(["data", "curate", "hard", "--against", "not-there"]) == 2
    assert "kgym data add not-there" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="min_rate"):
        CurationConfig(model="nano", env="aime", min_rate=1, max_rate=0)


@pytest.mark.slow
def test_a_curation_of_generated_problems_is_a_data_set_to_train_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    words = [
        "data",
        "curate",
        "mine",
        "--problems",
        "24",
        "--samples",
        "4",
        "--guesses",
        "2",
        "--max-rate",
        "0.9",
        "--json",
    ]
    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["looked_at"] == 24
    assert first["kept"] + sum(first["left_out"].values()) == 24
    assert {"guessed", "pass rate"} >= set(first["left_out"])
    rates = json.loads((tmp_path / "runs/curate-mine/rates/results.json").read_text())["scores"]
    guesses = json.loads((tmp_path / "runs/curate-mine/guesses/results.json").read_text())["scores"]
    source = data_source("mine")
    assert source.provenance["curated"]["samples"] == 4
    for index in range(source.size):
        one = source[index]
        assert rates[one.id] <= 0.9
        assert guesses[one.id] == 0
        assert one.level == level_of(rates[one.id])
    report = (tmp_path / "runs/curate-mine/report.html").read_text()
    assert "What was left out" in report
    assert (tmp_path / "runs/curate-mine/report.png").read_bytes().startswith(b"\x89PNG")
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == first, "nothing is sampled again"
    assert main(["eval", "--bench", "data:train", "--set", "env.dataset=mine", "--problems", "4", "--json"]) == 0


def test_a_data_set_smaller_than_the_number_of_problems_is_curated_whole(tmp_path, monkeypatch):
    """256 problems by default, and an examination has 30: only those are sampled."""
    source = ListedSource([Problem(f"mine/{n}", f"What is {n} + 1?", str(n + 1)) for n in range(5)], {})
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "data"))
    save_data("mine", source)
    settings = {"env": "data", "env_options": {"dataset": "mine", "validation_frac": 0.0}}
    config = CurationConfig(model="nano", samples=2, guesses=1, guess_tokens=2, **settings)
    curated = curate(config, tmp_path / "run")
    assert config.problems == 256
    assert len(curated.looked_at) == 5
    assert set(curated.rates) == {problem.id for problem in source.problems}


def test_a_listed_source_is_saved_with_where_it_is_from(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path))
    save_data("mine", ListedSource([problem(1, "What is 3+4?", subject="sums")], {"curated": {}}))
    assert data_source("mine")[0] == problem(1, "What is 3+4?", subject="sums")
    assert data_source("mine").provenance == {"curated": {}}
