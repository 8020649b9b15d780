"""The kits: everything that comes with kgym conforms, and each kit fails a component that is broken in the way that
it looks for.
"""

import dataclasses
import json
import math
import os
import pickle
import random
import subprocess
import sys
import textwrap
from types import ModuleType

import pytest

from kgym.cli.main import main
from kgym.discovery import KINDS
from kgym.errors import ConfigError, UnknownName
from kgym.hookspecs import hookimpl
from kgym.options import Options
from kgym.registry import configure, registry
from kgym.testing.algorithms import check_algorithm
from kgym.testing.bridges import check_bridge
from kgym.testing.engines import ScriptedEngine, UniformEngine, check_engine
from kgym.testing.envs import check_environment, check_task
from kgym.testing.exporters import check_exporter
from kgym.testing.kits import KITS, check
from kgym.testing.observers import check_observers
from kgym.testing.report import ConformanceError
from kgym.testing.samplers import Levels, check_sampler
from kgym.testing.shapers import check_shaper
from kgym.testing.trackers import check_tracker
from kgym.types import LossOutput, Message, Problem, Segment, UpdatePlan

NEED_MORE = {
    ("verifier", "judge"): "needs a model that judges",
    ("verifier", "reward_model"): "needs a trained reward model",
    ("verifier", "math"): "test_math_properties has it",
    ("family", "rg"): "needs its package; test_reasoning_gym has it",
    ("verifier", "reasoning_gym"): "needs its package; test_reasoning_gym has it",
    ("family", "verifiers"): "needs its package; test_verifiers_family has it",
    ("verifier", "verifiers"): "needs its package; test_verifiers_family has it",
    ("family", "openenv"): "needs its package and a server; test_openenv_family has them",
    ("verifier", "openenv"): "needs its package and a server; test_openenv_family has them",
    ("environment", "data"): "needs a data set; test_data_env has it",
    ("engine", "vllm"): "needs its package, in an environment of its own; test_vllm has it",
    ("engine", "ray"): "needs its package; test_ray has it",
    ("engine", "openai"): "needs a server; test_openai_engine has it",
    ("tracker", "wandb"): "needs its package",
    ("tracker", "trackio"): "needs its package",
    ("tracker", "mlflow"): "needs its package",
}
OURS = [
    (info.kind, info.name)
    for info, record in registry().offers()
    if record.origin == "kgym" and (info.kind, info.name) not in NEED_MORE
]


@pytest.fixture(autouse=True)
def _plugins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some trackers write where they are started
    yield
    configure([])


def test_there_is_a_kit_for_every_kind():
    assert set(KINDS) <= set(KITS)


@pytest.mark.parametrize(("kind", "name"), OURS, ids=lambda value: value)
def test_what_comes_with_kgym_conforms(kind, name):
    arguments = {"sample": 20} if kind == "environment" else {}
    report = check(kind, name, **arguments)
    assert report.passed
    assert report.failures == []


@pytest.mark.parametrize("name", [name for kind, name in OURS if kind == "environment"])
def test_tasks_of_kgym_conform(name):
    assert check_task(name, sample=20).passed


@pytest.mark.parametrize(
    "engine", [UniformEngine("0123456789"), ScriptedEngine(lambda request: request.prompt[-1].content)]
)
def test_the_doubles_are_engines(engine):
    assert check_engine(engine, weights=object()).passed


def findings(kit, subject, **arguments):
    with pytest.raises(ConformanceError) as caught:
        kit(subject, **arguments)
    assert all(text in str(caught.value) for text in caught.value.report.failures)
    return " | ".join(caught.value.report.failures)


class Made:
    def __init__(self, options=None, *context):
        self.context = context


# --- samplers


class Cycle(Made):
    """A sampler that keeps the contract."""

    n = 0

    def next(self, n, *rest):
        size = self.context[0].size if self.context else None
        self.n += n
        return [index % size if size else index for index in range(self.n - n, self.n)]

    def update(self, index, verdicts):
        pass

    def state_dict(self):
        return {"n": self.n}

    def load_state_dict(self, state):
        self.n = state["n"]


