"""The environment `code`: write a function or a program in Python that passes hidden tests, which run in a sandbox.

The generated problems come from families with a reference solution and a generator of tests; with `env.dataset` they
are those of a data set that was added with `kgym data add`.
"""

from typing import Literal

from pydantic import Field, model_validator

from kgym.envs.generated import SPLITS, Family, GeneratedSource
from kgym.envs.task import TaskOptions
from kgym.errors import UnknownName
from kgym.types import Chat, Message, Problem, ProblemSource
from kgym_envs.code.formulas import FAMILIES as FORMULAS
from kgym_envs.code.lists import FAMILIES as LISTS
from kgym_envs.code.numbers import FAMILIES as NUMBERS
from kgym_envs.code.texts import FAMILIES as TEXTS

VERSION = 2
SPECS = {"numbers": NUMBERS, "lists": LISTS, "texts": TEXTS}
FAMILIES = (*(Family(spec.name, subject, spec.draft) for subject, specs in SPECS.items() for spec in specs), *FORMULAS)
Subject = Literal["numbers", "lists", "texts", "formulas"]
ANSWER = "Answer with the whole program in a block that begins with ```python and ends with ```."


class CodeOptions(TaskOptions):
    """Which problems there are."""

    dataset: str = ""
    """Name of a data set of programming problems, as `kgym data list` prints it, instead of generated ones."""
    validation_frac: float = Field(0.2, ge=0, le=1)
    """Share of the problems of a data set that are for validation and not for training."""
    subject: Subject | None = None
    """Only the generated problems of this subject; those of `formulas` need neither loops nor branches. Without it
    all of them.
    """
    difficulty: int = Field(5, ge=1, le=10)
    """Hardest level of the generated problems, with longer inputs; the levels up to it take turns."""
    min_difficulty: int = Field(1, ge=1, le=10)
    """Easiest level of the generated problems; equal to `difficulty` for one level alone."""

    @model_validator(mode="after")
    def _check_order(self) -> "CodeOptions":
        if self.min_difficulty > self.difficulty:
            raise ValueError(
                f"min_difficulty={self.min_difficulty} is above difficulty={self.difficulty}; lower it or raise the "
                "other"
            )
        return self


class CodeTask:
    """Follows `kgym.envs.task.Task`."""

    Options = CodeOptions
    splits = SPLITS
    verifier = "code"
    max_tokens = 1024

    def __init__(self, options: CodeOptions) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return endless generated problems, or the part of a data set for a split. Raises MissingData until it has
        been added.
        """
        if self.options.dataset:
            from kgym.data.sources import data_source  # noqa: PLC0415  (reads data files)
            from kgym.data.splitting import part_of  # noqa: PLC0415

            if split not in SPLITS:
                raise UnknownName.near("split", split, SPLITS)
            name = self.options.dataset
            return part_of(data_source(name), name, held_out=split == "validation", share=self.options.validation_frac)
        levels = range(self.options.min_difficulty, self.options.difficulty + 1)
        families = [family for family in FAMILIES if self.options.subject in (None, family.subject)]
        return GeneratedSource("code", VERSION, split, families, levels)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\n{ANSWER}"),)
