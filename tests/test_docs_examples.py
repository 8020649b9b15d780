"""The examples of the documentation: every hook and every protocol has one, and it does what its page says."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kgym.discovery import KINDS, OBSERVERS
from kgym.options import Options
from kgym.registry import configure, registry
from kgym.testing.kits import check
from kgym.testing.observers import check_observers

ROOT = Path(__file__).parent.parent
BUILDING = ROOT / "docs/building"


def _generated():
    spec = importlib.util.spec_from_file_location("generated", BUILDING / "generated.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = _generated()
HOOKS = GENERATED.hooks()
SCRIPTS = sorted((ROOT / "docs/examples/protocols").glob("*.py"))


def test_every_hook_record_and_protocol_has_an_example_and_no_example_is_left_over():
    wanted = {GENERATED.example(name) for name in [*HOOKS, *GENERATED.records(), *GENERATED.protocols()]}
    assert wanted == set((ROOT / "docs/examples").glob("*/*.py"))


@pytest.mark.parametrize("name", ["kgym_components", *GENERATED.records()])
def test_the_component_of_an_example_conforms(name):
    path = GENERATED.example(name)
    try:
        configure([str(path)])
        mine = [(info.kind, info.name) for kind in KINDS for info, by in registry().offers(kind) if not by.distribution]
        assert mine
        for kind, component in mine:
            # the engine draws digits and has no model, so its log-probabilities are compared with none
            check(kind, registry().target(kind, component)(Options(), "") if kind == "engine" else component)
    finally:
        configure([])


def test_a_name_with_a_prefix_is_resolved():
    try:
        configure([str(GENERATED.example("EnvFamilyInfo"))])
        check("environment", "sums:3")
    finally:
        configure([])


@pytest.mark.parametrize("hook", sorted(OBSERVERS))
def test_an_observer_sees_and_changes_nothing(hook):
    path = GENERATED.example(hook)
    try:
        configure([str(path)])
        check_observers(str(path))
    finally:
        configure([])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_example_of_a_protocol_runs(script):
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr


def test_settings_that_a_help_gives_as_examples_are_accepted(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    page = (ROOT / "docs/configuration.md").read_text()
    types = dict(re.findall(r"(?m)^\| `([\w.]+)` \| ((?:[^|\\]|\\.)+) \|", page))
    helps = " ".join(GENERATED.commands().split())
    examples = re.findall(r"(?<![\w.])((?:env|engine|verifier|algo|train|rollout|eval)\.[\w.]+)=([\w.-]+)", helps)
    assert ("engine.max_batch", "64") in examples
    assert [key for key, _ in examples if key not in types] == []
    assert [(key, value) for key, value in examples if types[key] == "bool" and value not in ("true", "false")] == []
