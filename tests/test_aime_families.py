"""The generated problems of `aime`: right answers, true working, no problem in two splits, and levels that really
are levels.
"""

import json
import os
import random
import re
import subprocess
import sys
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aime_answers import ANSWERS, integers, statements
from kgym.envs.generated import Draft, Family, GeneratedSource, split_of
from kgym.errors import MissingData, UnknownName
from kgym.types import Problem
from kgym_envs.aime.task import FAMILIES, VERSION, YEARS, Aime, AimeOptions

LEVELS = range(1, 11)
BY_NAME = {family.name: family for family in FAMILIES}


def problems(family: Family, level: int, n: int, split: str = "train") -> list[Problem]:
    source = GeneratedSource("aime", VERSION, split, (family,), (level,))
    return [source[index] for index in range(n)]


@pytest.fixture(scope="module")
def many() -> dict[tuple[str, int], list[Problem]]:
    """Problems of both splits for every family and level."""
    return {
        (f.name, level): problems(f, level, 12) + problems(f, level, 4, "validation")
        for f in FAMILIES
        for level in LEVELS
    }


def test_every_topic_and_family_is_there():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) == 18
    assert set(BY_NAME) == set(ANSWERS)
    assert {f.subject for f in FAMILIES} == {
        "number theory",
        "counting",
        "probability",
        "algebra",
        "sequences",
        "coordinate geometry",
    }


@pytest.mark.parametrize("name", BY_NAME)
def test_answers_agree_with_another_route_from_the_text(name, many):
    for level in LEVELS:
        for problem in many[name, level]:
            assert ANSWERS[name](problem.question) == int(problem.gold), problem
            assert 0 <= int(problem.gold) <= 999
            assert problem.level == level
            assert problem.subject == BY_NAME[name].subject


@pytest.mark.parametrize("name", BY_NAME)
def test_working_is_true_and_ends_in_the_answer(name, many):
    sides_seen = sides_known = 0
    for level in LEVELS:
        for problem in many[name, level]:
            assert problem.solution.endswith(f"\n\\boxed{{{problem.gold}}}")
            assert problem.solution.count("\\boxed") == 1
            numbers = 0
            for sides in statements(problem.solution):
                known = {side for side in sides if side is not None}
                assert len(known) <= 1, (problem.solution, sides)
                sides_seen += len(sides)
                sides_known += len(sides) - sides.count(None)
                numbers += len(sides) - sides.count(None) > 1
            assert numbers, f"no equality between numbers in {problem.solution!r}"
    assert sides_known > 0.75 * sides_seen, "the check must see most of the working"


def test_the_check_of_the_working_can_fail():
    assert {7, 8} <= set(statements("3+4=7=8\n\\boxed{8}")[0])
    assert statements("a_3: 39 mod 7=4\n5x=C(5,2)=10, lcm(4,6)=12\n\\boxed{1}") == [[4, 4], [None, 10, 10], [12, 12]]


def test_texts_are_short_ascii_and_fit_the_budget(many):
    for (name, level), drawn in many.items():
        budget = Aime(AimeOptions(difficulty=level)).max_tokens
        for problem in drawn:
            text = problem.question + problem.solution
            assert text.isascii(), problem
            assert all(c == "\n" or c.isprintable() for c in text), problem
            assert len(problem.solution) <= budget, problem
        if level == 1:
            assert 40 <= mean(len(Aime(AimeOptions()).prompt(p)[0].content) for p in drawn) <= 110
            assert 25 <= mean(len(p.solution) for p in drawn) <= 110, name


def test_levels_take_longer_and_longer(many):
    lengths = [mean(len(p.solution) for f in FAMILIES for p in many[f.name, level]) for level in LEVELS]
    assert lengths == sorted(lengths)
    for family in FAMILIES:
        easy, hard = (
            mean(len(p.solution) for level in levels for p in many[family.name, level]) for levels in ((1, 2), (9, 10))
        )
        assert hard > 1.3 * easy, family.name


@pytest.mark.parametrize("level", [1, 10])
def test_three_wordings_or_more(level):
    nouns = re.compile("soups|rolls|pies|teas|cakes|hats|coats|ties|bags|belts|books|films|songs|plays|games")
    for family in FAMILIES:
        wordings = {
            tuple(word for word in nouns.sub("", p.question).split() if word.strip(".,:;?").isalpha())
            for p in problems(family, level, 40)
        }
        assert len(wordings) >= 3, family.name


def test_an_answer_cannot_be_guessed():
    for family in FAMILIES:
        golds = [p.gold for p in problems(family, 1, 100)]
        assert max(map(golds.count, golds)) <= 35, family.name


