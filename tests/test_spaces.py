"""The spaces of texts and conversations, as Gymnasium uses them."""

import copy
import json
import pickle

import numpy as np
import pytest
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from hypothesis import given
from hypothesis import strategies as st

from kgym.envs.spaces import Chat, UnicodeText
from kgym.errors import ConfigError
from kgym.types import Message, Segment

SPACES = [UnicodeText(), UnicodeText(7), Chat(), Chat(9)]


@given(st.text())
def test_any_text_of_the_length_is_in_the_space(text):
    assert text in UnicodeText()
    assert text in UnicodeText(len(text))
    assert text + "x" not in UnicodeText(len(text))


def test_a_segment_is_a_text_and_other_things_are_not():
    space = UnicodeText()
    assert Segment("$x^2$ ∫ 汉字 \n", finish_reason="length") in space
    assert all(thing not in space for thing in (None, 3, b"bytes", ["a"], np.array("a")))


@pytest.mark.parametrize(
    ("chat", "inside"),
    [
        ((Message("user", "hi"),), True),
        ((Message("system", ""), Message("user", "q"), Message("assistant", "a")), True),
        ((), False),
        ((("user", "hi"),), False),
        ([Message("user", "hi")], False),
        ((Message("user", "hi"), Message("tool", "3")), True),
        ((Message("critic", "hi"),), False),
        ((Message("user", 3),), False),
        ((Message("user", "longer"),), False),
        ("user: hi", False),
    ],
)
def test_a_conversation_is_a_tuple_of_messages_by_known_roles(chat, inside):
    assert (chat in Chat(5)) is inside


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_samples_are_in_the_space_and_follow_from_the_seed(space):
    one, other = copy.deepcopy(space), copy.deepcopy(space)
    one.seed(3)
    other.seed(3)
    samples = [one.sample() for _ in range(30)]
    assert samples == [other.sample() for _ in range(30)]
    assert all(sample in space for sample in samples)
    assert len(set(samples)) > 20
    other.seed(4)
    assert samples != [other.sample() for _ in range(30)]
    json.dumps(samples).encode()
    "".join(
        message.content if isinstance(message, Message) else message for sample in samples for message in sample
    ).encode()  # no surrogates


def test_masks_are_refused():
    with pytest.raises(ConfigError, match="mask"):
        UnicodeText().sample(mask=np.ones(3))
    with pytest.raises(ConfigError, match="at least 0"):
        UnicodeText(-1)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_equality_hash_copies_and_pickles(space):
    for other in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert other == space
        assert hash(other) == hash(space)
        assert repr(other) == repr(space)
    assert len({*SPACES, *copy.deepcopy(SPACES)}) == len(SPACES)
    assert space != "space"


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_a_copy_goes_on_from_the_same_state(space):
    space.seed(11)
    space.sample()
    twin = copy.deepcopy(space)
    assert [space.sample() for _ in range(5)] == [twin.sample() for _ in range(5)]


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_json_and_back(space):
    samples = [space.sample() for _ in range(5)]
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(samples)))) == samples


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_gymnasium_batches_them_as_tuples(space):
    space.seed(1)
    batch = batch_space(space, 256)
    sample = batch.sample()
    assert sample in batch
    assert len(set(sample)) > 200  # every slot has its own generator
    assert list(iterate(batch, sample)) == list(sample)
    assert concatenate(space, sample, create_empty_array(space, 256)) == sample
    assert not space.is_np_flattenable