class Globally(Cycle):
    def next(self, n, *rest):
        return random.sample(range(20), n)


class Forgetful(Cycle):
    def load_state_dict(self, state):
        pass


class Unsaved(Cycle):
    def state_dict(self):
        return {"n": {self.n}}


class Beyond(Cycle):
    def next(self, n, *rest):
        return range(10**6, 10**6 + n)


class Repeats(Cycle):
    def next(self, n, *rest):
        return [0] * n


class Unteachable(Cycle):
    def update(self, index, verdicts):
        assert verdicts[0].score >= 0


@pytest.mark.parametrize(
    ("sampler", "finding"),
    [
        (Globally, "the same seed, the same indices"),
        (Forgetful, "resuming: a resumed sampler chooses"),
        (Unsaved, "state_dict has to return plain JSON values"),
        (Beyond, "returned 1000000, but the source has 24 problems"),
        (Repeats, "returned a problem twice"),
        (Unteachable, "indices: it raised IndexError"),
    ],
)
def test_the_kit_of_samplers(sampler, finding):
    assert finding in findings(check_sampler, sampler)


def test_a_sampler_is_checked_as_a_class_and_as_an_instance():
    assert check_sampler(Cycle).passed
    assert check_sampler(Cycle(None, Levels(9), 0), source=Levels(9)).passed


# --- shapers


def shaper(function):
    return type("Shape", (Made,), {"__call__": lambda self, group, rewards, step: function(group, rewards)})


def spoil(group, rewards):
    group.episodes.sort(key=lambda episode: len(episode.text))
    return rewards


def by_place(group, rewards):
    return [reward + place for place, reward in enumerate(rewards)]


@pytest.mark.parametrize(
    ("function", "finding"),
    [
        (lambda group, rewards: rewards[1:], "0 rewards for 1 episodes"),
        (lambda group, rewards: [math.nan] * len(rewards), "the rewards are [nan]"),
        (lambda group, rewards: [1 / len(episode.text) for episode in group.episodes], "ZeroDivisionError"),
        (spoil, "it changes the group"),
        (
            lambda group, rewards: [random.random() for _ in rewards],
            "the same group gets other rewards the second time",
        ),
        (by_place, "the order of the episodes: the order changes the rewards"),
    ],
)
def test_the_kit_of_shapers(function, finding):
    assert finding in findings(check_shaper, shaper(function))


# --- algorithms


class Summed(Made):
    """An algorithm that keeps the contract."""

    plan = UpdatePlan()

    def advantages(self, batch):
        return batch.rewards[batch.episode_ids] * batch.mask

    def loss(self, batch, logprobs):
        return LossOutput(-(logprobs * batch.advantages * batch.mask).sum() / batch.totals.tokens)


class PerEpisode(Summed):
    def advantages(self, batch):
        return batch.rewards


class Unmasked(Summed):
    def loss(self, batch, logprobs):
        return LossOutput(-logprobs.sum() / batch.totals.tokens)


class OwnMean(Summed):
    def loss(self, batch, logprobs):
        return LossOutput(-(logprobs * batch.advantages * batch.mask).mean())


class Planless(Summed):
    plan = None


@pytest.mark.parametrize(
    ("algorithm", "finding"),
    [
        (PerEpisode, "advantages have shape (16,)"),
        (Unmasked, "tokens that are masked out have a gradient"),
        (OwnMean, "micro-batches: the loss differs"),
        (OwnMean, "longer prompts"),  # all findings, and not the first alone
        (Planless, "plan is NoneType"),
    ],
)
def test_the_kit_of_algorithms(algorithm, finding):
    assert check_algorithm(Summed).passed
    assert finding in findings(check_algorithm, algorithm)


# --- engines


class Faulty(UniformEngine):
    """An engine that changes the segments of another one."""

    def poll(self, timeout_s=None):
        requests = [state.request for state in self._open.values()]
        return [self.changed(segment, requests) for segment in super().poll(timeout_s)]

    def changed(self, segment, requests):
        return segment


