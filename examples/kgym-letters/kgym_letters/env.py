"""The environment `letters`: how often a letter occurs in a text.

One problem: question="How often does the letter e occur in 'tree house'?", gold="3".
"""

import random

from kgym.envs.generated import SPLITS, Draft, Family, GeneratedSource
from kgym.envs.task import TaskOptions
from kgym.types import Chat, Message, Problem, ProblemSource
from pydantic import Field

WORDS = (
    *("apple", "balloon", "cabbage", "daffodil", "eleven", "fellow", "giggle", "hammer", "island", "jungle"),
    *("kitten", "letter", "mirror", "noodle", "orange", "pepper", "rabbit", "sleeve", "tunnel", "window"),
)


def count(rng: random.Random, level: int) -> Draft:
    """Ask how often a letter occurs in `level` + 1 words; the solution counts word by word."""
    words = rng.choices(WORDS, k=level + 1)
    text = " ".join(words)
    letter = rng.choice(sorted(set(text) - {" "}))
    steps = ", ".join(f"{word}: {word.count(letter)}" for word in words)
    total = text.count(letter)
    question = f"How often does the letter {letter} occur in '{text}'?"
    return Draft((text, letter), question, total, f"{steps}. \\boxed{{{total}}}")


FAMILIES = (Family("count", "letters", count),)


class LettersOptions(TaskOptions):
    """How long the texts are."""

    difficulty: int = Field(1, ge=1, le=10)
    """A text has one word more than this says."""


class Letters:
    """Follows `kgym.envs.task.Task`."""

    Options = LettersOptions
    splits: tuple[str, ...] = SPLITS
    verifier = "integer"
    max_tokens = 128

    def __init__(self, options: LettersOptions) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return endless problems; none of `validation` is in `train`."""
        return GeneratedSource("letters", 0, split, FAMILIES, (self.options.difficulty,))

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\nAnswer in \\boxed{{}}."),)
