"""Checks of components without options: families, models, benchmarks, data sets, presets, experiments, commands and
checks of `kgym plugins doctor`.

All of them are checked by the name under which they are registered.
"""

import argparse
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from kgym.envs.setup import QUESTION
from kgym.envs.spec import EnvSpec
from kgym.errors import MissingData
from kgym.experiments.planning import Planner, wanted
from kgym.experiments.table import load
from kgym.hookspecs import (
    BenchmarkInfo,
    CheckInfo,
    CommandInfo,
    DatasetInfo,
    EnvFamilyInfo,
    EnvInfo,
    ExperimentInfo,
    ModelInfo,
    PresetInfo,
    VerifierInfo,
)
from kgym.registry import registry
from kgym.testing.report import Report


def check_family(name: str) -> Report:
    """Check that a family lists its members and that the first can be made. A member is checked as an environment:
    `rg:countdown`.

    Raises ConformanceError with every failure.
    """
    report = Report(EnvFamilyInfo.kind, name)
    with report.check("its members"):
        members = registry().create(EnvFamilyInfo.kind, name).members()
        assert all(isinstance(member, str) and member for member in members), (
            f"members returned {members!r}; they have to be texts"
        )
        assert list(members) == sorted(set(members)), "the members are not sorted, or one appears twice"
        for member in members[:1]:
            made = registry().target(EnvInfo.kind, f"{name}:{member}")
            assert registry().target(EnvInfo.kind, f"{name}:{member}") is made, (
                f"{name}:{member} is another class when asked for again"
            )
    return report.finish()


def check_model(name: str) -> Report:
    """Check that a model is a Hugging Face folder. Raises ConformanceError if it is not."""
    report = Report(ModelInfo.kind, name)
    with report.check("a folder with a model"):
        folder = Path(registry().target(ModelInfo.kind, name)())
        assert (folder / "config.json").is_file(), f"{folder} has no config.json"
        json.loads((folder / "config.json").read_text())
        assert any(folder.glob("*.safetensors")), f"{folder} has no weights (*.safetensors)"
        assert any(folder.glob("tokenizer*")), f"{folder} has no tokenizer"
    return report.finish()


def check_benchmark(name: str) -> Report:
    """Check that the split and the problems of a benchmark exist. Raises ConformanceError with every failure."""
    report = Report(BenchmarkInfo.kind, name)
    info = registry().info(BenchmarkInfo, name)
    with report.check("its environment and split"), suppress(MissingData):
        task = EnvSpec(info.env).task()
        assert info.split in task.splits, f"{info.env} has no split {info.split!r}; its splits are {task.splits}"
        size = task.source(info.split).size
        assert info.problems or size is not None, f"{info.env}:{info.split} is endless; set problems"
        assert size is None or info.problems <= size, f"problems is {info.problems}, but the split has {size}"
    with report.check("its numbers"):
        assert info.problems >= 0, f"problems is {info.problems}"
        assert info.samples >= 1, f"samples is {info.samples}"
    return report.finish()


def check_dataset(name: str) -> Report:
    """Check the facts about a data set. Raises ConformanceError with every failure."""
    report = Report(DatasetInfo.kind, name)
    info = registry().info(DatasetInfo, name)
    with report.check("its repositories"):
        assert all(repository.count("/") == 1 for repository in info.hub), (
            f"hub is {info.hub}; name repositories as OWNER/NAME"
        )
    with report.check("its numbers"):
        assert info.problems >= 0, f"problems is {info.problems}"
        assert info.max_answer is None or info.max_answer >= 0, f"max_answer is {info.max_answer}"
    return report.finish()


def check_preset(name: str) -> Report:
    """Check the values of a protocol of evaluation. Raises ConformanceError with every failure."""
    report = Report(PresetInfo.kind, name)
    info = registry().info(PresetInfo, name)
    with report.check("its prompt"):
        assert info.prompt is None or info.prompt.count(QUESTION) == 1, (
            f"the prompt has to contain {QUESTION} exactly once: {info.prompt!r}"
        )
    with report.check("its verifier"):
        if info.verifier is not None:
            registry().info(VerifierInfo.kind, info.verifier)
    with report.check("its numbers"):
        assert info.samples >= 1 and (info.samples_large or 1) >= 1, (
            f"samples are {info.samples} and {info.samples_large}"
        )
        assert info.temperature is None or info.temperature >= 0, f"temperature is {info.temperature}"
        assert info.top_p is None or 0 < info.top_p <= 1, f"top_p is {info.top_p}"
        assert info.max_tokens is None or info.max_tokens > 0, f"max_tokens is {info.max_tokens}"
    with report.check("its source"):
        assert info.source, "source is empty; it has to say where the protocol is published"
    return report.finish()


def check_experiment(name: str) -> Report:
    """Check that a table can be read, and that the flags of its arms name existing values and arms. Nothing is run.

    Raises ConformanceError with every failure.
    """
    report = Report(ExperimentInfo.kind, name)
    with report.check("its table"):
        table = load(Path(registry().target(ExperimentInfo.kind, name)()))
        claims = [claim.id for claim in table.claims]
        for scale in table.scales:
            for base in table.bases:
                assert Planner(table, scale, Path("runs"), base, {}).runs(0, wanted(table, claims)), (
                    f"{scale} runs nothing of {base}"
                )
    return report.finish()


def check_command(name: str) -> Report:
    """Check that a command can be configured. It is not run. Raises ConformanceError with every failure."""
    report = Report(CommandInfo.kind, name)
    module = registry().target(CommandInfo.kind, name)
    with report.check("configure and run"):
        assert callable(getattr(module, "run", None)), "it has no run(args)"
        parser = argparse.ArgumentParser(prog=f"kgym {name}")
        module.configure(parser)
        assert parser.format_help(), "its parser has no help"
    return report.finish()


def check_check(name: str) -> Report:
    """Check that a check of `kgym plugins doctor` returns a list of texts. Raises ConformanceError if it does not."""
    report = Report(CheckInfo.kind, name)
    with report.check("a list of troubles"):
        troubles: Any = registry().target(CheckInfo.kind, name)()
        assert isinstance(troubles, list | tuple) and all(isinstance(text, str) for text in troubles), (
            f"it returned {troubles!r}; it has to return a list of texts"
        )
    return report.finish()
