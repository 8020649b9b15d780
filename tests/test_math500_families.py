"""The generated problems of `math500`: right answers in simplest form, true working, no problem in two splits; the
real ones as data.
"""

import json
import os
import random
import re
import subprocess
import sys
from math import gcd
from statistics import mean

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import kgym
from aime_answers import statements
from kgym.cli.main import main
from kgym.envs.generated import Draft, Family, GeneratedSource
from kgym.errors import MissingData, UnknownName
from kgym.types import Problem
from kgym_envs.math500.task import FAMILIES, VERSION, Math500, Math500Options
from latex_values import maths
from math500_answers import ANSWERS, agrees

LEVELS = range(1, 6)
PIECE = re.compile(r"-?\\frac\{[^}]*\}\{[^}]*\}|\([^()]*\)|-?\d+|[-+a-z]+")
BY_NAME = {family.name: family for family in FAMILIES}


def problems(family: Family, level: int, n: int, split: str = "train") -> list[Problem]:
    source = GeneratedSource("math500", VERSION, split, (family,), (level,))
    return [source[index] for index in range(n)]


@pytest.fixture(scope="module")
def many() -> dict[str, list[Problem]]:
    """Problems of both splits and all levels for every family."""
    return {
        f.name: [
            p
            for level in LEVELS
            for split, n in (("train", 4), ("validation", 1))
            for p in problems(f, level, n, split)
        ]
        for f in FAMILIES
    }


def test_subjects_are_those_of_the_benchmark():
    assert len(BY_NAME) == len(FAMILIES) == 51
    assert set(BY_NAME) == set(ANSWERS)
    subjects = [f.subject for f in FAMILIES]
    assert {subject: subjects.count(subject) for subject in subjects} == {
        "Prealgebra": 7,
        "Algebra": 8,
        "Counting & Probability": 6,
        "Number Theory": 6,
        "Geometry": 7,
        "Intermediate Algebra": 9,
        "Precalculus": 8,
    }


@pytest.mark.parametrize("name", BY_NAME)
def test_answers_agree_with_another_route_from_the_text(name, many):
    for problem in many[name]:
        assert agrees(ANSWERS[name](problem.question), problem.gold), problem
        assert problem.id.split("/")[2:4] == [name, f"d{problem.level}"]
        assert problem.subject == BY_NAME[name].subject


def test_the_check_of_the_answers_can_fail(many):
    for name, drawn in many.items():
        one = drawn[0]
        other = next(p for p in drawn if p.gold != one.gold)
        assert not agrees_or_raises(ANSWERS[name](one.question), other.gold), name


def agrees_or_raises(expected, gold):
    try:
        return agrees(expected, gold)
    except (AttributeError, ValueError):  # a list where an interval was expected, say
        return False


def test_golds_are_in_simplest_form(many):
    for drawn in many.values():
        for problem in drawn:
            gold = problem.gold
            for above, below in re.findall(r"\\frac\{(\d+)\}\{(\d+)\}", gold):
                assert gcd(int(above), int(below)) == 1 < int(below), problem
            for above, below in re.findall(r"\\frac\{(\d*)(?:i|\\pi|\\sqrt\{\d+\})\}\{(\d+)\}", gold):
                assert gcd(int(above or 1), int(below)) == 1 < int(below), problem
            for inside in map(int, re.findall(r"\\sqrt\{(\d+)\}", gold)):
                assert inside > 1, problem
                assert all(inside % (k * k) for k in range(2, inside)), problem
            assert not re.search(r"(?<![\d.])1(?:x|i|\\pi|\\sqrt)|\+-|--", gold), problem
            if problem.subject.endswith("lgebra") and "left" not in gold:
                assert "(" not in gold, problem


