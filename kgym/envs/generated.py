"""Endless problem sources from generators, with a training and a validation split that share nothing.

A family is a function `(rng, level) -> Draft`. A hash of its parameters decides the split of a draft, so that a problem
of one split cannot appear in the other, in any wording: a draft of another split is discarded and drawn again. Families
and levels take turns, so the first n problems of a split are balanced over both.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from pydantic import Field, model_validator

from kgym.envs.task import TaskOptions
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
    """The parameters that identify the problem, in one canonical order and without wording. They decide the split."""
    question: str
    answer: int | str
    """The gold answer: a number, or a text in LaTeX."""
    solution: str
    """Worked steps that end in the boxed answer."""


@dataclass(frozen=True)
class Family:
    """A kind of problem. `make` must draw only from its generator. It returns None to be called again, for example if
    the answer is out of range.
    """

    name: str
    subject: str
    make: Callable[[random.Random, int], Draft | None]


def split_of(*key: str | int) -> str:
    """Return the split that a problem belongs to: `validation` for one key in five, else `train`."""
    return "validation" if derive_seed("split", *key) % 5 == 0 else "train"


class LevelOptions(TaskOptions):
    """Options for the levels of generated problems. Subclasses give `difficulty` its range, default and meaning."""

    difficulty: int = Field(1, ge=1)
    """Hardest level of the generated problems; the levels up to it take turns."""
    min_difficulty: int = Field(1, ge=1)
    """Easiest level of the generated problems; equal to `difficulty` for one level alone."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min_difficulty > self.difficulty:
            raise ValueError(
                f"min_difficulty={self.min_difficulty} is above difficulty={self.difficulty}; lower it or raise the "
                "other"
            )
        return self

    @property
    def levels(self) -> range:
        """The levels, from the easiest to the hardest."""
        return range(self.min_difficulty, self.difficulty + 1)


@dataclass(frozen=True)
class GeneratedSource:
    """Problems of some families at some levels: an endless `kgym.types.ProblemSource`.

    A problem depends only on its id, `NAME/SPLIT/FAMILY/dLEVEL/INDEX`, so the same id is the same problem in every run.
    Raises UnknownName for a split other than `train` and `validation`.
    """

    name: str
    version: int
    """Increases when a family changes, and changes the fingerprint."""
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
