"""The environment `arithmetic`: sums, differences and products of two numbers, the smallest example."""

import random

from pydantic import Field

from kgym.envs.generated import SPLITS, Draft, Family, GeneratedSource
from kgym.envs.task import TaskOptions
from kgym.types import Chat, Message, Problem, ProblemSource


def add(rng: random.Random, level: int) -> Draft:
    """Add two numbers of `level` + 2 digits."""
    a, b = sorted(rng.randrange(10 ** (level + 1), 10 ** (level + 2)) for _ in range(2))
    return Draft((a, b), f"What is {a}+{b}?", a + b, f"{a}+{b}=\\boxed{{{a + b}}}")


def subtract(rng: random.Random, level: int) -> Draft:
    """Subtract the smaller of two numbers of `level` + 2 digits from the larger."""
    a, b = sorted(rng.randrange(10 ** (level + 1), 10 ** (level + 2)) for _ in range(2))
    return Draft((a, b), f"What is {b}-{a}?", b - a, f"{b}-{a}=\\boxed{{{b - a}}}")


def multiply(rng: random.Random, level: int) -> Draft:
    """Multiply a number of `level` + 2 digits by one digit."""
    a, b = rng.randrange(10 ** (level + 1), 10 ** (level + 2)), rng.randint(2, 9)
    return Draft((a, b), f"What is {a}*{b}?", a * b, f"{a}*{b}=\\boxed{{{a * b}}}")


FAMILIES = tuple(
    Family(name, "arithmetic", make) for name, make in (("sum", add), ("difference", subtract), ("product", multiply))
)


class ArithmeticOptions(TaskOptions):
    """How large the numbers are."""

    difficulty: int = Field(1, ge=1, le=10)
    """The numbers have two digits more than this says."""


class Arithmetic:
    """Follows `kgym.envs.task.Task`."""

    Options = ArithmeticOptions
    splits = SPLITS
    verifier = "integer"
    max_tokens = 64

    def __init__(self, options: ArithmeticOptions) -> None:
        self.options = options

    def source(self, split: str) -> ProblemSource:
        """Return endless problems; none of `validation` is in `train`. Raises UnknownName for another split."""
        return GeneratedSource("arithmetic", 1, split, FAMILIES, (self.options.difficulty,))

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\nAnswer in \\boxed{{}}."),)