def test_answers_are_of_many_types(many):
    golds = [problem.gold for drawn in many.values() for problem in drawn]
    types = {
        "integer": r"-?\d+",
        "decimal": r"\d+\.\d\d",
        "fraction": r"-?\\frac\{\d+\}\{\d+\}",
        "degrees": r"\d+\^\\circ",
        "name": r"\\text\{[A-Z][a-z]+\}",
        "list": r"[^()\[\]&]+(?:, [^()\[\]&]+)+",
        "polynomial": r"[-+\dx^]*x[-+\dx^]*",
        "equation": r"y=.*x.*",
        "interval": r"\\left[(\[][^\\]*(?:\\frac\{\d+\}\{\d+\})?, .*\\right[)\]]",
        "union": r"\\left\(-\\infty.*\\cup.*\\infty\\right\)",
        "tuple": r"\\left\( .+, .+ \\right\)",
        "root": r"\d*\\sqrt\{\d+\}",
        "sum with a root": r"\\frac\{\d+[-+]\d*\\sqrt\{\d+\}\}\{\d+\}",
        "multiple of pi": r"\\frac\{\d+\\pi\}\{\d+\}",
        "plus or minus": r"\\frac\{-?\d+ \\pm \d*i?\\sqrt\{\d+\}\}\{\d+\}",
        "complex number": r"-?\d+[-+]\d*i",
        "other base": r"\d+_[3-9]",
        "matrix": r"\\begin\{pmatrix\}.*&.*\\\\.*&.*\\end\{pmatrix\}",
        "column": r"\\begin\{pmatrix\}[^&]*\\\\[^&]*\\end\{pmatrix\}",
    }
    for name, pattern in types.items():
        assert sum(bool(re.fullmatch(pattern, gold)) for gold in golds) >= 4, name


def test_the_verifier_accepts_every_solution_and_no_other_answer(many):
    for name, drawn in many.items():
        for problem in drawn:
            assert kgym.verify(problem.gold, problem.solution).status == "correct", problem
        for one, other in zip(drawn[:5], drawn[5:10], strict=True):
            if not agrees_or_raises(ANSWERS[name](one.question), other.gold):
                assert kgym.verify(one.gold, other.solution).status == "wrong", (one, other.gold)


@pytest.mark.parametrize("name", BY_NAME)
def test_working_is_true_and_ends_in_the_answer(name, many):
    for problem in many[name]:
        assert problem.solution.endswith(f"\n\\boxed{{{problem.gold}}}"), problem
        assert problem.solution.count("\\boxed") == 1
        for sides in statements(problem.solution):
            known = {side for side in sides if side is not None}
            assert len(known) <= 1, (problem.solution, sides)
        for line in problem.solution.split("\n")[:-1]:
            left, equals, right = line.rpartition("=")
            assert not equals or left.split("=")[-1] != right, f"{line} says nothing"


def test_most_of_the_working_is_seen_by_the_check(many):
    sides = [side for drawn in many.values() for p in drawn for found in statements(p.solution) for side in found]
    assert sum(side is not None for side in sides) > 0.8 * len(sides)


def test_texts_are_ascii_and_fit_the_budget(many):
    for drawn in many.values():
        for problem in drawn:
            text = problem.question + problem.solution
            assert text.isascii(), problem
            assert all(c == "\n" or c.isprintable() for c in text), problem
            assert problem.question.count("$") % 2 == 0, problem
            assert len(problem.solution) <= Math500.max_tokens, problem
            assert problem.question[0].isupper() or problem.question[0] == "$", problem
            assert problem.question[-1] in ".?", problem
            assert "  " not in problem.question, problem


def test_levels_take_longer_and_longer(many):
    lengths = [mean(len(p.solution) for drawn in many.values() for p in drawn if p.level == level) for level in LEVELS]
    assert lengths == sorted(lengths)
    assert lengths[-1] > 1.5 * lengths[0]


@pytest.mark.parametrize("level", [1, 5])
def test_three_wordings_or_more(level):
    for family in FAMILIES:
        drawn = problems(family, level, 40)
        wordings = {
            tuple(w for w in re.sub(r"\$[^$]*\$", "", p.question).split() if w.strip(".,:;?").isalpha()) for p in drawn
        }
        assert len(wordings) >= 3, family.name


def test_an_answer_cannot_be_guessed(many):
    for family in FAMILIES:
        golds = [p.gold for level in LEVELS for p in problems(family, level, 20)]
        assert max(map(golds.count, golds)) <= 25, family.name


def test_the_benchmark_is_balanced_and_hardly_repeats():
    source = Math500(Math500Options()).source("validation")
    drawn = [source[index] for index in range(510)]
    assert len({p.id for p in drawn}) == 510
    assert len({p.question for p in drawn}) >= 505
    cells = [(p.id.split("/")[2], p.level) for p in drawn]
    assert {cells.count(cell) for cell in cells} == {2}
    assert len(set(cells)) == 5 * len(FAMILIES)


