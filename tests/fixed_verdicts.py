"""A plugin for tests: verifiers that have made up their minds, and one that finds half of the completions right."""

from kgym.hookspecs import VerifierInfo, hookimpl
from kgym.options import Options
from kgym.types import Verdict

kgym_api = 1


@hookimpl
def kgym_components():
    for name, target in {
        "always-right": "Right",
        "always-wrong": "Wrong",
        "even-length": "Even",
        "never-sure": "Unsure",
    }.items():
        yield VerifierInfo(name=name, target=f"fixed_verdicts:{target}", isolation="none")


class Right:
    Options = Options

    def __init__(self, options):
        pass

    def verdict(self, response):
        return Verdict("correct")

    def verify_many(self, items):
        return [self.verdict(item.response) for item in items]


class Wrong(Right):
    def verdict(self, response):
        return Verdict("wrong")


class Even(Right):
    def verdict(self, response):
        return Verdict("correct" if len(response) % 2 == 0 else "wrong")


class Unsure(Right):
    def verdict(self, response):
        return Verdict("unscored", "doubt")