def test_default_problems_are_balanced_and_validation_hardly_repeats():
    source = Aime(AimeOptions()).source("validation")
    drawn = [source[index] for index in range(1000)]
    assert len({p.id for p in drawn}) == 1000
    assert len({p.question for p in drawn}) >= 970
    cells = [(p.id.split("/")[2], p.level) for p in drawn]
    assert {cells.count(cell) for cell in set(cells)} <= {1000 // len(FAMILIES), 1000 // len(FAMILIES) + 1}
    assert {level for _, level in cells} == {AimeOptions().difficulty} == {1}


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


def test_train_and_validation_share_no_problem():
    for family in FAMILIES:
        params: dict[str, tuple[str | int, ...]] = {}
        drawn = {}
        for split in ("train", "validation"):
            source = GeneratedSource("aime", VERSION, split, (recorded(family, params),), (1, 2, 3))
            drawn[split] = {source[index].question for index in range(300)}
        assert not drawn["train"] & drawn["validation"]
        assert not {params[q] for q in drawn["train"]} & {params[q] for q in drawn["validation"]}


@pytest.mark.parametrize("name", ["gcd", "distance"])
def test_order_of_symmetric_numbers_does_not_smuggle_a_problem_across(name):
    """gcd(36,84) is gcd(84,36), and the distance of A and B that of B and A."""
    parts = {}
    for split in ("train", "validation"):
        texts = [p.question for p in problems(BY_NAME[name], 1, 1500, split)]
        if name == "gcd":
            parts[split] = {tuple(sorted(integers(text))) for text in texts}
        else:
            numbers = [integers(text.replace("^2", "")) for text in texts]
            parts[split] = {tuple(sorted((tuple(n[:2]), tuple(n[2:4])))) for n in numbers}
    assert not parts["train"] & parts["validation"]


@given(st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=4))
def test_a_key_belongs_to_one_split(key):
    assert split_of(*key) == split_of(*key)
    assert split_of(*key) in ("train", "validation")


def test_one_key_in_five_is_for_validation():
    share = mean(split_of("x", n) == "validation" for n in range(5000))
    assert share == pytest.approx(0.2, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(FAMILIES), st.sampled_from(LEVELS), st.integers(0, 10**9))
def test_any_index_gives_a_right_problem(family, level, index):
    problem = GeneratedSource("aime", VERSION, "train", (family,), (level,))[index]
    assert ANSWERS[family.name](problem.question) == int(problem.gold)
    assert problem.id == f"aime/train/{family.name}/d{level}/{index}"


def test_the_same_problem_in_another_process():
    code = (
        "import dataclasses, json; from kgym_envs.aime.task import Aime, AimeOptions;"
        "source = Aime(AimeOptions(difficulty=10)).source('train');"
        "print(json.dumps([source.fingerprint] + [dataclasses.asdict(source[i]) for i in range(0, 360, 7)]))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    source = Aime(AimeOptions(difficulty=10)).source("train")
    fingerprint, *rows = json.loads(runs[0])
    assert fingerprint == source.fingerprint
    assert [Problem(**row) for row in rows] == [source[i] for i in range(0, 360, 7)]


def test_the_same_id_is_the_same_problem_whatever_the_options():
    wide = Aime(AimeOptions(difficulty=3)).source("train")
    by_id = {p.id: p for p in (wide[i] for i in range(1000))}
    narrow = Aime(AimeOptions(difficulty=2)).source("train")
    shared = [p for p in (narrow[i] for i in range(1000)) if p.id in by_id]
    assert len(shared) > 100
    assert all(by_id[p.id] == p for p in shared)


def test_fingerprint_tells_split_and_options_apart():
    sources = [Aime(AimeOptions(difficulty=d)).source(s) for d in (1, 2, 3) for s in ("train", "validation")]
    assert len({source.fingerprint for source in sources}) == 6
    assert Aime(AimeOptions(difficulty=2)).source("train").fingerprint == sources[2].fingerprint
    assert all(re.fullmatch("[0-9a-f]{64}", source.fingerprint) for source in sources)
    assert sources[0].size is None


def test_the_prompt_asks_the_question_and_for_a_box():
    aime = Aime(AimeOptions())
    problem = aime.source("train")[0]
    (message,) = aime.prompt(problem)
    assert message == ("user", problem.question + "\nAnswer in \\boxed{}.")


@pytest.mark.parametrize(
    "options", [{"difficulty": 0}, {"difficulty": 11}, {"min_difficulty": 3, "difficulty": 2}, {"dificulty": 1}]
)
def test_options_that_cannot_be(options):
    with pytest.raises(ValidationError):
        AimeOptions(**options)


def test_levels_asked_for_are_levels_given():
    source = Aime(AimeOptions(min_difficulty=4, difficulty=6)).source("train")
    assert {source[i].level for i in range(100)} == {4, 5, 6}


def test_wrong_indices_and_splits_are_refused():
    aime = Aime(AimeOptions())
    with pytest.raises(IndexError):
        aime.source("train")[-1]
    with pytest.raises(UnknownName, match="validation"):
        aime.source("validaton")


@pytest.mark.parametrize(("year", "name"), YEARS.items())
def test_a_year_that_is_not_there_names_the_command_that_gets_it(year, name, tmp_path, monkeypatch):
    pytest.importorskip("kgym.data.sources")
    for variable in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "KGYM_HOME", "KGYM_DATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingData, match=f"kgym data add {name}"):
        Aime(AimeOptions()).source(year)
