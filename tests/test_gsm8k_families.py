"""The generated word problems of `gsm8k`: right answers, true working, no problem in two splits; the real ones as
data.
"""

import json
import random
import re
from statistics import mean

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import kgym
from aime_answers import statements
from gsm8k_answers import ANSWERS
from kgym.cli.main import main
from kgym.envs.generated import Draft, Family, GeneratedSource
from kgym.errors import MissingData
from kgym.types import Problem
from kgym_envs.gsm8k.stories import FAMILIES
from kgym_envs.gsm8k.task import VERSION, Gsm8k, Gsm8kOptions
from kgym_envs.gsm8k.telling import GOODS, PEOPLE, TREASURES

LEVELS = range(1, 6)
BY_NAME = {family.name: family for family in FAMILIES}


def problems(family: Family, level: int, n: int, split: str = "train") -> list[Problem]:
    source = GeneratedSource("gsm8k", VERSION, split, (family,), (level,))
    return [source[index] for index in range(n)]


@pytest.fixture(scope="module")
def many() -> dict[tuple[str, int], list[Problem]]:
    """Problems of both splits for every family and level."""
    return {
        (f.name, level): problems(f, level, 16) + problems(f, level, 4, "validation")
        for f in FAMILIES
        for level in LEVELS
    }


@pytest.mark.parametrize("name", BY_NAME)
def test_answers_agree_with_another_route_from_the_text(name, many):
    assert set(BY_NAME) == set(ANSWERS)
    for level in LEVELS:
        for problem in many[name, level]:
            assert ANSWERS[name](problem.question) == int(problem.gold), problem
            assert 0 < int(problem.gold) < 10_000
            assert problem.level == level


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FAMILIES), st.sampled_from(LEVELS), st.integers(0, 10**9))
def test_any_index_gives_a_right_problem(family, level, index):
    problem = GeneratedSource("gsm8k", VERSION, "train", (family,), (level,))[index]
    assert ANSWERS[family.name](problem.question) == int(problem.gold), problem
    assert problem.id == f"gsm8k/train/{family.name}/d{level}/{index}"


def test_working_is_true_and_ends_in_the_answer(many):
    for drawn in many.values():
        for problem in drawn:
            assert problem.solution.endswith(f"\n\\boxed{{{problem.gold}}}")
            found = statements(problem.solution.replace(" is less", "").replace(" is enough", ""))
            assert all(None not in sides and len(set(sides)) == 1 for sides in found), problem
            assert int(problem.gold) in {side for sides in found for side in sides} | set(
                map(int, re.findall(r"\d+", problem.solution))
            )
            assert kgym.verify(problem.gold, problem.solution).status == "correct"
            assert kgym.verify(problem.gold, rf"\boxed{{{int(problem.gold) + 1}}}").status == "wrong"


def test_texts_are_ascii_and_fit_the_budget(many):
    for drawn in many.values():
        for problem in drawn:
            text = problem.question + problem.solution
            assert text.isascii(), problem
            assert all(c == "\n" or c.isprintable() for c in text), problem
            assert len(problem.solution) <= Gsm8k.max_tokens, problem
            assert problem.question[-1] in ".?", problem
            assert "  " not in problem.question, problem
            assert ".." not in problem.question, problem


def test_levels_take_more_and_more_steps(many):
    steps = [mean(p.solution.count("=") for f in FAMILIES for p in many[f.name, level]) for level in LEVELS]
    assert steps == sorted(steps)
    assert steps[0] >= 1.9
    assert steps[-1] > 5


def test_wordings_and_variety():
    names = {name for name, _ in PEOPLE} | set(GOODS) | set(TREASURES)
    for family in FAMILIES:
        for level in (1, 5):
            drawn = problems(family, level, 60)
            wordings = {tuple(w for w in re.split(r"[^A-Za-z]+", p.question) if w not in names) for p in drawn}
            assert len(wordings) >= 3, family.name
            assert len({p.question for p in drawn}) >= 50, family.name
            golds = [p.gold for p in drawn]
            assert max(map(golds.count, golds)) <= 25, (family.name, level)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_train_and_validation_share_no_problem(family):
    """The parameters decide, and they leave out who the story is about: the same numbers under other names are one
    problem.
    """
    seen: dict[str, tuple[str | int, ...]] = {}

    def make(rng: random.Random, level: int) -> Draft | None:
        draft = family.make(rng, level)
        if draft is not None:
            assert seen.setdefault(draft.question, draft.params) == draft.params
            assert not set(draft.params) & {name for name, _ in PEOPLE}
        return draft

    drawn = {}
    for split in ("train", "validation"):
        source = GeneratedSource("gsm8k", VERSION, split, (Family(family.name, family.subject, make),), LEVELS)
        drawn[split] = {seen[source[index].question] for index in range(400)}
    assert not drawn["train"] & drawn["validation"]


def test_the_benchmark_is_balanced():
    source = Gsm8k(Gsm8kOptions()).source("validation")
    drawn = [source[index] for index in range(520)]
    assert len({p.question for p in drawn}) >= 515
    cells = [(p.id.split("/")[2], p.level) for p in drawn]
    assert {cells.count(cell) for cell in cells} == {13}
    assert len(set(cells)) == 5 * len(FAMILIES)


@pytest.mark.parametrize("options", [{"difficulty": 0}, {"difficulty": 6}, {"min_difficulty": 3, "difficulty": 2}])
def test_options_that_cannot_be(options):
    with pytest.raises(ValidationError):
        Gsm8kOptions(**options)


def test_the_split_test_is_what_the_user_brings(tmp_path, monkeypatch):
    monkeypatch.setenv("KGYM_DATA_DIR", str(tmp_path / "added"))
    with pytest.raises(MissingData, match="kgym data add gsm8k"):
        Gsm8k(Gsm8kOptions()).source("test")
    rows = [
        {"question": f"Ada has {n} shells and finds 2000. How many?", "answer": f"{n}+2000\n#### {n + 2000:,}"}
        for n in range(1319)
    ]
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["data", "add", "gsm8k", str(file)]) == 0
    source = Gsm8k(Gsm8kOptions()).source("test")
    assert (source.size, source[4].gold) == (1319, "2004")
    env = gymnasium.make("kgym/gsm8k-v0", split="test")
    for answer, reward in (
        (r"\boxed{2004}", 1.0),
        (r"\boxed{\$2{,}004}", 1.0),
        (r"\boxed{2}", 0.0),
        (r"\boxed{2, 4}", 0.0),
    ):
        env.reset(options={"index": 4})
        assert env.step(answer)[1] == reward, answer
