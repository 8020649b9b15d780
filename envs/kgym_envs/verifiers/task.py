"""The environments `verifiers:ID`: rows of an installed environment of the package verifiers, judged by its rubric.

pip install ./my-env                      an environment package, as verifiers loads them
kgym train --env verifiers:my-env --set env.args.difficulty=3
"""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any, ClassVar

from pydantic import Field

from kgym.data.sources import ListedSource
from kgym.data.splitting import Part, part_of
from kgym.envs.generated import SPLITS
from kgym.envs.task import Task, TaskOptions
from kgym.errors import DataError, UnknownName
from kgym.options import Options
from kgym.types import Chat, Message, Problem, ProblemSource
from kgym_envs.verifiers import loaded


class VerifiersOptions(TaskOptions):
    """How the environment is loaded."""

    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of its `load_environment`."""
    validation_frac: float = Field(0.2, gt=0, lt=1)
    """Share of the training data that is for validation, if the environment has no data for evaluation."""


class VerifiersTask:
    """Follows `kgym.envs.task.Task`; a subclass for each environment has its name."""

    Options = VerifiersOptions
    member: ClassVar[str]
    splits = SPLITS
    verifier = "verifiers"
    max_tokens = 2048

    def __init__(self, options: VerifiersOptions) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return the rows of a split. Raises UnknownName for another split, DataError if there are none."""
        if split not in SPLITS:
            raise UnknownName.near("split", split, SPLITS)
        held_out = split == "validation"
        args = json.dumps(self.options.args, sort_keys=True)
        train, validation = (_problems(self.member, args, part) for part in (loaded.TRAIN, loaded.HELD_OUT))
        if train is not None and validation is not None:
            whole = validation if held_out else train
            return Part(whole.problems, whole.fingerprint)
        if (only := train or validation) is None:
            raise DataError(f"environment 'verifiers:{self.member}' has no data")
        return part_of(only, f"verifiers:{self.member}", held_out=held_out, share=self.options.validation_frac)

    def prompt(self, problem: Problem) -> Chat:
        """Return the messages of the row."""
        return (
            _chat(self.member, loaded.Record.read(problem.gold).row())
            if problem.gold.startswith("{")
            else _user(problem.question)
        )


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
def _problems(member: str, args: str, part: str) -> ListedSource | None:
    values = json.loads(args)
    data = loaded.rows(member, values, part)
    if data is None:
        return None
    problems = []
    digest = hashlib.sha256(f"{version('verifiers')} {member} {args} {part}".encode())
    for index, row in enumerate(data):
        record = loaded.Record(str(row.get("answer", "")), member, values, part, index)
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
        """Installed packages do not say that they are environments."""
        return ()

    def task(self, member: str) -> type[Task]:
        """Return the class of an environment; it is loaded with its options, when its problems are asked for."""
        return type(
            "Loaded", (VerifiersTask,), {"member": member, "__doc__": f"The environment {member} of verifiers."}
        )