def altered(segment, **fields):
    return Segment(str(segment), **{name: getattr(segment, name) for name in Segment.__slots__} | fields)


class Crowded(Faulty):
    def changed(self, segment, requests):
        return altered(segment, token_ids=[n + len(requests) for n in segment.token_ids])


class Positive(Faulty):
    def changed(self, segment, requests):
        return altered(segment, engine_logprobs=[0.5] * len(segment.token_ids))


class Stale(Faulty):
    def load(self, version, weights):
        pass

    def changed(self, segment, requests):
        return altered(segment, version=3)


class Restarting(Faulty):
    def submit(self, requests):
        super().submit([dataclasses.replace(request, prefix_ids=()) for request in requests])


class Eager(Faulty):
    def submit(self, requests):
        super().submit([dataclasses.replace(request, max_tokens=50, context_tokens=None) for request in requests])


class Losing(Faulty):
    def submit(self, requests):
        super().submit(requests[1:])


class Random(Faulty):
    def changed(self, segment, requests):
        return altered(segment, token_ids=[random.randrange(10**9) for _ in segment.token_ids])


@pytest.mark.parametrize(
    ("engine", "finding"),
    [
        (Crowded, "among other requests: request 1 gave"),
        (Positive, "have to be 0 or less"),
        (Stale, "a segment has version 3, the engine has version 0"),
        (Restarting, "cut and continued: request"),
        (Eager, "tokens, but max_tokens is 12"),
        (Losing, "it returned no segment for 1 open requests"),
        (Random, "request 1 gave"),
    ],
)
def test_the_kit_of_engines(engine, finding):
    assert finding in findings(check_engine, engine("0123456789" * 3))


# --- trackers, exporters, observers


class Writes(Made):
    def log(self, step, metrics):
        json.dumps(metrics, allow_nan=False)

    def close(self, *, failed):
        pass


class Alters(Writes):
    def log(self, step, metrics):
        metrics["step"] = step


class Once(Writes):
    def __init__(self, options, folder, config):
        (folder / "mine").mkdir()

    def log(self, step, metrics):
        pass


class Needy(Writes):
    def __init__(self, options, folder, config):
        self.last = None
        config["mine"] = 1

    def log(self, step, metrics):
        self.last = metrics

    def close(self, *, failed):
        print(self.last["eval/accuracy"])


@pytest.mark.parametrize(
    ("tracker", "finding"),
    [
        (Writes, "a run that fails: it raised ValueError: Out of range"),
        (Alters, "log changes the metrics"),
        (Once, "the run resumed: it raised FileExistsError"),
        (Needy, "a run without a step: it raised TypeError"),
        (Needy, "it changes the configuration"),
    ],
)
def test_the_kit_of_trackers(tracker, finding):
    assert finding in findings(check_tracker, tracker)


def exporter(function, **attributes):
    return type("Export", (Made,), {"__call__": lambda self, rows: function(rows), **attributes})


@pytest.mark.parametrize(
    ("function", "finding"),
    [
        (lambda rows: None, "it returned NoneType"),
        (lambda rows: "", "it returned nothing"),
        (lambda rows: f"{rows[0]['accuracy']}", "no rows: it raised IndexError"),
        (lambda rows: "\n".join(f"{row['stderr']:.2f}" for row in rows) or "none", "seven rows: it raised TypeError"),
        (lambda rows: str([row.pop("note") for row in rows]), "it changes the rows"),
        (lambda rows: str(random.random()), "the same rows give a different file"),
    ],
)
def test_the_kit_of_exporters(function, finding):
    assert finding in findings(check_exporter, exporter(function))


def bridge(function, turns=False):
    return type("Bridge", (Made,), {"turns": turns, "__call__": lambda self, export: function(export)})


