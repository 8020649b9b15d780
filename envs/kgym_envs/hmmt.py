"""The environment `hmmt`: the Harvard-MIT Mathematics Tournament of February and of November 2025, with free-form answers in LaTeX.

    kgym data add hmmt_feb25
    kgym eval --bench hmmt_feb25 --model DIR|HUB_ID

Examinations alone, as data that the user brings: nothing is generated, so there is nothing to train on.
"""

from kgym.envs.task import TaskOptions
from kgym.errors import UnknownName
from kgym.types import Chat, Message, Problem, ProblemSource

EXAMINATIONS = {"feb25": "hmmt_feb25", "nov25": "hmmt_nov25"}
"""Splits, and the data sets that they are."""


class Hmmt:
    """Competition problems with free-form answers; follows `kgym.envs.task.Task`."""

    Options = TaskOptions
    splits = tuple(EXAMINATIONS)
    verifier = "math"
    max_tokens = 16_384  # nothing shorter solves them; a model that reasons at length needs --max-tokens

    def __init__(self, options: TaskOptions) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return the problems of an examination. Raises MissingData until the user has added it, UnknownName for another split."""
        from kgym.envs.sources import data_source  # noqa: PLC0415  (reads data files)

        if split not in EXAMINATIONS:
            raise UnknownName.near("split", split, EXAMINATIONS)
        return data_source(EXAMINATIONS[split])

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\nAnswer in \\boxed{{}}."),)
