"""An environment: count the letters of a word."""

import hashlib
from collections.abc import Iterator, Mapping

from kgym.envs.task import TaskOptions
from kgym.errors import UnknownName
from kgym.hookspecs import Component, EnvInfo, hookimpl
from kgym.types import Chat, Message, Problem

kgym_api = 1

WORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("tree", "river", "lamp", "stone", "cloud", "paper", "glass", "train"),
    "validation": ("house", "bread", "night", "field"),
}


class Words:
    """The problems of a split: the same index gives the same problem for ever."""

    def __init__(self, split: str) -> None:
        if split not in WORDS:
            raise UnknownName.near("split", split, WORDS)
        self.split, self.words = split, WORDS[split]
        self.size = len(self.words)
        self.fingerprint = hashlib.sha256(f"{split}:{self.words}".encode()).hexdigest()

    def __getitem__(self, index: int) -> Problem:
        if not 0 <= index < self.size:
            raise IndexError(f"{self.split} has {self.size} problems; {index} is not one of them")
        word = self.words[index]
        return Problem(
            id=f"demo/letters/{self.split}/{index}",
            question=f"How many letters does {word} have?",
            gold=str(len(word)),
            solution=f"{word} has \\boxed{{{len(word)}}} letters",
        )


class Letters:
    """Follows `kgym.envs.task.Task`."""

    Options = TaskOptions
    splits = ("train", "validation")
    verifier = "integer"
    max_tokens = 32

    def __init__(self, options: TaskOptions) -> None:
        self.options = options

    def source(self, split: str) -> Words:
        """Return the problems of a split."""
        return Words(split)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question} Answer in \\boxed{{}}."),)


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield EnvInfo(
        name="letters",
        namespace="demo",
        target=f"{__name__}:Letters",
        summary="count the letters of a word",
    )
