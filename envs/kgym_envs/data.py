"""The environment `data`: the problems of any data set that the user has added, one part to train on and one to validate on.

    kgym data add mine.jsonl
    kgym train --env data --set env.dataset=mine
    kgym eval --bench data:validation --set env.dataset=mine env.validation_frac=1      the whole of it

A hash of the question says which part a problem belongs to, so a file that grows never moves a problem from one part to the other.
"""

from pydantic import Field

from kgym.envs.generated import SPLITS
from kgym.envs.task import TaskOptions
from kgym.errors import MissingData, UnknownName
from kgym.types import Chat, Message, Problem, ProblemSource


class DataOptions(TaskOptions):
    """Which data set, and how much of it is for validation."""

    dataset: str = ""
    """Name of the data set, as `kgym data list` has it."""
    validation_frac: float = Field(0.2, ge=0, le=1)
    """Share of the problems that are for validation and not for training; 1 is all of them."""


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
        from kgym.data.sources import data_source  # noqa: PLC0415  (reads data files)
        from kgym.data.splitting import part_of  # noqa: PLC0415

        name = self.options.dataset
        if split not in SPLITS:
            raise UnknownName.near("split", split, SPLITS)
        if not name:
            raise MissingData(
                "the environment 'data' needs env.dataset=NAME; kgym data list prints the names, and kgym data add FILE adds one"
            )
        return part_of(data_source(name), name, held_out=split == "validation", share=self.options.validation_frac)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\nAnswer in \\boxed{{}}."),)
