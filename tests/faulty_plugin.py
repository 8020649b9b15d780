"""A plugin for tests: components of every kind that fail in one way each."""

import sys

from kgym.errors import ConfigError
from kgym.hookspecs import (
    AlgorithmInfo,
    CommandInfo,
    EngineInfo,
    EnvInfo,
    ExporterInfo,
    ModelInfo,
    SamplerInfo,
    ShaperInfo,
    TrackerInfo,
    hookimpl,
)
from kgym.types import Message, Problem, UpdatePlan

kgym_api = 1
FILE = "faulty_plugin"


@hookimpl
def kgym_components():
    for name in ("divides", "shortens", "words"):
        yield ShaperInfo(name, f"{FILE}:{name.title()}")
    for name in ("raises", "unmade", "few", "negative", "texts", "unlearning", "stateful"):
        yield SamplerInfo(name, f"{FILE}:Sampler{name.title()}")
    for name in ("misshapen", "lost", "lossless"):
        yield AlgorithmInfo(name, f"{FILE}:{name.title()}")
    for name in ("raises", "loses", "texts"):
        yield EngineInfo(name, f"{FILE}:Engine{name.title()}")
    for name in ("unprompted", "unsourced", "mistyped", "texty"):
        yield EnvInfo(name, f"{FILE}:{name.title()}", namespace="faulty")
    yield TrackerInfo("raises", f"{FILE}:TrackerRaises")
    yield TrackerInfo("mute", f"{FILE}:Mute")
    yield ModelInfo("raises", f"{FILE}:no_model")
    yield ExporterInfo("raises", f"{FILE}:ExporterRaises")
    yield ExporterInfo("nothing", f"{FILE}:Nothing")
    yield CommandInfo("greet", FILE)


class Optioned:
    def __init__(self, options, *context):
        pass


# --- shapers


class Divides(Optioned):
    def __call__(self, group, rewards, step):
        return [1 / 0]


class Shortens(Optioned):
    def __call__(self, group, rewards, step):
        return rewards[1:]


class Words(Optioned):
    def __call__(self, group, rewards, step):
        return ["good"] * len(rewards)


# --- samplers


class Sampler(Optioned):
    def next(self, n, *rest):
        return list(range(n))

    def update(self, index, verdicts):
        pass

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class SamplerRaises(Sampler):
    def next(self, n, *rest):
        raise KeyError("next")


class SamplerUnmade(Sampler):
    def __init__(self, options):
        pass


class SamplerFew(Sampler):
    def next(self, n, *rest):
        return [0] * (n - 1)


class SamplerNegative(Sampler):
    def next(self, n, *rest):
        return [-1] * n


class SamplerTexts(Sampler):
    def next(self, n, *rest):
        return ["a"] * n


class SamplerUnlearning(Sampler):
    def update(self, index, verdicts):
        raise RuntimeError("no update")


class SamplerStateful(Sampler):
    def state_dict(self):
        return {"seen": {1, 2}}


# --- algorithms


class Algorithm(Optioned):
    plan = UpdatePlan()

    def advantages(self, batch):
        import torch

        return torch.zeros_like(batch.old_logprobs)

    def loss(self, batch, logprobs):
        raise RuntimeError("no loss today")


class Lost(Algorithm):
    pass


class Misshapen(Algorithm):
    def advantages(self, batch):
        return batch.rewards


class Lossless(Algorithm):
    def loss(self, batch, logprobs):
        return logprobs.sum()


# --- engines


class Engine(Optioned):
    version = 0

    def load(self, version, weights):
        pass

    def sleep(self):
        pass

    def wake(self):
        pass


class EngineRaises(Engine):
    def generate(self, requests):
        raise RuntimeError("out of order")


class EngineLoses(Engine):
    def generate(self, requests):
        return iter(())


class EngineTexts(Engine):
    def generate(self, requests):
        return iter("abcd")


# --- environments


class Source:
    size = 5
    fingerprint = "f"

    def __getitem__(self, index):
        return Problem(f"faulty/{index}", "What is 1+1?", "2")


class UnreadableSource(Source):
    def __getitem__(self, index):
        raise OSError("unreadable")


class UntypedSource(Source):
    def __getitem__(self, index):
        return {"question": "What is 1+1?", "answer": "2"}


class Task(Optioned):
    splits = ("train", "validation")
    verifier = "integer"
    max_tokens = 8
    of = Source

    def source(self, split):
        return self.of()

    def prompt(self, problem):
        return (Message("user", problem.question),)


class Unprompted(Task):
    def prompt(self, problem):
        if problem.id.startswith("faulty"):  # not the placeholder
            raise LookupError("no prompt")
        return super().prompt(problem)


class Unsourced(Task):
    of = UnreadableSource


class Mistyped(Task):
    of = UntypedSource


class Texty(Task):
    def prompt(self, problem):
        return problem.question if problem.id.startswith("faulty") else super().prompt(problem)


# --- the rest


class TrackerRaises(Optioned):
    def __init__(self, *arguments):
        raise ConnectionError("no server")


class Mute(Optioned):
    def log(self, step, metrics):
        print("a tracker that talks")
        raise RuntimeError("no words")

    def close(self, *, failed):
        pass


def no_model():
    raise FileNotFoundError("no weights")


class ExporterRaises(Optioned):
    def __call__(self, rows):
        raise KeyError("model")


class Nothing(Optioned):
    def __call__(self, rows):
        return None


def configure(parser):
    parser.add_argument("--politely", action="store_true")


def run(args):
    if args.politely:
        raise ConfigError("say whom to greet")
    print("hello", file=sys.stderr)
    raise ValueError("nobody here")
