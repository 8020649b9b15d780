"""Keys and values of answers that have ended a segment, for those that are continued later under the same weights."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Parked:
    """What is left of a row that was taken out of its batch."""

    prompt_ids: tuple[int, ...]
    seed: int
    """Of the answer: another answer that begins alike has its own row."""
    read: tuple[int, ...]
    """The tokens that the model has read, those of the prompt included."""
    states: list[tuple[Tensor, Tensor]]
    """Keys and values of each layer, (1, H, L, D)."""


class Park:
    """The newest of them; the oldest make way."""

    def __init__(self, most: int) -> None:
        self._entries: deque[Parked] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entries: Sequence[Parked]) -> None:
        """Keep these."""
        self._entries.extend(entries)

    def take(self, prompt_ids: tuple[int, ...], seed: int, context: tuple[int, ...]) -> Parked | None:
        """Return, and forget, the newest one of this answer whose tokens `context` extends; None if there is none."""
        for entry in reversed(self._entries):
            n = len(entry.read)
            if entry.seed == seed and n < len(context) and entry.prompt_ids == prompt_ids and entry.read == context[:n]:
                self._entries.remove(entry)
                return entry
        return None

    def clear(self) -> None:
        """Forget all: the weights are others, or memory is needed."""
        self._entries.clear()
