import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.errors import ConfigError
from kgym.options import for_run
from kgym.types import Problem, Verdict
from kgym_plugins.samplers.curriculum import Curriculum
from kgym_plugins.samplers.prioritized import Prioritized
from kgym_plugins.samplers.uniform import Uniform

SAMPLERS = [Uniform, Curriculum, Prioritized]


class Levels:
    """A source whose problem i has level i % 10 + 1."""

    fingerprint = "levels"

    def __init__(self, size):
        self.size = size

    def __getitem__(self, index):
        if self.size is not None and not 0 <= index < self.size:
            raise IndexError(index)
        return Problem(id=f"levels/{index}", question="?", gold="1", level=index % 10 + 1)


def make(sampler, size, seed=0, **options):
    return sampler(sampler.Options(**options), Levels(size), seed)


@pytest.mark.parametrize("sampler", SAMPLERS)
@given(
    size=st.one_of(st.none(), st.integers(8, 40)), steps=st.integers(0, 6), n=st.integers(1, 8), seed=st.integers(0, 99)
)
def test_resumes_where_it_stopped(sampler, size, steps, n, seed):
    straight = make(sampler, size, seed)
    for step in range(steps):
        for index in straight.next(n, step + 1):
            straight.update(index, [Verdict("correct" if step % 2 else "wrong")])
    resumed = make(sampler, size, seed)
    resumed.load_state_dict(json.loads(json.dumps(straight.state_dict())))
    following = range(steps + 1, steps + 5)
    assert [resumed.next(n, step) for step in following] == [straight.next(n, step) for step in following]