@pytest.mark.parametrize(
    ("function", "finding"),
    [
        (lambda export: {}, "it has to return the content of each file"),
        (lambda export: {"../out": "x"}, "'../out' is not the name of a file"),
        (lambda export: {"a": 1}, "the content of a is int"),
        (lambda export: {"a": ""}, "every file is empty"),
        (lambda export: {"a": str([row.pop("id") for row in export.splits["train"]])}, "it changes the rows"),
        (lambda export: {"a": str(random.random())}, "the same rows give different files"),
        (lambda export: {"a": export.splits["train"][2]["id"]}, "one problem: it raised IndexError"),
    ],
)
def test_the_kit_of_bridges(function, finding):
    assert finding in findings(check_bridge, bridge(function))
    assert "turns is None" in findings(check_bridge, bridge(function, turns=None))


def observers(monkeypatch, **hooks):
    module = ModuleType("watching")
    module.kgym_api = 1
    for name, function in hooks.items():
        function.__name__ = name
        setattr(module, name, hookimpl(function))
    module.__spec__ = None
    monkeypatch.setitem(sys.modules, "watching", module)
    return module


def test_the_kit_of_observers(monkeypatch):
    def sorts(groups):
        for group in groups:
            group.episodes.sort(key=lambda episode: len(episode.text))

    def raises(metrics):
        return metrics["not/there"]

    def seeds(run):
        random.seed(0)

    def looks(summary):
        return len(summary)

    module = observers(
        monkeypatch,
        kgym_rollouts_finished=sorts,
        kgym_step_finished=raises,
        kgym_run_started=seeds,
        kgym_run_finished=looks,
    )
    with pytest.raises(ConformanceError) as caught:
        check_observers(module)
    report = caught.value.report
    assert report.passed == ["kgym_run_finished"]
    found = " | ".join(report.failures)
    assert "kgym_rollouts_finished: it changes its groups" in found
    assert "kgym_step_finished: it raised KeyError: 'not/there'" in found
    assert "kgym_run_started: it changes the global random state" in found


def test_plugins_check_takes_a_plugin_with_observers(tmp_path, capsys):
    (tmp_path / "watch.py").write_text(
        "from kgym.hookspecs import hookimpl\nkgym_api = 1\n@hookimpl\ndef kgym_run_finished(summary):\n    return 1 / "
        "0\n"
    )
    assert main(["-p", str(tmp_path / "watch.py"), "plugins", "check", "watch"]) == 1
    assert "FAILED kgym_run_finished: it raised ZeroDivisionError" in capsys.readouterr().out


# --- tasks and environments


class Sums:
    size = 5
    fingerprint = "sums"

    def __getitem__(self, index):
        if not 0 <= index < self.size:
            raise IndexError(index)
        return Problem(f"sums/{index}", f"What is {index}+1?", str(index + 1))


class Task(Made):
    splits = ("train", "validation")
    verifier = "integer"
    max_tokens = 8

    def source(self, split):
        return Sums()

    def prompt(self, problem):
        return (Message("user", problem.question),)


class Impure(Task):
    def source(self, split):
        source = Sums()
        source.fingerprint = str(random.random())
        return source


class Telling(Task):
    def source(self, split):
        return type(
            "Long", (Sums,), {"__getitem__": lambda self, i: dataclasses.replace(Sums()[i], gold=f"123456789{i}")}
        )()

    def prompt(self, problem):
        return (Message("user", f"{problem.question} (it is {problem.gold})"),)


@pytest.mark.parametrize(
    ("task", "finding"),
    [
        (Impure, "a copy has another fingerprint"),
        (Telling, "the prompt of sums/0 has the gold answer"),
        (type("Backwards", (Task,), {"splits": ("validation", "train")}), "train and validation come first"),
        (type("Unjudged", (Task,), {"verifier": "nobody"}), "no verifier named 'nobody'"),
        (
            type("Texts", (Task,), {"prompt": lambda self, problem: problem.question}),
            "it has to be a tuple of Messages",
        ),
    ],
)
def test_the_kit_of_tasks(task, finding):
    assert check_task(Task).passed
    assert finding in findings(check_task, task)


def test_an_environment_is_found_by_the_class_of_its_task():
    from kgym_envs.arithmetic import Arithmetic

    assert check_environment(Arithmetic, sample=5).name == "Arithmetic"
    with pytest.raises(UnknownName, match="register it"):
        check_environment(Task)


# --- records


