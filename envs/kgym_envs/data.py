"""The environment `data`: the problems of any data set that the user has added, one part to train on and one to validate on.

    kgym data add mine.jsonl
    kgym train --env data --set env.dataset=mine
    kgym eval --bench data:validation --set env.dataset=mine env.validation_frac=1      the whole of it

A hash of the question says which part a problem belongs to, so a file that grows never moves a problem from one part to the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from kgym.envs.generated import SPLITS
from kgym.envs.task import TaskOptions
from kgym.errors import DataError, MissingData, UnknownName
from kgym.seeding import derive_seed
from kgym.types import Chat, Message, Problem, ProblemSource

STEPS = 10_000
"""How finely the share for validation is taken."""


class DataOptions(TaskOptions):
    """Which data set, and how much of it is for validation."""

    dataset: str = ""
    """Name of the data set, as `kgym data list` has it."""
    validation_frac: float = Field(0.2, ge=0, le=1)
    """Share of the problems that are for validation and not for training; 1 is all of them."""


@dataclass(frozen=True)
class Part:
    """Some problems of a data set: a `kgym.types.ProblemSource`."""

    problems: Sequence[Problem]
    fingerprint: str

    @property
    def size(self) -> int:
        """How many problems there are."""
        return len(self.problems)

    def __getitem__(self, index: int) -> Problem:
        """Return the problem at `index`. Raises IndexError outside of 0 .. size-1."""
        if not 0 <= index < len(self.problems):
            raise IndexError(f"index={index}: there are problems 0 to {len(self.problems) - 1}")
        return self.problems[index]


class Data:
    """Problems of one's own; follows `kgym.envs.task.Task`."""

    Options = DataOptions
    splits = SPLITS
    verifier = "math"
    max_tokens = 1024

    def __init__(self, options: DataOptions) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return the part of the data set for a split.

        Raises MissingData if none is named or the one that is has yet to be brought, DataError if the part is empty, UnknownName for a
        split other than `train` and `validation`.
        """
        from kgym.data.sources import data_source, fingerprint  # noqa: PLC0415  (reads data files)

        name, share = self.options.dataset, self.options.validation_frac
        if split not in SPLITS:
            raise UnknownName.near("split", split, SPLITS)
        if not name:
            raise MissingData(
                "the environment 'data' needs env.dataset=NAME; kgym data list prints the names, and kgym data add FILE adds one"
            )
        whole = data_source(name)
        assert whole.size is not None
        held_out = split == "validation"
        problems = [p for p in map(whole.__getitem__, range(whole.size)) if (_place(p) < share) == held_out]
        if not problems:
            raise DataError(
                f"no problem of {name!r} is for {split} with validation_frac={share:g}; it has {whole.size} in all: set env.validation_frac"
            )
        return Part(problems, fingerprint(problems))

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\nAnswer in \\boxed{{}}."),)


def _place(problem: Problem) -> float:
    """Return a number from 0 to below 1 that the question alone decides."""
    return derive_seed("split", problem.question) % STEPS / STEPS
