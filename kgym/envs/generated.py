"""Endless problem sources from generators, with a training and a validation split that share nothing.

A family is a function `(rng, level) -> Draft`. The split of a draft follows from a hash of its parameters, so that no
problem of one split can turn up in the other, in any wording: a draw that belongs elsewhere is thrown away and drawn
again. Families and levels take turns, so the first n problems of a split are balanced over both.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kgym.errors import DataError, UnknownName
from kgym.seeding import derive_seed
from kgym.types import Problem

SPLITS = ("train", "validation")
MAX_DRAWS = 10_000  # one draw in five is for validation; a family that needs thousands has run out of parameters


class Draft(NamedTuple):
    """A generated problem that has no index yet.

    One: Draft(params=(36, 84), question="Find gcd(84,36).", answer=12, solution="84 mod 36=12 ...").
    """

    params: tuple[str | int, ...]
    """What makes it this problem, in one canonical order and free of wording: decides the split."""
    question: str
    answer: int | str
    """A number, or the text of another answer, in LaTeX."""
    solution: str
    """Worked steps that end in the boxed answer."""


@dataclass(frozen=True)
class Family:
    """A kind of problem. `make` must draw from its generator alone, and returns None to be asked again (an answer
    out of range, say).
    """

    name: str
    subject: str
    make: Callable[[random.Random, int], Draft | None]


def split_of(*key: str | int) -> str:
    """Return the split that a problem belongs to: `validation` for one key in five, else `train`."""
    return "validation" if derive_seed("split", *key) % 5 == 0 else "train"


@dataclass(frozen=True)
class GeneratedSource:
    """Problems of some families at some levels: a `kgym.types.ProblemSource` without an end.

    A problem depends on its id alone, `NAME/SPLIT/FAMILY/dLEVEL/INDEX`, so the same id means the same problem in every
    run. Raises UnknownName for a split other than `train` and `validation`.
    """

    name: str
    version: int
    """Goes up when a family changes, and the fingerprint with it."""
    split: str
    families: Sequence[Family]
    levels: Sequence[int]

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UnknownName.near("split", self.split, SPLITS)

    @property
    def size(self) -> None:
        """Endless."""
        return None

    @property
    def fingerprint(self) -> str:
        """sha256 of the name, version, split, families and levels."""
        parts = (self.name, self.version, self.split, *(family.name for family in self.families), *self.levels)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __getitem__(self, index: int) -> Problem:
        """Return the problem at `index`. Raises IndexError below 0, DataError if a family has no problem for this
        split.
        """
        if index < 0:
            raise IndexError(f"index={index}: problems are counted from 0")
        turn, which = divmod(index, len(self.families))
        family, level = self.families[which], self.levels[turn % len(self.levels)]
        rng = random.Random(derive_seed(self.name, self.version, self.split, family.name, level, index))  # noqa: S311
        for _ in range(MAX_DRAWS):
            draft = family.make(rng, level)
            if draft is not None and split_of(self.name, family.name, *draft.params) == self.split:
                return Problem(
                    id=f"{self.name}/{self.split}/{family.name}/d{level}/{index}",
                    question=draft.question,
                    gold=str(draft.answer),
                    level=level,
                    subject=family.subject,
                    solution=draft.solution,
                )
        raise DataError(
            f"family {family.name!r} gave no {self.split} problem at level {level} in {MAX_DRAWS} draws; widen its "
            "parameters"
        )
