"""What an environment is made of: problems, a prompt and the name of a verifier. Everything else is the same for all
of them.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from kgym.options import Options
from kgym.types import Chat, Episode, Message, Problem, ProblemSource


class Task(Protocol):
    """The part of an environment that differs. Constructed as `target(options)`; registered by an `EnvInfo`."""

    splits: tuple[str, ...]
    """All split names, `train` and `validation` first; a split whose data the user has yet to add is listed too."""
    max_tokens: int
    """Token budget of an answer by default."""

    @property
    def verifier(self) -> str | Mapping[str, str]:
        """Name of the verifier that judges by default; or its name for each of the splits, where they differ. A
        plain attribute will do.
        """

    def source(self, split: str) -> ProblemSource:
        """Return the problems of a split. Raises MissingData, with the command that gets them, if the user has to
        add them.
        """

    def prompt(self, problem: Problem) -> Chat:
        """Return the conversation that the policy is to continue."""


ERROR = "Error: "
"""How a reply begins that tells the policy of a call that failed; metrics count these."""


@runtime_checkable
class Responds(Protocol):
    """What a task may offer in addition: it replies when the policy has ended a turn. A task without it has one
    turn.
    """

    max_turns: int
    """Turns of the policy by default; an answer that would need another one is truncated."""
    slow: bool
    """Whether a reply takes time, such as that of a program: `respond` is then called in several threads at once while
    the engine samples other answers.
    """

    def respond(self, episode: Episode) -> Message | None:
        """Return what the environment replies to the newest turn (`episode.last_turn`), or None if the episode ends
        with it.

        It is called when a segment has ended with `stop`, and changes nothing in the episode. A reply depends on the
        episode alone, as a run that was interrupted asks again. A call that the policy has got wrong is told to it in a
        reply that begins with `ERROR`. For trouble that is not the policy's fault, raise an error: the answer is then
        `unscored`. An error of kgym ends the run.
        """


class EnvFamily(Protocol):
    """Environments with a prefix. Constructed as `target(options)`, without options so far; registered by an
    `EnvFamilyInfo`.
    """

    def task(self, member: str) -> type[Task]:
        """Return the class of the environment `PREFIX:MEMBER`, which is constructed as that of an `EnvInfo`.

        Raises UnknownName with the nearest name, or ConfigError, if there is none.
        """

    def members(self) -> Sequence[str]:
        """Return the names that may come after the prefix, sorted; () if they cannot be listed, as those of files."""


class TaskOptions(Options):
    """Options of an environment; environments without options need no class for them."""
