"""The task of an environment: its problems, its prompt and the name of its verifier. Everything else is the same for
all environments.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from kgym.options import Options
from kgym.types import Chat, Episode, Message, Problem, ProblemSource


class Task(Protocol):
    """The part in which environments differ. Constructed as `target(options)`; registered by an `EnvInfo`."""

    splits: tuple[str, ...]
    """All split names, `train` and `validation` first, including splits whose data the user has to add."""
    max_tokens: int
    """Default token budget of a completion."""

    @property
    def verifier(self) -> str | Mapping[str, str]:
        """Name of the default verifier, or a mapping with its name for each split if they differ. It may be a plain
        attribute.
        """

    def source(self, split: str) -> ProblemSource:
        """Return the problems of a split. Raises MissingData, with the command that gets them, if the user has to
        add them.
        """

    def prompt(self, problem: Problem) -> Chat:
        """Return the conversation that the policy continues."""


ERROR = "Error: "
"""Beginning of a reply that tells the policy about a failed call; metrics count these replies."""


@runtime_checkable
class Responds(Protocol):
    """A task may offer this: it replies when the policy has ended a turn. A task without it has one turn."""

    max_turns: int
    """Default number of turns of the policy; a completion that would need another turn is truncated."""
    slow: bool
    """Whether a reply takes time, such as that of a program: `respond` is then called in several threads at once while
    the engine samples other completions.
    """

    def respond(self, episode: Episode) -> Message | None:
        """Return the environment's reply to the newest turn (`episode.last_turn`), or None to end the episode.

        It is called when a segment has ended with `stop`, and must not change the episode. A reply must depend only on
        the episode, since a run that was interrupted asks again. To tell the policy about a wrong call, return a reply
        that begins with `ERROR`. For an error that is not the policy's fault, raise: the completion is then `unscored`.
        An error of kgym ends the run.
        """


class EnvFamily(Protocol):
    """Environments with a common prefix. Constructed as `target(options)`, so far without options; registered by an
    `EnvFamilyInfo`.
    """

    def task(self, member: str) -> type[Task]:
        """Return the class of the environment `PREFIX:MEMBER`, which is constructed like that of an `EnvInfo`.

        Raises UnknownName with the nearest name, or ConfigError, if it does not exist.
        """

    def members(self) -> Sequence[str]:
        """Return the names that may follow the prefix, sorted; () if they cannot be listed, as names of files."""


class TaskOptions(Options):
    """Base of the options of an environment. Environments without options do not need a class for them."""