@pytest.mark.parametrize("sampler", SAMPLERS)
@given(size=st.one_of(st.none(), st.integers(5, 40)), n=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_step_has_no_problem_twice(sampler, size, n, seed):
    # the seeds of two groups of the same problem would be the same, and so would their completions
    source = make(sampler, size, seed)
    for step in range(1, 21):
        chosen = source.next(n, step)
        assert len(set(chosen)) == n
        assert all(size is None or 0 <= index < size for index in chosen)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seeds_differ(sampler):
    assert make(sampler, None, 1).next(5, 1) != make(sampler, None, 2).next(5, 1)
    assert make(sampler, 1000, 1).next(5, 1) != make(sampler, 1000, 2).next(5, 1)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_step_larger_than_the_source_is_refused(sampler):
    with pytest.raises(ConfigError, match="a step of 9 problems"):
        make(sampler, 8).next(9, 1)


@given(size=st.integers(1, 30), seed=st.integers(0, 99), data=st.data())
def test_uniform_gives_each_problem_once_an_epoch(size, seed, data):
    n = data.draw(st.integers(1, size))
    sampler = make(Uniform, size, seed)
    drawn = [index for step in range(3 * size) for index in sampler.next(n, step + 1)]
    for epoch in range(3 * n):
        assert sorted(drawn[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_uniform_never_repeats_an_endless_source():
    sampler = make(Uniform, None)
    drawn = [index for step in range(50) for index in sampler.next(7, step + 1)]
    assert len(set(drawn)) == 350


@pytest.mark.parametrize("size", [None, 200])
def test_curriculum_climbs(size):
    sampler = make(Curriculum, size, steps=10, lookahead=200)
    source = Levels(size)
    tops = [max(source[index].level for index in sampler.next(20, step)) for step in range(1, 13)]
    assert tops[0] == 1
    assert tops == sorted(tops)
    assert tops[-1] == 10
    assert tops[4] <= 5


def test_curriculum_takes_the_easiest_of_the_rest_when_too_few_are_easy():
    sampler = make(Curriculum, 20, steps=10)  # two problems of each level
    assert sorted(Levels(20)[index].level for index in sampler.next(6, 1)) == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("size", [None, 200])
def test_rounds_of_a_step_do_not_hurry_the_curriculum(size):
    sampler = make(Curriculum, size, steps=10, lookahead=200)
    rounds = [sampler.next(5, 1) for _ in range(8)]
    assert {Levels(size)[index].level for indices in rounds for index in indices} == {1}
    assert rounds[0] != rounds[1]


def test_curriculum_in_a_run_ends_at_its_share():
    options = for_run(Curriculum.Options(steps=0.5), 12)
    assert options.steps == 6
    sampler = Curriculum(options, Levels(200), 0)
    tops = [max(Levels(200)[index].level for index in sampler.next(20, step)) for step in (1, 3, 6)]
    assert tops[0] < tops[1] < tops[2] == 10


def test_curriculum_hands_over_to_priorities_that_it_has_tracked():
    sampler = make(Curriculum, 20, steps=2, then="prioritized")
    known = set(sampler.next(10, 1)) | set(sampler.next(10, 2))
    solved = min(known)
    for index in known:
        sampler.update(index, [Verdict("correct" if index == solved else "wrong")])
    resumed = make(Curriculum, 20, steps=2, then="prioritized")
    resumed.load_state_dict(json.loads(json.dumps(sampler.state_dict())))
    draws = Counter(index for step in range(3, 203) for index in resumed.next(5, step))
    others = [draws[index] for index in known - {solved}]
    assert draws[solved] < min(others)
    assert set(draws) - {solved} == set(range(20)) - {solved}  # the hard ones too


def test_prioritized_is_proportional_to_failure():
    # solved at rates 0, 0.5 and 0.75: drawn 4 : 2 : 1 times
    sampler = make(Prioritized, 3, memory=0.0)
    for index, n_right in enumerate((0, 2, 3)):
        sampler.update(index, [Verdict("correct")] * n_right + [Verdict("wrong")] * (4 - n_right))
    drawn = Counter(sampler.next(1, step)[0] for step in range(1, 7001))
    assert [drawn[index] / 1000 for index in range(3)] == pytest.approx([4, 2, 1], abs=0.2)


def test_prioritized_forgets_and_ignores_the_unscored():
    sampler = make(Prioritized, 3, memory=0.5)
    sampler.update(0, [Verdict("correct"), Verdict("unscored", reason="timeout")])
    sampler.update(0, [Verdict("unscored", reason="timeout")])
    assert sampler.state_dict()["rates"] == [[0, 1.0, 1]]
    sampler.update(0, [Verdict("wrong")])
    assert sampler.state_dict()["rates"] == [[0, 0.5, 0]]


def practise(sampler, n, steps, solves):
    """Choose n problems in each step and solve those that `solves` says; return what was chosen."""
    chosen = []
    for step in range(1, steps + 1):
        chosen.append(sampler.next(n, step))
        for index in chosen[-1]:
            sampler.update(index, [Verdict("correct" if solves(index) else "wrong")] * 2)
    return chosen


def test_what_is_solved_again_and_again_is_retired_until_too_few_are_left():
    sampler = make(Prioritized, 20, retire=2, floor=1.0)
    steps = practise(sampler, 5, 60, lambda index: index < 10)
    visits = Counter(index for step in steps for index in step)
    assert all(visits[index] == 2 for index in range(10)), "solved twice, and asked no more"
    assert sampler.figures()["retired_frac"] == 0.5
    later = practise(sampler, 12, 1, lambda index: False)[0]
    assert set(range(10, 20)) < set(later), "retired problems fill up a step"


def test_one_failure_starts_the_count_of_a_problem_anew():
    sampler = make(Prioritized, 4, retire=2)
    for verdicts in (["correct"], ["correct", "wrong"], ["correct"]):
        sampler.update(0, [Verdict(status) for status in verdicts])
    sampler.next(4, 1)
    assert sampler.figures()["retired_frac"] == 0.0
    sampler.update(0, [Verdict("correct")])
    sampler.next(4, 2)
    assert sampler.figures()["retired_frac"] == 0.25


def test_retirement_is_resumed_and_states_of_before_it_are_read():
    first = make(Prioritized, 20, retire=2)
    practise(first, 5, 12, lambda index: index < 10)
    second = make(Prioritized, 20, retire=2)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    solves = lambda index: index < 12  # noqa: E731
    assert practise(first, 5, 8, solves) == practise(second, 5, 8, solves)
    assert first.figures() == second.figures()
    second.load_state_dict({"draws": 3, "rates": [[4, 0.5]]})
    assert second.state_dict() == {"draws": 3, "rates": [[4, 0.5, 0]]}


def test_figures_say_what_was_chosen():
    sampler = make(Prioritized, 20, memory=0.0)
    assert sampler.figures() == {}
    practise(sampler, 20, 1, lambda index: index < 10)
    assert sampler.figures() == {
        "chosen_success_frac": 0.0,
        "chosen_new_frac": 1.0,
        "tried_frac": 0.0,
        "retired_frac": 0.0,
    }
    sampler.next(20, 2)
    assert sampler.figures() == {
        "chosen_success_frac": 0.5,
        "chosen_new_frac": 0.0,
        "tried_frac": 1.0,
        "retired_frac": 0.0,
    }
    curriculum = make(Curriculum, 40, steps=4, then="prioritized", retire=1)
    ceilings = []
    for step in range(1, 5):
        curriculum.next(2, step)
        ceilings.append(curriculum.figures()["ceiling_level"])
    assert ceilings == sorted(ceilings)
    assert ceilings[-1] == 10
    curriculum.next(2, 5)
    assert curriculum.figures()["chosen_new_frac"] == 1.0


def test_a_curriculum_says_what_it_chose_before_it_hands_over_and_after():
    sampler = make(Curriculum, 20, steps=2, then="prioritized", retire=1)
    practise(sampler, 10, 1, lambda index: True)
    assert sampler.figures() == {
        "ceiling_level": 5.0,
        "chosen_success_frac": 0.0,
        "chosen_new_frac": 1.0,
        "tried_frac": 0.0,
        "retired_frac": 0.0,
    }
    easy = sampler.next(10, 2)
    found = sampler.figures()
    assert found["ceiling_level"] == 10.0
    assert found["tried_frac"] == found["retired_frac"] == 0.5, "all that was asked was solved"
    known = sum(index % 10 < 5 for index in easy) / 10
    assert found["chosen_success_frac"] == known
    later = sampler.next(10, 3)
    assert all(index % 10 >= 5 for index in later), "what was retired in the curriculum is not asked afterwards"


def test_of_an_endless_source_the_pool_is_what_is_practised_after_the_curriculum():
    sampler = make(Curriculum, None, steps=1, then="prioritized", pool=8, lookahead=50)
    practise(sampler, 12, 1, lambda index: True)
    assert len({index for step in range(2, 30) for index in sampler.next(4, step)}) == 8
    assert sampler.figures()["tried_frac"] <= 1.0
