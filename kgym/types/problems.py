"""Problems, and the messages that pose them."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Message(NamedTuple):
    """One turn of a conversation. `role` is `system`, `user`, `assistant` or `tool` (what a tool returned)."""

    role: str
    content: str


Chat = tuple[Message, ...]


@dataclass(frozen=True)
class Problem:
    """A question with its gold answer.

    One row: Problem(id="aime/train/gcd/d2/17", question="Find ...", gold="12", level=2, subject="number theory",
    solution="...").
    """

    id: str
    """Unique within all of kgym, and never changed: seeds derive from it."""
    question: str
    gold: str
    """The answer as in the data set: a raw string, leading zeros and LaTeX kept."""
    level: int = 0
    """Difficulty, 1 (easiest) to 10; 0 if unknown."""
    subject: str = ""
    solution: str = ""
    """A worked solution that ends in the boxed answer, or "" if there is none."""
    year: int = 0
    """Year of the examination that it is from; 0 if unknown or not from an examination."""


class ProblemSource(Protocol):
    """A pure function from an index to a problem: no state, no clock, no global randomness."""

    @property
    def size(self) -> int | None:
        """How many problems there are; None if endless (generated)."""

    @property
    def fingerprint(self) -> str:
        """sha256 of the data, or of what generates it (name, version, split, options)."""

    def __getitem__(self, index: int) -> Problem:
        """Return the problem at `index`, always the same one. Raises IndexError beyond `size`."""
