"""The environments `verifiers:ID`: rows of an installed environment of the package verifiers, judged by its rubric.

    pip install ./my-env                      an environment package, as verifiers loads them
    kgym train --env verifiers:my-env --set env.args.difficulty=3

An environment that replies or has tools is a task with turns (`kgym.envs.task.Responds`); verifiers makes its replies.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any, ClassVar, Literal

from pydantic import Field

from kgym.data.sources import ListedSource
from kgym.data.splitting import Part, part_of
from kgym.envs.generated import SPLITS
from kgym.envs.task import Task, TaskOptions
from kgym.envs.toolcalls import FORMATS
from kgym.envs.tooltask import with_tools
from kgym.errors import ConfigError, DataError, UnknownName
from kgym.options import Options
from kgym.types import Chat, Episode, Message, Problem, ProblemSource
from kgym_envs.verifiers import loaded
from kgym_envs.verifiers.episode import UNLIKE, play

MOST_TURNS = 10
"""Turns of an environment that does not set a number."""


class VerifiersOptions(TaskOptions):
    """How the environment is loaded."""

    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of its `load_environment`."""
    validation_frac: float = Field(0.2, gt=0, lt=1)
    """Share of the training data that is for validation, if the environment has no data for evaluation."""
    format: Literal["fenced", "hermes", "llama"] = "fenced"
    """How tools are described and called, if the environment has some. `fenced`: blocks with the name of a tool, for
    any model. `hermes`: `<tool_call>`, as Qwen and Hermes are trained. `llama`: JSON, as Llama 3 is trained.
    """
    timeout_s: float = Field(60.0, gt=0)
    """Longest time for a reply; a longer one leaves the completion unscored."""


class VerifiersTask:
    """Follows `kgym.envs.task.Task`; a subclass for each environment has its name."""

    Options = VerifiersOptions
    member: ClassVar[str]
    splits = SPLITS
    verifier = "verifiers"
    max_tokens = 2048

    def __init__(self, options: VerifiersOptions) -> None:
        """Load the environment. Raises ConfigError, with the reason, if it cannot be used."""
        self.options = options
        self.replies = loaded.has_replies(self.member, options.args)
        if self.replies:  # makes it follow `Responds`
            self.max_turns = (
                max(0, getattr(loaded.environment(self.member, options.args), "max_turns", 0)) or MOST_TURNS
            )
            self.slow = True
            self.respond = self._respond

    def source(self, split: str) -> ProblemSource:
        """Return the rows of a split. Raises UnknownName for another split, DataError if there are none."""
        if split not in SPLITS:
            raise UnknownName.near("split", split, SPLITS)
        held_out = split == "validation"
        args = json.dumps(self.options.args, sort_keys=True)
        call_format = self.options.format if self.replies else ""
        train, validation = (
            _problems(self.member, args, part, call_format) for part in (loaded.TRAIN, loaded.HELD_OUT)
        )
        if train is not None and validation is not None:
            whole = validation if held_out else train
            return Part(whole.problems, whole.fingerprint)
        if (only := train or validation) is None:
            raise DataError(f"environment 'verifiers:{self.member}' has no data")
        name, share = f"verifiers:{self.member}", self.options.validation_frac
        if self.replies:
            return part_of(only, name, held_out=held_out, share=share, key=_question_and_answer)
        return part_of(only, name, held_out=held_out, share=share)

    def prompt(self, problem: Problem) -> Chat:
        """Return the messages of the row; if the environment replies, its first messages and its tools."""
        if not problem.gold.startswith("{"):
            return _user(problem.question)
        record = loaded.Record.read(problem.gold)
        if not self.replies:
            return _chat(self.member, record.row())
        start = play(record, (), self.options.timeout_s)
        return with_tools(start.prompt, FORMATS[self.options.format], start.tools)

    def _respond(self, episode: Episode) -> Message | None:
        """Play the episode again and return the newest reply; None if the environment has ended it.

        Raises ConfigError if the episode does not take the same course, and as `play` does.
        """
        if episode.last_turn.strip() == episode.problem.gold.strip():
            return None  # the checks of environments write the gold answer like this; the verifier accepts it
        turns = [turn.content for turn in episode.turns if turn.role == "assistant"]
        played = play(loaded.Record.read(episode.problem.gold), turns, self.options.timeout_s)
        if not played.follows([observation.message.content for observation in episode.observations]):
            raise ConfigError(f"verifiers:{self.member}: {UNLIKE}")
        return played.replies[-1] if played.asks else None


def _question_and_answer(problem: Problem) -> str:
    """Return the question with the answer, since games ask the same question in every row."""
    return json.dumps([problem.question, loaded.Record.read(problem.gold).answer])


def _user(text: str) -> Chat:
    return (Message("user", text),)


def _chat(member: str, row: dict[str, Any]) -> Chat:
    prompt = row["prompt"]
    if isinstance(prompt, str):
        return _user(prompt)
    messages = tuple(Message(str(message["role"]), message["content"]) for message in prompt)
    if not all(isinstance(message.content, str) for message in messages):
        raise DataError(f"environment 'verifiers:{member}' has prompts with parts other than text")
    return messages


@lru_cache(maxsize=8)
def _problems(member: str, args: str, part: str, call_format: str) -> ListedSource | None:
    values = json.loads(args)
    data = loaded.rows(member, values, part)
    if data is None:
        return None
    problems = []
    digest = hashlib.sha256(f"{version('verifiers')} {member} {args} {part}{call_format}".encode())
    for index, row in enumerate(data):
        record = loaded.Record(str(row.get("answer", "")), member, values, part, index, call_format or "fenced")
        question = _chat(member, row)[-1].content
        digest.update(json.dumps([_chat(member, row), row.get("info")], default=str).encode())
        problems.append(Problem(id=f"verifiers/{member}/{part}/{index}", question=question, gold=str(record)))
    found = ListedSource(problems, {})
    found.provenance = {"sha256": digest.hexdigest()}
    return found


class VerifiersFamily:
    """Follows `kgym.envs.task.EnvFamily`."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def members(self) -> Sequence[str]:
        """Return (): installed packages do not tell whether they are environments."""
        return ()

    def task(self, member: str) -> type[Task]:
        """Return the class of an environment, which is loaded with its options when it is constructed."""
        return type(
            "Loaded", (VerifiersTask,), {"member": member, "__doc__": f"The environment {member} of verifiers."}
        )
