"""A plugin for tests: a very small environment, and a verifier that can be told to fail."""

import hashlib
from dataclasses import dataclass

from kgym.errors import UnknownName
from kgym.hookspecs import EnvFamilyInfo, EnvInfo, VerifierInfo, hookimpl
from kgym.options import Options
from kgym.types import Message, Problem, Verdict

kgym_api = 1


@hookimpl
def kgym_components():
    yield EnvInfo(name="tiny", namespace="tests", version=3, target="tiny_env:Tiny", summary="add to a number")
    yield EnvInfo(name="clashing", namespace="tests", target="tiny_env:Clashing")
    for name, target in BROKEN.items():
        yield EnvInfo(name=name, namespace="tests", target=f"tiny_env:{target}")
    yield EnvFamilyInfo(name="small", target="tiny_env:Small", suffixes=(".tiny",))
    yield VerifierInfo(name="moody", target="tiny_env:Moody", isolation="none")
    yield VerifierInfo(name="short", target="tiny_env:Short", isolation="none")


class Small:
    def __init__(self, options):
        pass

    def members(self):
        return ["one", "two"]

    def task(self, member):
        return Tiny


class TinyOptions(Options):
    add: int = 1
    """What to add."""


@dataclass
class Numbers:
    split: str
    add: int
    size: int = 5

    @property
    def fingerprint(self):
        return hashlib.sha256(repr((self.split, self.add, self.size)).encode()).hexdigest()

    def __getitem__(self, index):
        if not 0 <= index < self.size:
            raise IndexError(index)
        number = index + (10 if self.split == "train" else 20)
        return Problem(
            f"tiny/{self.split}/{index}",
            f"What is {number}+{self.add}?",
            str(number + self.add),
            level=2,
            subject="sums",
        )


class Tiny:
    Options = TinyOptions
    splits = ("train", "validation")
    verifier = "integer"
    max_tokens = 10

    def __init__(self, options):
        self.options = options

    def source(self, split):
        if split not in self.splits:
            raise UnknownName.near("split", split, self.splits)
        return Numbers(split, self.options.add)

    def prompt(self, problem):
        return (Message("system", "Be brief."), Message("user", problem.question))


class Clashing(Tiny):
    class Options(TinyOptions):
        max_tokens: int = 3


# --- verifiers


class MoodyOptions(Options):
    partial: float = 0.25
    """The score of a half-right completion."""


class Moody:
    """Does as the completion says, and remembers how many completions came at once."""

    Options = MoodyOptions
    batches: list[int] = []  # noqa: RUF012

    def __init__(self, options):
        self.options = options

    def verify_many(self, items):
        self.batches.append(len(items))
        return [self._verdict(item) for item in items]

    def _verdict(self, item):
        if "slow" in item.response:
            return Verdict("unscored", "timeout")
        if "half" in item.response:
            return Verdict("wrong", "part", answer="half", partial=self.options.partial)
        return Verdict("correct" if item.gold in item.response else "wrong", "gold", answer=item.response)


class Short:
    """Loses a verdict."""

    def __init__(self, options):
        pass

    def verify_many(self, items):
        return [Verdict("wrong")] * (len(items) - 1)


# --- environments that break the contract, by what is wrong with them


class Impure(Tiny):
    def source(self, split):
        class Drifting(Numbers):
            asked = 0

            def __getitem__(self, index):
                Drifting.asked += 1
                problem = super().__getitem__(index)
                return Problem(problem.id, f"{problem.question} {self.asked}", problem.gold)

        return Drifting(split, 1)


class SharedSplits(Tiny):
    def source(self, split):
        return Numbers("train", self.options.add)


class WrongGold(Tiny):
    def source(self, split):
        class Words(Numbers):
            def __getitem__(self, index):
                problem = super().__getitem__(index)
                return Problem(problem.id, problem.question, "eleven")

        return Words(split, 1)


class WrongSolution(Tiny):
    def source(self, split):
        class Solved(Numbers):
            def __getitem__(self, index):
                problem = super().__getitem__(index)
                return Problem(problem.id, problem.question, problem.gold, solution=r"\boxed{0}")

        return Solved(split, 1)


class Endless(Tiny):
    """Has a size and goes on after it."""

    def source(self, split):
        class Beyond(Numbers):
            def __getitem__(self, index):
                return super().__getitem__(index % self.size if index > 0 else index)

        return Beyond(split, 1)


class PlainPrompt(Tiny):
    """Its prompt is not a conversation."""

    def prompt(self, problem):
        return problem.question


BROKEN = {
    "impure": "Impure",
    "shared": "SharedSplits",
    "wronggold": "WrongGold",
    "wrongsolution": "WrongSolution",
    "endless": "Endless",
    "plainprompt": "PlainPrompt",
}
