"""The smallest environment: right answers, no problem in two splits, and still small."""

import random
import re
from pathlib import Path

import pytest

import kgym_envs.arithmetic
from kgym.envs.generated import Family, GeneratedSource
from kgym.errors import DataError, UnknownName
from kgym_envs.arithmetic import FAMILIES, Arithmetic, ArithmeticOptions


@pytest.mark.parametrize("difficulty", [1, 2, 5, 10])
def test_answers_by_counting_on(difficulty):
    """Addition by columns, subtraction and multiplication by adding up."""
    source = Arithmetic(ArithmeticOptions(difficulty=difficulty)).source("train")
    for index in range(60):
        problem = source[index]
        a, sign, b = re.fullmatch(r"What is (\d+)([+*-])(\d+)\?", problem.question).groups()
        assert len(a) == difficulty + 2
        if sign == "+":
            assert add_columns(a, b) == problem.gold
        elif sign == "-":
            assert add_columns(b, problem.gold) == a
        else:
            assert str(sum([int(a)] * int(b))) == problem.gold
        assert problem.solution == f"{a}{sign}{b}=\\boxed{{{problem.gold}}}"
        assert len(problem.solution) <= Arithmetic.max_tokens


def add_columns(a: str, b: str) -> str:
    width, carry, digits = max(len(a), len(b)) + 1, 0, ""
    for x, y in zip(reversed(a.zfill(width)), reversed(b.zfill(width)), strict=True):
        carry, digit = divmod(int(x) + int(y) + carry, 10)
        digits = str(digit) + digits
    return digits.lstrip("0") or "0"


def test_train_and_validation_share_nothing():
    arithmetic = Arithmetic(ArithmeticOptions())
    drawn = {split: [arithmetic.source(split)[i].question for i in range(900)] for split in arithmetic.splits}
    numbers = {
        split: {tuple(sorted(re.findall(r"\d+|[+*-]", q))) for q in questions} for split, questions in drawn.items()
    }
    assert not numbers["train"] & numbers["validation"]
    assert len(set(drawn["validation"][:500])) >= 480


def test_problems_are_named_after_what_they_are():
    problem = Arithmetic(ArithmeticOptions(difficulty=3)).source("validation")[4]
    assert (problem.id, problem.level, problem.subject) == ("arithmetic/validation/difference/d3/4", 3, "arithmetic")
    (message,) = Arithmetic(ArithmeticOptions()).prompt(problem)
    assert message == ("user", f"{problem.question}\nAnswer in \\boxed{{}}.")


def test_an_unknown_split_is_refused_with_the_near_one():
    with pytest.raises(UnknownName, match="did you mean 'train'"):
        Arithmetic(ArithmeticOptions()).source("trian")


def test_it_is_the_smallest_example():
    assert len(Path(kgym_envs.arithmetic.__file__).read_text().splitlines()) < 60


def test_a_family_without_problems_for_a_split_says_so():
    barren = Family("barren", "none", lambda rng, level: None)
    with pytest.raises(DataError, match=r"'barren' gave no train problem at level 1 .* widen"):
        GeneratedSource("x", 1, "train", (barren,), (1,))[0]


def test_a_family_of_one_problem_serves_one_split_alone():
    draft = FAMILIES[0].make(random.Random(0), 1)
    family = Family("one", "arithmetic", lambda rng, level: draft)
    served = []
    for split in ("train", "validation"):
        try:
            served.append(GeneratedSource("x", 1, split, (family,), (1,))[0].question)
        except DataError:
            continue
    assert served == [draft.question]