RECORDS = """
from pathlib import Path
from kgym.hookspecs import BenchmarkInfo, CheckInfo, CommandInfo, DatasetInfo, \
ExperimentInfo, ModelInfo, PresetInfo, hookimpl
kgym_api = 1

@hookimpl
def kgym_components():
    yield ExperimentInfo("lost", "records:table")
    yield BenchmarkInfo("lost", env="arithmetic", split="tset", problems=3)
    yield BenchmarkInfo("odd", env="arithmetic", split="validation", problems=3, samples=0)
    yield DatasetInfo("lost", hub=("acme",))
    yield PresetInfo("lost", prompt="Solve it.", top_p=1.5)
    yield ModelInfo("lost", "records:here")
    yield CommandInfo("lost", "records")
    yield CheckInfo("lost", "records:fine")

def here(): return Path(__file__).parent
def table(): return Path(__file__)
def fine(): return "fine"
"""


@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        ("benchmark", "has no split 'tset'"),
        ("dataset", "name repositories as OWNER/NAME"),
        ("preset", "has to contain {question} exactly once"),
        ("preset", "top_p is 1.5"),
        ("preset", "source is empty; it has to say where the protocol is published"),
        ("model", "has no config.json"),
        ("experiment", "cannot read the experiment"),
        ("command", "it has no run(args)"),
        ("check", "it returned 'fine'"),
    ],
)
def test_the_kits_of_records(kind, finding, tmp_path, capsys):
    (tmp_path / "records.py").write_text(RECORDS)
    assert main(["-p", str(tmp_path / "records.py"), "plugins", "check", "lost", "--kind", kind]) == 1
    assert finding in capsys.readouterr().out


# --- one rule for all


def test_options_go_to_names_and_classes_and_not_to_instances():
    class Optioned(Cycle):
        class Options(Options):
            first: int = 0

        def __init__(self, options, source, seed):
            self.n, self.context = options.first, (source,)

    assert check_sampler(Optioned, options={"first": 3}).passed
    with pytest.raises(UnknownName, match=r"no key named 'sampler\.frist'; did you mean 'sampler\.first'"):
        check_sampler(Optioned, options={"frist": 3})
    with pytest.raises(ConfigError, match="an instance of Cycle has its options; give the class instead"):
        check_sampler(Cycle(None, Levels(9), 0), options={"first": 3})


def test_a_finding_travels_between_processes():
    with pytest.raises(ConformanceError) as caught:
        check_shaper(shaper(lambda group, rewards: []))
    error = caught.value
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.report) == (str(error), error.report)


def test_plugins_check_refuses_what_it_does_not_know(capsys):
    assert main(["plugins", "check", "intger"]) == 2
    assert "no component named 'intger'; did you mean 'integer'?" in capsys.readouterr().err
    assert main(["plugins", "check", "uniform", "--set", "sampler.x=1"]) == 2
    assert main(["plugins", "check", "r1", "--set", "preset.x=1"]) == 2
    assert main(["plugins", "check", "curriculum", "--set", "sampler.lookahead=64"]) == 0


def test_the_fixtures_work_in_a_suite_where_warnings_are_errors(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["kgym.testing.fixtures"]\n')
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
        from kgym.hookspecs import ShaperInfo, hookimpl
        kgym_api = 1
        @hookimpl
        def kgym_components():
            yield ShaperInfo("mine", "mine:Mine")
        class Mine:
            def __init__(self, options): pass
            def __call__(self, group, rewards, step): return [2 * reward for reward in rewards]
        """)
    )
    (tmp_path / "test_mine.py").write_text(
        textwrap.dedent("""
        import pytest
        from kgym.testing.report import ConformanceError

        def test_mine(kgym_plugins, check_shaper, check_sampler, scripted_engine):
            kgym_plugins("mine.py")
            assert check_shaper("mine").passed
            assert check_sampler("uniform").passed
            assert scripted_engine({}).version == 0

        def test_broken(check_shaper):
            with pytest.raises(ConformanceError):
                check_shaper(lambda group, rewards, step: [])
        """)
    )
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--strict-markers", "."]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
