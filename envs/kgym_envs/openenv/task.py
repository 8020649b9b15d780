"""The environments `openenv:URL`: episodes on a server of OpenEnv, judged by the rewards of their steps.

kgym train --env openenv:http://127.0.0.1:8000 --set env.max_turns=4
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from kgym.envs.generated import SPLITS
from kgym.envs.task import Task, TaskOptions
from kgym.errors import ConfigError, DataError, UnknownName
from kgym.neutral import error_line
from kgym.options import Options
from kgym.types import Chat, Episode, Message, Problem, ProblemSource
from kgym_envs.openenv.server import UNLIKE, Record, Server

FIRST_SEED = {"train": 0, "validation": 1 << 30}
"""First seed of each split."""


class OpenEnvOptions(TaskOptions):
    """How episodes are started, shown and judged."""

    size: int = Field(1000, ge=1, le=1_000_000)
    """Number of problems of each split; each has its own seed."""
    seed: int = Field(0, ge=0, lt=1 << 29)
    """Added to the seeds; another number gives other problems."""
    instructions: str = ""
    """Text before the first observation."""
    action: str = ""
    """Field of the action that a turn fills, or `json`: its last JSON object is the action. By default the only text
    that an action needs.
    """
    observation: str = ""
    """Field of the observation that is shown. By default the only text of an observation, or all of it as JSON."""
    reward: Literal["sum", "last"] = "sum"
    """Reward of an episode: the sum of the rewards of its steps, or the last of them."""
    full_reward: float = Field(1.0, gt=0)
    """Reward of a solved problem: the score is the reward divided by it, from 0 to 1."""
    timeout_s: float = Field(30.0, gt=0)
    """Longest time for a connection, for a free session, and for a response of the server."""


@dataclass(frozen=True)
class Seeds:
    """The problems of a split: a `kgym.types.ProblemSource`."""

    server: Server
    options: OpenEnvOptions
    split: str

    @property
    def size(self) -> int:
        """Number of problems: the option `size`."""
        return self.options.size

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the schemas, the options and the first observation of the split; the address is not part of it."""
        facts = (dict(self.server.schema), self.options.model_dump(exclude={"timeout_s"}), self.split, self[0].question)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def __getitem__(self, index: int) -> Problem:
        """Return the problem at `index`. Raises IndexError beyond `size`, DataError if the server gives none."""
        if not 0 <= index < self.size:
            raise IndexError(f"index={index}: the problems are numbered 0 to {self.size - 1}")
        seed = FIRST_SEED[self.split] + self.options.seed + index
        first = _first(self.server, seed)
        question = "\n\n".join(part for part in (self.options.instructions, first) if part.strip())
        if not question:
            raise DataError("the server shows no text after a reset; set env.observation or env.instructions")
        gold = Record(self.server, seed, self.options.reward, self.options.full_reward)
        return Problem(id=f"openenv/{self.server.url}/{self.split}/{seed}", question=question, gold=str(gold))


def _first(server: Server, seed: int) -> str:
    """Return the first observation. Raises DataError if the server does not give one."""
    try:
        return server.play(seed, ()).first
    except Exception as error:  # of the client, or of the environment on the server
        raise DataError(f"the server gave no observation for seed {seed}: {error_line(error, 160)}") from error


class OpenEnvTask:
    """Follows `kgym.envs.task.Task` and `Responds`; a subclass for each server has its address."""

    Options = OpenEnvOptions
    url: ClassVar[str]
    splits = SPLITS
    verifier = "openenv"
    max_tokens = 2048
    max_turns = 8
    slow = True

    def __init__(self, options: OpenEnvOptions) -> None:
        self.options = options
        self.server = Server(self.url, options.timeout_s, options.action, options.observation)

    def source(self, split: str) -> ProblemSource:
        """Return the problems of a split. Raises UnknownName for another split, ConfigError for a server that cannot
        be used.
        """
        if split not in SPLITS:
            raise UnknownName.near("split", split, SPLITS)
        self.server.check()
        found = Seeds(self.server, self.options, split)
        seed = FIRST_SEED[split] + self.options.seed
        if _first(self.server, seed) != _first(self.server, seed):
            raise ConfigError(UNLIKE)
        return found

    def prompt(self, problem: Problem) -> Chat:
        """Show the first observation."""
        return (Message("user", problem.question),)

    def respond(self, episode: Episode) -> Message | None:
        """Play the episode again and return the newest observation; None if the environment is done.

        Raises ConfigError if the episode does not take the same course, and as `Server.play` does.
        """
        turns = [turn.content for turn in episode.turns if turn.role == "assistant"]
        played = self.server.play(Record.read(episode.problem.gold).seed, turns)
        replies = [observation.message.content for observation in episode.observations]
        if not played.follows(episode.problem.question, replies) or len(played.replies) != len(turns):
            raise ConfigError(f"openenv:{self.url}: {UNLIKE}")
        return None if played.done else Message("user", played.said()[-1])


class OpenEnvFamily:
    """Follows `kgym.envs.task.EnvFamily`."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def members(self) -> Sequence[str]:
        """Servers cannot be listed."""
        return ()

    def task(self, member: str) -> type[Task]:
        """Return the class of the environment of a server. Raises ConfigError for a member that is not an address."""
        parts = urlsplit(member)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
            raise ConfigError(f"openenv:{member} needs the address of a server, such as openenv:http://127.0.0.1:8000")
        return type(
            "Served", (OpenEnvTask,), {"url": member, "__doc__": f"The environment that the server at {member} runs."}
        )
