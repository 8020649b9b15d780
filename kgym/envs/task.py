"""What an environment is made of: problems, a prompt and the name of a verifier. Everything else is the same for all of them."""

from collections.abc import Mapping
from typing import Protocol

from kgym.options import Options
from kgym.types import Chat, Problem, ProblemSource


class Task(Protocol):
    """The part of an environment that differs. Constructed as `target(options)`; registered by an `EnvInfo`."""

    splits: tuple[str, ...]
    """All split names, `train` and `validation` first; a split whose data the user has yet to bring is listed too."""
    max_tokens: int
    """Token budget of an answer by default."""

    @property
    def verifier(self) -> str | Mapping[str, str]:
        """Name of the verifier that judges by default; or its name for each of the splits, where they differ. A plain attribute will do."""

    def source(self, split: str) -> ProblemSource:
        """Return the problems of a split. Raises MissingData, with the command that gets them, if the user has to bring them."""

    def prompt(self, problem: Problem) -> Chat:
        """Return the conversation that the policy is to continue."""


class TaskOptions(Options):
    """Options of an environment; environments without options need no class of their own."""
