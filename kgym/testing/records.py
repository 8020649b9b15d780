"""The contracts of what is no more than a record or a function, from families of environments to checks of `kgym
plugins doctor`.

All of these are registered, so all are checked by name.
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
    """Check that a family lists members that can be made, the first of them here. Each is checked as an environment:
    `rg:countdown`.

    Raises ConformanceError with all that does not hold.
    """
    report = Report(EnvFamilyInfo.kind, name)
    with report.check("its members"):
        members = registry().create(EnvFamilyInfo.kind, name).members()
        assert all(isinstance(member, str) and member for member in members), (
            f"members returned {members!r}; they are texts"
        )
        assert list(members) == sorted(set(members)), "the members are not sorted, or one comes twice"
        for member in members[:1]:
            made = registry().target(EnvInfo.kind, f"{name}:{member}")
            assert registry().target(EnvInfo.kind, f"{name}:{member}") is made, (
                f"{name}:{member} is another class when asked again"
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
    """Check that a benchmark asks for a split and for problems that there are. Raises ConformanceError with all that
    does not hold.
    """
    report = Report(BenchmarkInfo.kind, name)
    info = registry().info(BenchmarkInfo, name)
    with report.check("its environment and split"), suppress(MissingData):
        task = EnvSpec(info.env).task()
        assert info.split in task.splits, f"{info.env} has no split {info.split!r}; its splits are {task.splits}"
        size = task.source(info.split).size
        assert info.problems or size is not None, f"{info.env}:{info.split} has no end; say how many problems"
        assert size is None or info.problems <= size, f"{info.problems} problems of {size}"
    with report.check("its numbers"):
        assert info.problems >= 0, f"problems is {info.problems}"
        assert info.samples >= 1, f"samples is {info.samples}"
    return report.finish()


def check_dataset(name: str) -> Report:
    """Check the facts about a data set. Raises ConformanceError with all that does not hold."""
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
    """Check the values of a protocol of evaluation. Raises ConformanceError with all that does not hold."""
    report = Report(PresetInfo.kind, name)
    info = registry().info(PresetInfo, name)
    with report.check("its prompt"):
        assert info.prompt is None or info.prompt.count(QUESTION) == 1, (
            f"the prompt has to have {QUESTION} once: {info.prompt!r}"
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
        assert info.source, "it does not say where it is published"
    return report.finish()


def check_experiment(name: str) -> Report:
    """Check that a table can be read, and that the flags of its arms name values and arms that there are. Nothing is
    run.

    Raises ConformanceError with all that does not hold.
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
    """Check that a command can be configured. It is not run. Raises ConformanceError with all that does not hold."""
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
            f"it returned {troubles!r}"
        )
    return report.finish()
