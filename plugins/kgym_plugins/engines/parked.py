"""Keys and values of completions that have ended a segment and may be continued later under the same weights."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Parked:
    """Keys and values of a row that has left its batch."""

    prompt_ids: tuple[int, ...]
    seed: int
    """Seed of the completion: another completion with the same beginning has its own row."""
    read: tuple[int, ...]
    """The tokens that the model has read, those of the prompt included."""
    states: list[tuple[Tensor, Tensor]]
    """Keys and values of each layer, (1, H, L, D)."""


class Park:
    """The newest parked rows; the oldest are dropped."""

    def __init__(self, most: int) -> None:
        self._entries: deque[Parked] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entries: Sequence[Parked]) -> None:
        """Add rows."""
        self._entries.extend(entries)

    def take(self, prompt_ids: tuple[int, ...], seed: int, context: tuple[int, ...]) -> Parked | None:
        """Remove and return the newest row of this completion whose tokens `context` extends; None if there is none."""
        for entry in reversed(self._entries):
            n = len(entry.read)
            if entry.seed == seed and n < len(context) and entry.prompt_ids == prompt_ids and entry.read == context[:n]:
                self._entries.remove(entry)
                return entry
        return None

    def clear(self) -> None:
        """Drop all rows: the weights have changed, or memory is needed."""
        self._entries.clear()
