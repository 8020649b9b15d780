import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.types import Episode, Group, Problem, Segment, Verdict
from kgym_plugins.shapers.format import Format
from kgym_plugins.shapers.length_penalty import LengthPenalty
from kgym_plugins.shapers.overlong import Overlong
from kgym_plugins.shapers.repetition import Repetition

PROBLEM = Problem(id="test/0", question="?", gold="1")


def episode(n_tokens, status="correct", *, text="x", trainable=True, finish_reason="stop"):
    verdict = Verdict(status, reason="timeout" if status == "unscored" else "")
    segment = Segment(text, token_ids=[1] * n_tokens, engine_logprobs=[-1.0] * n_tokens, finish_reason=finish_reason)
    return Episode(problem=PROBLEM, attempt=0, prompt=(), pieces=[segment], verdict=verdict, trainable=trainable)


def shape(shaper, episodes, rewards=None, step=10**6, **options):
    rewards = [0.0] * len(episodes) if rewards is None else rewards
    return shaper(shaper.Options(**options))(Group(PROBLEM, episodes, rewards), rewards, step)


def test_length_penalty_by_hand():
    # lambda = 0.5, 0, -0.5 for lengths 10, 20, 30; a wrong completion is never paid for being short
    episodes = [episode(10), episode(20, "wrong"), episode(30, "wrong"), episode(10, "no_answer"), episode(30)]
    assert shape(LengthPenalty, episodes, [1, 0, 0, 0, 1], weight=0.5) == pytest.approx([1.25, 0, -0.25, 0, 0.75])


def test_length_penalty_of_equal_lengths_is_none():
    assert shape(LengthPenalty, [episode(10), episode(10, "wrong")], [1.0, 0.0]) == [1.0, 0.0]


def test_length_penalty_warms_up():
    episodes = [episode(10), episode(30)]
    assert shape(LengthPenalty, episodes, [1.0, 1.0], step=5, warmup_steps=5, weight=1.0) == [1.0, 1.0]
    assert shape(LengthPenalty, episodes, [1.0, 1.0], step=6, warmup_steps=5, weight=1.0) == [1.5, 0.5]


def test_length_penalty_leaves_untrained_episodes_out_of_the_range():
    episodes = [episode(10), episode(20), episode(1000, "unscored", trainable=False)]
    assert shape(LengthPenalty, episodes, [1.0, 1.0, 0.0], weight=1.0) == pytest.approx([1.5, 0.5, 0.0])
    assert shape(LengthPenalty, episodes[2:], [0.0]) == [0.0]


@given(st.lists(st.tuples(st.integers(1, 99), st.sampled_from(["correct", "wrong"])), min_size=1, max_size=8))
def test_length_penalty_stays_in_its_range(rows):
    shaped = shape(LengthPenalty, [episode(n, status) for n, status in rows], weight=1.0)
    for (_, status), value in zip(rows, shaped, strict=True):
        assert -0.5 <= value <= (0.5 if status == "correct" else 0.0)


def test_repetition_by_hand():
    looping, cut = episode(50, "wrong", finish_reason="repetition"), episode(50, "wrong", finish_reason="length")
    assert shape(Repetition, [looping, cut, episode(10)], [0.0, 0.0, 1.0], weight=0.25) == [-0.25, 0.0, 1.0]
    assert shape(Repetition, [looping], [0.1], step=1) == pytest.approx([-0.4])


def test_overlong_by_hand():
    episodes = [episode(n) for n in (1, 80, 85, 100, 150)]
    assert shape(Overlong, episodes, max_tokens=100, cache_tokens=20) == pytest.approx([0, 0, -0.25, -1, -1])
    assert shape(Overlong, episodes[3:], [1, 0], max_tokens=100, cache_tokens=20, weight=0.5) == pytest.approx(
        [0.5, -0.5]
    )


def test_overlong_refuses_a_stretch_longer_than_the_budget():
    with pytest.raises(ValueError, match="cache_tokens=20 is more than max_tokens=10"):
        Overlong.Options(max_tokens=10, cache_tokens=20)


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        ("<think>two and two</think> 4", True),
        (" <think></think>4", True),
        ("<think>two and two</think>", False),
        ("<think>two and two 4", False),
        ("two and two</think> 4", False),
        ("4 <think>two</think> 4", False),
        ("<think>a</think><think>b</think> 4", False),
        ("</think><think> 4", False),
        ("", False),
    ],
)
def test_format(text, keeps):
    assert shape(Format, [episode(3, text=text)], [1.0], weight=0.1) == [pytest.approx(1.1 if keeps else 1.0)]


def test_format_when_the_prompt_opens_the_tag():
    assert shape(Format, [episode(3, text="two</think> 4")], prompt_opens=True, weight=1.0) == [1.0]
    assert shape(Format, [episode(3, text="<think>two</think> 4")], prompt_opens=True, weight=1.0) == [0.0]
