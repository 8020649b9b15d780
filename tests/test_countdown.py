"""Countdown: problems that can be solved, searches that are true, and a verifier that accepts every right expression
and no other.
"""

import ast
import operator
import random
import re
from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kgym.types import VerifyItem
from kgym.verify.service import load_verifier
from kgym_envs.countdown.moves import State, after, moves, reaches
from kgym_envs.countdown.search import trace
from kgym_envs.countdown.task import LEVELS, Countdown, CountdownOptions

VERIFIER = load_verifier("countdown")
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def judged(response, gold="(14-4)+8"):
    (verdict,) = VERIFIER.verify_many([VerifyItem(gold, response)])
    return verdict.status, verdict.reason


def test_digits_with_a_blank_between_them_are_not_one_number():
    assert judged(r"\boxed{14 - 4 + 8}") == ("correct", "value")
    for answer in ("1 4 - 4 + 8", "1~4-4+8", "14 - 4 + 8 = 1 8"):
        assert judged(rf"\boxed{{{answer}}}") == ("no_answer", "not_expression")


def value(expression):
    """Compute an expression by Python's own parser, exactly."""

    def of(node):
        if isinstance(node, ast.Constant):
            return Fraction(node.value)
        if isinstance(node, ast.UnaryOp):
            return -of(node.operand)
        return OPERATIONS[type(node.op)](of(node.left), of(node.right))

    return of(ast.parse(expression, mode="eval").body)


def problems(level, n, split="train"):
    source = Countdown(CountdownOptions(difficulty=level, min_difficulty=level)).source(split)
    return [source[index] for index in range(n)]


@pytest.fixture(scope="module", params=range(1, 11))
def level(request):
    return request.param, problems(request.param, 20 if request.param < 10 else 6)


def test_the_gold_answer_uses_the_numbers_of_the_question_once_and_makes_its_target(level):
    number, drawn = level
    for problem in drawn:
        (target,) = map(int, re.findall(r"(?:get|value|Make) (\d+)", problem.question))
        asked = Counter(re.findall(r"\d+", problem.question))
        asked[str(target)] -= 1
        assert +asked == Counter(re.findall(r"\d+", problem.gold))
        assert value(problem.gold) == target <= LEVELS[number - 1].target
        assert asked.total() == LEVELS[number - 1].numbers


def test_worked_solutions_are_true_fit_the_budget_and_end_in_the_answer(level):
    number, drawn = level
    budget = Countdown(CountdownOptions(difficulty=number)).max_tokens
    for problem in drawn:
        assert len(problem.solution) <= budget
        assert problem.solution.isascii()
        *search, chain, box = problem.solution.split("\n")
        assert box == f"\\boxed{{{problem.gold}}}"
        sides = chain.split("=")
        assert len({value(side) for side in sides}) == 1
        target = int(sides[0])
        assert search[0] == f"{' '.join(sorted(re.findall(r'[0-9]+', problem.gold), key=int))} for {target}"
        check_search(search, target)


def check_search(lines, target):
    """Play a search again: each line is a move from the state before it, no state's move is made twice, `yes`
    appears where it is true.
    """
    states: list[State] = [tuple(map(int, lines[0].partition(" for ")[0].split()))]
    made: list[set[str]] = [set()]
    for line in lines[1:]:
        depth = len(line) - len(line.lstrip("."))
        move, _, rest = line[depth:].partition(": ")
        del states[depth + 1 :], made[depth + 1 :]
        known = {str(option): option for option in moves(states[depth])}
        assert move in known
        assert move not in made[depth], "a move is tried once"
        made[depth].add(move)
        left = after(states[depth], known[move])
        shown, _, values = rest.partition(" > ")
        assert tuple(map(int, shown.split())) == left
        states.append(left)
        made.append(set())
        if values:
            found = values.removesuffix(" yes").split()
            assert found == [str(option.value) for option in moves(left)]
            assert values.endswith(" yes") == (str(target) in found) == (line == lines[-1])


def test_the_check_of_a_search_can_fail():
    lines = trace((4, 5, 8, 9), 18, random.Random(1), dead_ends=1.0)[:-2]
    check_search(lines, 18)
    for wrong in (
        [*lines[:2], lines[2].replace("=", "=1")],
        [*lines[:2], lines[1]],
        [*lines[:-1], lines[-1].removesuffix(" yes")],
    ):
        with pytest.raises(AssertionError):
            check_search(wrong, 18)


def test_dead_ends_are_all_there_is_to_length():
    lengths = [
        sum(len(trace((4, 5, 8, 9), 18, random.Random(seed), dead_ends=share)) for seed in range(40))
        for share in (0.0, 0.5, 1.0)
    ]
    assert lengths[0] == 40 * 5
    assert lengths[0] < lengths[1] < lengths[2]
    assert trace((1, 1, 1), 50, random.Random(0), dead_ends=1.0) is None