def recorded(family: Family, seen: dict[str, tuple[str | int, ...]]) -> Family:
    """A family that notes the parameters after each question."""

    def make(rng: random.Random, level: int) -> Draft | None:
        draft = family.make(rng, level)
        if draft is not None:
            assert seen.setdefault(draft.question, draft.params) == draft.params, (
                "a question must belong to one problem"
            )
        return draft

    return Family(family.name, family.subject, make)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_train_and_validation_share_no_problem(family):
    params: dict[str, tuple[str | int, ...]] = {}
    drawn = {}
    for split in ("train", "validation"):
        source = GeneratedSource("math500", VERSION, split, (recorded(family, params),), LEVELS)
        drawn[split] = {source[index].question for index in range(150)}
    assert not drawn["train"] & drawn["validation"]
    assert not {params[q] for q in drawn["train"]} & {params[q] for q in drawn["validation"]}


@pytest.mark.parametrize(
    "name", ["fraction_sum", "expand", "common_multiple", "base", "system", "radical", "expression"]
)
def test_another_order_does_not_smuggle_a_problem_across(name):
    """1/2+7/8 is 7/8+1/2, and so on: of questions with the same pieces and the same answer all are in one split."""
    pieces = {}
    for split in ("train", "validation"):
        drawn = [p for level in LEVELS for p in problems(BY_NAME[name], level, 300 if level == 1 else 60, split)]
        pieces[split] = {(p.gold, *sorted(PIECE.findall("".join(maths(p.question))))) for p in drawn}
    assert not pieces["train"] & pieces["validation"]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(FAMILIES), st.sampled_from(LEVELS), st.integers(0, 10**9))
def test_any_index_gives_a_right_problem(family, level, index):
    problem = GeneratedSource("math500", VERSION, "train", (family,), (level,))[index]
    assert agrees(ANSWERS[family.name](problem.question), problem.gold), problem
    assert problem.id == f"math500/train/{family.name}/d{level}/{index}"


def test_the_same_problem_in_another_process():
    code = (
        "import dataclasses, json; from kgym_envs.math500.task import Math500, Math500Options;"
        "source = Math500(Math500Options()).source('train');"
        "print(json.dumps([source.fingerprint] + [dataclasses.asdict(source[i]) for i in range(0, 510, 7)]))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    source = Math500(Math500Options()).source("train")
    fingerprint, *rows = json.loads(runs[0])
    assert fingerprint == source.fingerprint
    assert [Problem(**row) for row in rows] == [source[i] for i in range(0, 510, 7)]


# --- options, splits and the environment


def test_levels_asked_for_are_levels_given():
    source = Math500(Math500Options(min_difficulty=2, difficulty=3)).source("train")
    assert {source[i].level for i in range(2 * len(FAMILIES))} == {2, 3}


@pytest.mark.parametrize(
    "options", [{"difficulty": 0}, {"difficulty": 6}, {"min_difficulty": 3, "difficulty": 2}, {"dificulty": 1}]
)
def test_options_that_cannot_be(options):
    with pytest.raises(ValidationError):
        Math500Options(**options)


def test_an_unknown_split_is_refused_with_the_near_one():
    with pytest.raises(UnknownName, match="did you mean 'validation'"):
        Math500(Math500Options()).source("validaton")


def real(n: int) -> dict[str, object]:
    """A row as MATH-500 has them, with our own problem."""
    return {
        "problem": f"Write $\\frac{{{2 * n}}}{{{2 * n + 2}}}$ in lowest terms.",
        "solution": "Both are even.",
        "answer": f"\\frac{{{n}}}{{{n + 1}}}",
        "subject": "Prealgebra",
        "level": 1 + n % 5,
        "unique_id": f"test/prealgebra/{n}.json",
    }


def test_the_split_test_is_what_the_user_brings(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "added"))
    with pytest.raises(MissingData, match="kgym data add math500"):
        Math500(Math500Options()).source("test")
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(real(n)) + "\n" for n in range(500)))
    assert main(["data", "add", "math500", str(file)]) == 0
    source = Math500(Math500Options()).source("test")
    assert (source.size, source[7].subject, source[7].level, source[7].gold) == (500, "Prealgebra", 3, r"\frac{7}{8}")
    env = gymnasium.make("kgym/math500-v0", split="test")
    env.reset(options={"index": 7})
    assert env.step(r"So it is $\boxed{0.875}$.")[1] == 1.0


def test_an_episode():
    env = gymnasium.make("kgym/math500-v0", split="validation")
    _, info = env.reset(seed=3)
    problem = Math500(Math500Options()).source("validation")[info["index"]]
    _, reward, terminated, truncated, info = env.step(problem.solution)
    assert (reward, terminated, truncated, info["status"]) == (1.0, True, False, "correct")
