"""The environment `greeting`: greet a user by name.

One problem: Problem(id="hello/greeting/train/3", question="Say hello to Dora.", gold="Dora", solution="Hello, Dora").
"""

import hashlib

from pydantic import Field

from kgym.envs.task import TaskOptions
from kgym.errors import UnknownName
from kgym.types import Chat, Message, Problem

NAMES = {
    "train": ("Ada", "Blaise", "Carl", "Dora", "Emmy", "Felix", "Grace", "Henri", "Ida", "Jakob", "Kurt", "Leonhard"),
    "validation": ("Mary", "Niels", "Olga", "Pierre"),
}


class Names:
    """The problems of a split, one a name; follows `kgym.types.ProblemSource`."""

    def __init__(self, split: str) -> None:
        if split not in NAMES:
            raise UnknownName.near("split", split, NAMES)
        self.split = split
        self.names = NAMES[split]

    @property
    def size(self) -> int:
        return len(self.names)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"hello/greeting/{self.split}:{','.join(self.names)}".encode()).hexdigest()

    def __getitem__(self, index: int) -> Problem:
        if not 0 <= index < len(self.names):
            raise IndexError(f"split {self.split} has {len(self.names)} problems; index={index} is not among them")
        name = self.names[index]
        return Problem(
            id=f"hello/greeting/{self.split}/{index}",
            question=f"Say hello to {name}.",
            gold=name,
            level=1,
            solution=f"Hello, {name}",
        )


class GreetingOptions(TaskOptions):
    """How the task is put."""

    polite: bool = Field(False)
    """Say please."""


class Greeting:
    """Follows `kgym.envs.task.Task`."""

    Options = GreetingOptions
    splits = tuple(NAMES)
    verifier = "hello"
    max_tokens = 32

    def __init__(self, options: GreetingOptions) -> None:
        self.options = options

    def source(self, split: str) -> Names:
        return Names(split)

    def prompt(self, problem: Problem) -> Chat:
        please = "Please. " if self.options.polite else ""
        return (Message("user", please + problem.question),)
