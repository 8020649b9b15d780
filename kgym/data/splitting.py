"""Split a data set into a part to train on and a part to validate on.

A hash of the question, or of another key, decides which part a problem belongs to, so adding problems to a file never
moves a problem to the other part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kgym.data.sources import fingerprint
from kgym.errors import DataError
from kgym.seeding import derive_seed
from kgym.types import Problem, ProblemSource

STEPS = 10_000
"""Number of steps in which the share for validation is measured."""


@dataclass(frozen=True)
class Part:
    """Some problems of a data set: a `kgym.types.ProblemSource`."""

    problems: Sequence[Problem]
    fingerprint: str

    @property
    def size(self) -> int:
        """Number of problems."""
        return len(self.problems)

    def __getitem__(self, index: int) -> Problem:
        """Return the problem at `index`. Raises IndexError outside of 0 .. size-1."""
        if not 0 <= index < len(self.problems):
            raise IndexError(f"index={index}: the problems are numbered 0 to {len(self.problems) - 1}")
        return self.problems[index]


def part_of(
    whole: ProblemSource,
    name: str,
    *,
    held_out: bool,
    share: float,
    key: Callable[[Problem], str] = lambda problem: problem.question,
) -> Part:
    """Return the problems of the data set `name` that are for validation (`held_out`), a `share` of all, or the others.

    The hash is of `key(problem)`, so that problems with the same key are in the same part. Raises DataError if there
    are none.
    """
    assert whole.size is not None
    problems = [p for p in map(whole.__getitem__, range(whole.size)) if (_place(key(p)) < share) == held_out]
    if not problems:
        split = "validation" if held_out else "train"
        raise DataError(
            f"no problem of {name!r} is for {split} with validation_frac={share:g}, of {whole.size} in all; set "
            "another env.validation_frac"
        )
    return Part(problems, fingerprint(problems))


def _place(key: str) -> float:
    """Return a number in [0, 1) that depends only on the key."""
    return derive_seed("split", key) % STEPS / STEPS
