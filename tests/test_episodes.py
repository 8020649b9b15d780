"""Stored episodes: what was sampled is what is read."""

import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgym.errors import DataError
from kgym.runs.episodes import TOKENS, read_episodes, schema, write_episodes
from kgym.types import Episode, Group, Message, Observation, Problem, Segment, Verdict

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ids = st.lists(st.integers(0, 2**31 - 1), max_size=4).map(tuple)
fractions = st.floats(0, 1)
messages = st.builds(Message, texts, texts)
observations = st.builds(Observation, messages, ids)
verdicts = st.one_of(
    st.builds(
        Verdict,
        status=st.sampled_from(["correct", "wrong", "no_answer"]),
        reason=texts,
        answer=st.none() | texts,
        normal=st.none() | texts,
        seconds=fractions,
        partial=st.none() | fractions,
    ),
    st.builds(Verdict, status=st.just("unscored"), reason=st.sampled_from(["too_old", "error:ValueError", "timeout"])),
)


@st.composite
def segments(draw):
    tokens = draw(ids)
    logprobs = st.floats(-30, 0, width=32)
    return Segment(
        draw(texts),
        token_ids=tokens,
        engine_logprobs=draw(st.lists(logprobs, min_size=len(tokens), max_size=len(tokens))),
        prompt_ids=draw(st.sampled_from([(), (1, 2, 3), (1, 2, 4)])),
        finish_reason=draw(st.sampled_from(["stop", "length", "abort", "repetition"])),
        version=draw(st.integers(0, 2**40)),
        request_id=draw(texts),
    )


episodes = st.builds(
    Episode,
    problem=st.builds(Problem, texts, texts, texts, st.integers(0, 10), texts, texts, st.integers(0, 2030)),
    attempt=st.integers(0, 10**6),
    prompt=st.lists(messages, max_size=3).map(tuple),
    pieces=st.lists(st.one_of(segments(), observations), max_size=4),
    verdict=st.none() | verdicts,
    reward=st.floats(-5, 5),
    terminated=st.booleans(),
    truncated=st.booleans(),
    trainable=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
)


def whole(episode):
    """All that there is of an episode; a Segment compares as its text alone, and a verdict without its seconds."""
    pieces = [
        (str(piece), *(getattr(piece, name) for name in Segment.__slots__)) if isinstance(piece, Segment) else piece
        for piece in episode.pieces
    ]
    return vars(episode) | {"pieces": pieces, "seconds": None if episode.verdict is None else episode.verdict.seconds}


@settings(max_examples=60, deadline=None)
@given(st.lists(episodes, max_size=4))
def test_episodes_are_read_as_they_were_written(tmp_path_factory, some):
    path = tmp_path_factory.mktemp("episodes") / "open.parquet"
    write_episodes(path, some)
    back = read_episodes(path)
    assert [whole(episode) for episode in back] == [whole(episode) for episode in some]
    for one, other in zip(back, some, strict=True):
        assert one == other
        for name in (
            "prompt_ids",
            "token_ids",
            "token_mask",
            "engine_logprobs",
            "versions",
            "finish_reason",
            "text",
            "n_tokens",
        ):
            assert getattr(one, name) == getattr(other, name)


def test_the_columns_of_a_row(tmp_path):
    pieces = [
        Segment(
            "ab",
            token_ids=[5, 6],
            engine_logprobs=[-0.5, -1.0],
            prompt_ids=[1, 2],
            finish_reason="abort",
            version=3,
            request_id="p#1",
        ),
        Observation(Message("tool", "4"), (7,)),
        Segment("c", token_ids=[8], engine_logprobs=[-0.25], prompt_ids=[1, 2], version=4, request_id="p#1"),
    ]
    problem = Problem("p", "2+2", "4", solution="\\boxed{4}")
    episode = Episode(
        problem, 1, (Message("user", "2+2"),), pieces, Verdict("correct"), reward=1.0, terminated=True, seed=9
    )
    path = tmp_path / "step-00005.parquet"
    write_episodes(path, [Group(problem, [episode], [0.75])], envs=["sums"], step=5, begun={"p#1": 4})
    (row,) = pq.read_table(path).to_pylist()
    assert (row["reward"], row["env_reward"]) == (0.75, 1.0)
    assert (row["token_ids"], row["prompt_ids"], row["engine_logprobs"]) == (
        [5, 6, 7, 8],
        [1, 2],
        [-0.5, -1.0, 0.0, -0.25],
    )
    assert (row["text"], row["tokens"], row["n_segments"], row["finish_reason"]) == ("abc", 3, 2, "stop")
    assert (row["first_version"], row["last_version"], row["step_begun"], row["step_ended"], row["env"]) == (
        3,
        4,
        4,
        5,
        "sums",
    )
    assert [piece["tokens"] for piece in row["pieces"]] == [2, 1, 1]
    assert list(row) == schema().names
    assert set(TOKENS) < set(row)


def test_log_probabilities_are_stored_with_32_bits(tmp_path):
    logprob = -0.1  # no float of 32 bits
    episode = Episode(Problem("p", "q", "1"), 0, (), [Segment("a", token_ids=[1], engine_logprobs=[logprob])])
    write_episodes(tmp_path / "a.parquet", [episode])
    assert read_episodes(tmp_path / "a.parquet")[0].engine_logprobs == struct.unpack("f", struct.pack("f", logprob))


def test_a_file_that_holds_no_whole_episodes_is_named(tmp_path):
    path = tmp_path / "step-00001.parquet"
    write_episodes(
        path, [Episode(Problem("p", "q", "1"), 0, (), [Segment("a", token_ids=[1], engine_logprobs=[-1.0])])]
    )
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["token_ids"]), path)
    with pytest.raises(DataError, match=r"step-00001\.parquet is damaged \(no column token_ids\); remove it"):
        read_episodes(path)
    pieces = [[{**table["pieces"][0].as_py()[0], "tokens": 2}]]
    place = table.schema.names.index("pieces")
    pq.write_table(
        table.set_column(place, table.schema.field("pieces"), pa.array(pieces, table.schema.field("pieces").type)), path
    )
    with pytest.raises(DataError, match="has 1 tokens"):
        read_episodes(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"step-00001\.parquet is damaged"):
        read_episodes(path)


def test_what_a_verifier_said_is_stored_and_files_of_earlier_versions_have_none(tmp_path):
    path = tmp_path / "some.parquet"
    problem = Problem("p", "q", "g", 1, "", "")
    episode = Episode(
        problem, 0, (), [], Verdict("wrong", "wrong_output", trace="case 2 of 3: wrong_output\ngot: \x1b[2J")
    )
    write_episodes(path, [episode])
    assert read_episodes(path)[0].verdict.trace == episode.verdict.trace
    pq.write_table(pq.read_table(path).drop_columns(["trace"]), path)
    assert read_episodes(path)[0].verdict == episode.verdict
    assert read_episodes(path)[0].verdict.trace == ""
