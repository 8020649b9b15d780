"""The two spaces of a conversation: the texts of a policy (actions) and the conversations that it reads (observations).

`gymnasium.spaces.Text` fits neither: its default characters lack the blank and `$`, and with all of Unicode it takes
seconds and hundreds of megabytes. The spaces here have no table of characters. Batches of them are tuples.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import Any, NoReturn, cast

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space, create_shared_memory, iterate

from kgym.errors import ConfigError, EnvError
from kgym.types import Chat as Conversation
from kgym.types import Message

ROLES = ("system", "user", "assistant", "tool")
MAX_LENGTH = 1 << 24
"""Most characters of a text by default: far beyond any token budget, and small enough for memory."""
_SAMPLE_LENGTH = 64
_SURROGATES = range(0xD800, 0xE000)  # no characters; UTF-8 cannot write them
_N_CHARACTERS = 0x110000 - len(_SURROGATES)


class UnicodeText(gymnasium.Space[str]):
    """Any text of at most `max_length` characters, including a `Segment`.

    Samples are short and have characters from all of Unicode. Raises ConfigError if `max_length` is negative.
    """

    def __init__(self, max_length: int = MAX_LENGTH, *, seed: int | np.random.Generator | None = None) -> None:
        if max_length < 0:
            raise ConfigError(f"max_length={max_length}: a text has at least 0 characters")
        self.max_length = max_length
        super().__init__(dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: a text is not an array."""
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        """Return a random text; masks are not supported."""
        _refuse_masks(mask, probability)
        length = self.np_random.integers(min(self.max_length, _SAMPLE_LENGTH) + 1)
        points = self.np_random.integers(_N_CHARACTERS, size=length)
        return "".join(
            chr(point if point < _SURROGATES.start else point + len(_SURROGATES)) for point in points.tolist()
        )

    def contains(self, x: Any) -> bool:
        """Whether `x` is a text that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and self.max_length == other.max_length

    def __hash__(self) -> int:
        return hash((UnicodeText, self.max_length))

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"


class Chat(gymnasium.Space[Conversation]):
    """A conversation: a tuple of at least one `Message` by the system, the user or the assistant."""

    def __init__(self, max_length: int = MAX_LENGTH, *, seed: int | np.random.Generator | None = None) -> None:
        self.text = UnicodeText(max_length)
        super().__init__(seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: a conversation is not an array."""
        return False

    def seed(self, seed: int | None = None) -> tuple[int, int]:
        """Seed the choice of the roles and, with a seed derived from it, the texts."""
        own = super().seed(seed)
        return own, self.text.seed(int(self.np_random.integers(np.iinfo(np.int32).max)))

    def sample(self, mask: None = None, probability: None = None) -> Conversation:
        """Return one to four random messages; masks are not supported."""
        _refuse_masks(mask, probability)
        roles = self.np_random.choice(ROLES, size=self.np_random.integers(1, 5)).tolist()
        return tuple(Message(role, self.text.sample()) for role in roles)

    def contains(self, x: Any) -> bool:
        """Whether `x` is such a tuple."""
        return (
            isinstance(x, tuple)
            and len(x) > 0
            and all(
                isinstance(message, Message) and message.role in ROLES and message.content in self.text for message in x
            )
        )

    def to_jsonable(self, sample_n: Iterable[Conversation]) -> list[list[dict[str, str]]]:
        """Return conversations in the form that chat templates take: lists of {"role", "content"}."""
        return [[message._asdict() for message in chat] for chat in sample_n]

    def from_jsonable(self, sample_n: list[list[dict[str, str]]]) -> list[Conversation]:
        """Undo `to_jsonable`."""
        return [tuple(Message(**message) for message in chat) for chat in sample_n]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chat) and self.text == other.text

    def __hash__(self) -> int:
        return hash((Chat, self.text))

    def __repr__(self) -> str:
        return f"Chat({self.text.max_length})"


class Texts(gymnasium.spaces.Tuple):
    """The actions of a vector environment: a text for each slot. A single text is refused instead of being split into
    its characters.
    """


@batch_space.register(UnicodeText)
def _batch_texts(space: UnicodeText, n: int = 1) -> Texts:
    batch = cast(gymnasium.spaces.Tuple, batch_space.dispatch(gymnasium.Space)(space, n=n))
    return Texts(batch.spaces, seed=deepcopy(batch.np_random))


@iterate.register(Texts)
def _iterate_texts(space: Texts, items: Any) -> Iterator[Any]:  # type: ignore[misc]  # Gymnasium annotates otherwise
    """Yield the action of each slot, for Gymnasium's own vector environments. Raises EnvError if `items` is not a
    list.
    """
    return iter(checked_actions(items, len(space)))


def checked_actions(actions: Any, n: int) -> Any:
    """Return the actions of `n` slots. Raises EnvError if they are not a list, such as a single text, or not `n`."""
    if isinstance(actions, str) or not isinstance(actions, Sequence | np.ndarray):  # a text is a sequence of texts
        what = f"a single {type(actions).__name__}" if isinstance(actions, str) else f"a {type(actions).__name__}"
        raise EnvError(f"the actions are {what}; give a list with an action for each of {n} slots")
    if len(actions) != n:
        raise EnvError(
            f"{len(actions)} actions for {n} slots; give one for each slot, and None for a slot without an action"
        )
    return actions


@create_shared_memory.register(Chat)
def _refuse_shared_memory(space: Chat, n: int = 1, ctx: object = None) -> NoReturn:
    """Raise ConfigError: shared memory has a fixed size, and a conversation grows."""
    raise ConfigError(
        "observations of kgym are conversations of any length, which shared memory cannot hold; "
        'with vectorization_mode="async" also give vector_kwargs={"shared_memory": False}'
    )


def _refuse_masks(mask: object, probability: object) -> None:
    if mask is not None or probability is not None:
        raise ConfigError("texts are sampled without mask and probability; leave both out")
