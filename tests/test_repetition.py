"""The detector of repetition: first against its definition, then its cost, then what an episode makes of it."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgym.cli.main import main
from kgym.repetition import SHORTEST, RepetitionDetector, repeats


def is_repeated(tokens, length):
    """The definition: the last `length` tokens have a period of at most a quarter of it."""
    last = tokens[-length:]
    return len(last) == length and any(
        all(one == other for one, other in zip(last, last[period:], strict=False))
        for period in range(1, length // 4 + 1)
    )


def first_by_definition(tokens, length):
    return next((n for n in range(1, len(tokens) + 1) if is_repeated(tokens[:n], length)), None)


def first(tokens, length):
    detector = RepetitionDetector(length)
    return next((n for n, token in enumerate(tokens, 1) if detector.feed(token)), None)


@st.composite
def completions(draw):
    """Tokens with loops in them: a few random tokens, then a block many times, with a token changed here and there."""
    tokens = []
    for _ in range(draw(st.integers(1, 4))):
        tokens += draw(st.lists(st.integers(0, 2), max_size=12))
        block = draw(st.lists(st.integers(0, 2), min_size=1, max_size=9))
        tokens += (block * 12)[: draw(st.integers(0, 60))]
    if tokens and draw(st.booleans()):
        tokens[draw(st.integers(0, len(tokens) - 1))] = 3
    return tokens


@given(completions(), st.integers(SHORTEST, 40))
def test_it_fires_where_the_definition_does(tokens, length):
    assert first(tokens, length) == first_by_definition(tokens, length)


@given(completions(), st.integers(SHORTEST, 24))
def test_it_agrees_with_the_definition_at_every_position(tokens, length):
    """Also after the first: a detector forgets a loop that has ended."""
    detector = RepetitionDetector(length)
    found = [detector.feed(token) for token in tokens]
    assert found == [is_repeated(tokens[:n], length) for n in range(1, len(tokens) + 1)]


@given(completions(), st.integers(SHORTEST, 40), st.integers(0, 200))
def test_a_cut_changes_nothing(tokens, length, cut):
    whole, second = RepetitionDetector(length), RepetitionDetector(length, tokens[:cut])
    assert [second.feed(token) for token in tokens[cut:]] == [whole.feed(token) for token in tokens][cut:]


@given(completions(), st.integers(SHORTEST, 40))
def test_repeats_is_the_same_question_of_a_whole_completion(tokens, length):
    assert repeats(tokens, length) == (first_by_definition(tokens, length) is not None)


class Counted(int):
    """A token that counts how often it is compared."""

    n_compared = 0

    def __eq__(self, other):
        Counted.n_compared += 1
        return int(self) == int(other)

    def __ne__(self, other):
        Counted.n_compared += 1
        return int(self) != int(other)

    __hash__ = int.__hash__


def _fibonacci(n):
    one, other = [0], [0, 1]
    while len(other) < n:
        one, other = other, other + one
    return other[:n]


HARD = {
    "random of two": lambda n: [(i * i * 7 + i // 3) % 5 % 2 for i in range(n)],
    "one token but for every 50th": lambda n: [int(i % 50 == 0) for i in range(n)],
    "Fibonacci word": _fibonacci,
    "a loop": lambda n: [i % 16 for i in range(n)],
    "a loop that breaks just before it counts": lambda n: [9 if i % 63 == 62 else i % 3 for i in range(n)],
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("length", [8, 64, 1024])
def test_the_work_per_token_does_not_grow(name, length):
    """At most seven comparisons per token: 1 of the run, 4 of the borders, 2 to look back; for every N and for any
    tokens.
    """
    n = 20_000
    detector = RepetitionDetector(length)
    tokens = [Counted(token) for token in HARD[name](n)]
    Counted.n_compared = 0
    for token in tokens:
        detector.feed(token)
    assert 0 < Counted.n_compared <= 7 * n


def test_the_memory_is_bounded():
    detector = RepetitionDetector(64)
    sizes = set()
    for place in range(10_000):
        detector.feed(place % 7)
        sizes.add(sum(len(value) for value in vars(detector).values() if isinstance(value, list)))
    assert max(sizes) <= 3 * 64


def test_a_length_that_finds_loops_in_numbers_is_refused():
    with pytest.raises(ValueError, match="loop_tokens=7 is too small; use 8 or more"):
        RepetitionDetector(7)


# --- real runs, with a model that loops


SETTINGS = [
    "rollout.problems_per_step=3",
    "rollout.group_size=4",
    "env.max_tokens=120",
    "rollout.temperature=0.08",
    "train.threads=1",
]


def run_folder(tmp_path, model, name, *more):
    arguments = [item for text in [*SETTINGS, "eval.problems=4", *more] for item in ("--set", text)]
    command = [
        "train",
        "--model",
        str(model),
        "--env",
        "arithmetic",
        "--steps",
        "2",
        "--run",
        str(tmp_path / name),
        "--json",
    ]
    assert main([*command, *arguments]) == 0
    lines = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
    return pd.concat(
        [pd.read_parquet(file) for file in sorted((tmp_path / name / "episodes").glob("*.parquet"))]
    ), lines


def test_training_ends_answers_that_loop(tmp_path, tiny_model):
    """Also under `truncated=mask` they are trained on, with the penalty of the shaper."""
    more = ["rollout.loop_tokens=24", "env.truncated=mask", "shapers.repetition.weight=0.25"]
    rows, lines = run_folder(tmp_path, tiny_model, "on", *more)
    looping = rows[rows["finish_reason"] == "repetition"]
    assert len(looping) > 2
    assert set(zip(looping["status"], looping["reason"], looping["reward"], looping["trainable"], strict=True)) == {
        ("wrong", "repetition", -0.25, True)
    }
    assert looping["truncated"].all()
    assert looping["tokens"].between(24, 120).all()
    step = lines[1]
    assert step["episode/repetition_frac"] == (rows.iloc[:12]["finish_reason"] == "repetition").mean()
    segmented, _ = run_folder(tmp_path, tiny_model, "cut", *more, "rollout.segment_tokens=10")
    assert list(segmented["tokens"]) == list(rows["tokens"])
    assert list(segmented["text"]) == list(rows["text"])


def test_off_is_the_default(tmp_path, tiny_model):
    rows, lines = run_folder(tmp_path, tiny_model, "off")
    assert set(rows["finish_reason"]) <= {"length", "stop"}
    assert not any("episode/repetition_frac" in line for line in lines)


def test_eval_counts_answers_that_loop(tmp_path, tiny_model, capsys):
    command = [
        "eval",
        "--model",
        str(tiny_model),
        "--bench",
        "arithmetic:validation",
        "--problems",
        "6",
        "--temperature",
        "0",
    ]
    hashes = set()
    for name, more in (("off", []), ("on", ["--loop-tokens", "24"])):
        assert main([*command, *more, "--run", str(tmp_path / name)]) == 0
        table = capsys.readouterr().out
        result = json.loads((tmp_path / name / "results.json").read_text())
        assert ("repetition" in table) is (name == "on")
        assert ("loop tokens 24" in table) is (name == "on")
        assert (result["repetition_frac"] > 0) is (name == "on")
        assert result["facts"].get("loop_tokens") == (24 if more else None)
        assert ("loop_tokens" in result["facts"]) is bool(more)
        hashes.add(result["comparability"])
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ["train", "--steps", "1", "--set", "rollout.loop_tokens=4"],
            "rollout.loop_tokens=4: must be greater than or equal to 8",
        ),
        (["eval", "--loop-tokens", "4"], "loop_tokens=4: must be greater than or equal to 8"),
    ],
)
def test_too_short_a_length_is_refused(tmp_path, capsys, command, words):
    assert main([*command, "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()