@given(st.lists(st.integers(1, 12), min_size=2, max_size=4), st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_what_is_reached_is_what_brute_force_reaches(numbers, target):
    def made(left):
        if len(left) == 1:
            return set(left)
        found = set()
        for i, j in ((i, j) for i in range(len(left)) for j in range(len(left)) if i != j and left[i] >= left[j]):
            rest = [number for k, number in enumerate(left) if k not in (i, j)]
            a, b = left[i], left[j]
            results = [a + b, a - b, a * b, *([a // b] if a % b == 0 else [])]
            for result in results:
                if 0 < result <= 999:
                    found |= made([*rest, result])
        return found

    assert reaches(tuple(sorted(numbers)), target) == (target in made(numbers))


def test_levels_take_longer_and_splits_share_nothing():
    means = [sum(len(problem.solution) for problem in problems(level, 60)) / 60 for level in (1, 3, 5, 9)]
    assert means == sorted(means)
    keys = [{problem.gold for problem in problems(1, 300, split)} for split in ("train", "validation")]
    numbers = [{(*sorted(re.findall(r"\d+", gold)), value(gold)) for gold in golds} for golds in keys]
    assert not numbers[0] & numbers[1]


def test_levels_in_the_wrong_order_are_refused():
    with pytest.raises(ValidationError, match="min_difficulty=5 is above difficulty=2"):
        CountdownOptions(difficulty=2, min_difficulty=5)


# --- the verifier -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (r"\boxed{(14-4)+8}", ("correct", "value")),
        (r"\boxed{8+14-4}", ("correct", "value")),
        (r"So \boxed{14 - 4 + 8 = 18}.", ("correct", "value")),
        (r"\boxed{18 = 8 - (4 - 14)}", ("correct", "value")),
        (r"\boxed{-4+14+8}", ("correct", "value")),
        (r"\boxed{\left(14-4\right)+8}", ("correct", "value")),
        (r"\boxed{$[14−4]+8$}", ("correct", "value")),
        (r"<think>\boxed{8}</think>\boxed{8+14-4}", ("correct", "value")),
        (r"\boxed{14-4+8}, that is \boxed{8+14-4}", ("correct", "value")),
        (r"\boxed{18}", ("wrong", "numbers")),
        (r"\boxed{14-4+8+0}", ("wrong", "numbers")),
        (r"\boxed{14+4}", ("wrong", "numbers")),
        (r"\boxed{9+9}", ("wrong", "numbers")),
        (r"\boxed{14+4-8}", ("wrong", "value")),
        (r"\boxed{14*4-8}", ("wrong", "value")),
        (r"\boxed{14*4-8} or \boxed{14-4+8}", ("wrong", "hedged")),
        (r"\boxed{14-4+8=19}", ("no_answer", "not_expression")),
        (r"\boxed{14/(8-4-4)}", ("wrong", "numbers")),
        (r"\boxed{x}", ("no_answer", "not_expression")),
        (r"\boxed{14-4+8)}", ("no_answer", "not_expression")),
        (r"\boxed{14-+*4+8}", ("no_answer", "not_expression")),
        (r"\boxed{__import__('os')}", ("no_answer", "not_expression")),
        (r"\boxed{" + "(" * 300 + "8+14-4" + ")" * 300 + "}", ("no_answer", "limit")),
        (r"\boxed{}", ("no_answer", "empty")),
        (r"\boxed{14-4+8", ("no_answer", "unterminated")),
        ("14-4+8", ("no_answer", "no_box")),
        (r"<think>\boxed{14-4+8}", ("no_answer", "no_box")),
    ],
)
def test_an_expression_is_judged_by_its_numbers_and_its_value(response, expected):
    assert judged(response) == expected


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("(20/5)*6", r"\frac{20}{5}\times 6", "correct"),
        ("(20/5)*6", r"6(20 \div 5)", "correct"),
        ("(20/5)*6", r"(6)(20)/5", "correct"),
        ("(20/5)*6", r"\dfrac{20\cdot 6}{5}", "correct"),
        ("(20/5)*6", r"20/(5/6)", "correct"),
        ("(20/5)*6", r"20/5/6", "wrong"),
        ("8/(3-(8/3))", r"8/(3-8/3)", "correct"),
        ("5-5+7", r"7/(5-5)", "no_answer"),
        ("3*3+3", r"3+3*3", "correct"),
        ("3*3+3", r"3*3", "wrong"),
        ("2+3", r"2+-(-3)", "correct"),
    ],
)
def test_spellings_are_read_and_values_are_exact(gold, answer, expected):
    assert judged(f"\\boxed{{{answer}}}", gold)[0] == expected


@pytest.mark.parametrize("gold", ["", "x", "3+", "1/0", "3=3"])
def test_a_gold_answer_that_is_no_expression_is_unscored(gold):
    assert judged(r"\boxed{3}", gold) == ("unscored", "gold")


EXPRESSIONS = st.recursive(
    st.integers(0, 30).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({''.join(parts)})"),
    max_leaves=7,
)


@given(EXPRESSIONS, st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_values_are_those_of_python(expression, rng):
    try:
        wanted = value(expression)
    except ZeroDivisionError:
        assert judged(r"\boxed{1}", expression) == ("unscored", "gold")
        return
    numbers = re.findall(r"\d+", expression)
    rng.shuffle(numbers)
    answer = numbers[0]
    for number in numbers[1:]:
        answer = f"{answer}{rng.choice('+-*')}{number}"
    assert judged(f"\\boxed{{{answer}}}", expression)[0] == ("correct" if value(answer) == wanted else "wrong")


@given(st.text(alphabet="0123456789+-*/() =\\{}boxed", max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_gets_a_verdict(text):
    assert judged(f"\\boxed{{{text}}}")[0] in ("correct", "wrong", "no_answer")


def test_brackets_are_read_without_recursion():
    depth = 120
    assert judged(r"\boxed{" + "(" * depth + "8" + ")" * depth + "+14-4}")[0] == "correct"


def test_moves_never_leave_the_numbers_of_the_game():
    for one, other in pairwise(range(1, 40)):
        assert all(0 < move.value <= 999 for move in moves((one, other)))
