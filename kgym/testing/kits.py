"""The kits of all kinds; `kgym plugins check` and the fixtures of `kgym.testing.fixtures` use them.

check("sampler", "mine", options={"pool": 100})
"""

import importlib
from collections.abc import Callable
from typing import Any

from kgym.discovery import KINDS
from kgym.errors import UnknownName
from kgym.testing.report import Report

KITS: dict[str, str] = {
    "environment": "kgym.testing.envs:check_environment",
    "family": "kgym.testing.records:check_family",
    "task": "kgym.testing.envs:check_task",
    "verifier": "kgym.testing.verifiers:check_verifier",
    "algorithm": "kgym.testing.algorithms:check_algorithm",
    "engine": "kgym.testing.engines:check_engine",
    "sampler": "kgym.testing.samplers:check_sampler",
    "shaper": "kgym.testing.shapers:check_shaper",
    "tracker": "kgym.testing.trackers:check_tracker",
    "exporter": "kgym.testing.exporters:check_exporter",
    "bridge": "kgym.testing.bridges:check_bridge",
    "observers": "kgym.testing.observers:check_observers",
    "model": "kgym.testing.records:check_model",
    "benchmark": "kgym.testing.records:check_benchmark",
    "dataset": "kgym.testing.records:check_dataset",
    "preset": "kgym.testing.records:check_preset",
    "experiment": "kgym.testing.records:check_experiment",
    "command": "kgym.testing.records:check_command",
    "check": "kgym.testing.records:check_check",
}
"""The kit of each kind. The task of an environment can be checked alone; `observers` checks the observers of a
plugin.
"""

RECORDS = ("family", "model", "benchmark", "dataset", "preset", "experiment", "command", "check")

CONSTRUCTED = tuple(kind for kind in KINDS if kind not in RECORDS)
"""Kinds whose components have options."""


def kit(kind: str) -> Callable[..., Report]:
    """Return the kit of a kind. Raises UnknownName if the kind has no kit."""
    if kind not in KITS:
        raise UnknownName.near("kit", kind, KITS)
    module, _, name = KITS[kind].partition(":")
    found: Callable[..., Report] = getattr(importlib.import_module(module), name)
    return found


def check(kind: str, subject: Any, **arguments: Any) -> Report:
    """Check a component with the kit of its kind. Raises ConformanceError with every failure."""
    return kit(kind)(subject, **arguments)
