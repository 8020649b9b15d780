"""The contract of observers, as checks: they see everything and change nothing.

from kgym.testing.observers import check_observers

def test_contract():
    check_observers("kgym_mine")
"""

import copy
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from kgym.config import RunConfig
from kgym.discovery import OBSERVERS, Candidate, PluginRecord, call_one, implements, load
from kgym.errors import UnknownName
from kgym.observers import same_random_state
from kgym.registry import registry
from kgym.testing.report import Report
from kgym.testing.shapers import random_group

SUMMARY = {"run": "runs/mine", "steps": 2, "checkpoint": "runs/mine/checkpoints/step-2"}


def check_observers(subject: Any) -> Report:
    """Call each observer of a plugin, given by name or as a module, as a run does. Raises ConformanceError with every
    failure.

    1. None raises, also if a figure is unknown.
    2. They do not change their arguments. In a run these are copies, so changing them would have no effect.
    3. They do not change the global random state.
    """
    record = _plugin(subject)
    report = Report("observers", record.name)
    hooks = record.hooks
    assert hooks is not None
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        for hook, arguments in _calls(run).items():
            if not implements(hooks, hook):
                continue
            with report.check(hook):
                given = copy.deepcopy(arguments)
                with same_random_state():
                    before = _random_state()
                    call_one(hooks, hook, run=run, **given)
                    after = _random_state()
                changed = [name for name, value in arguments.items() if name != "error" and given[name] != value]
                assert not changed, f"it changes its {' and '.join(changed)}; observers must not change arguments"
                assert after == before, "it changes the global random state; it needs its own generator"
    return report.finish()


def _calls(run: Path) -> dict[str, dict[str, Any]]:
    """Return the arguments of each observer hook, without the run."""
    rng = random.Random(0)  # noqa: S311  (test data)
    groups = [random_group(rng, size) for size in (4, 4, 1)]
    config = RunConfig().model_dump(mode="json")
    metrics = {"reward/mean": 0.25, "policy/kl_nats": 1e-9, "verdict/unscored_frac": 0.0, "eval/accuracy": 0.5}
    arguments: dict[str, dict[str, Any]] = {
        "kgym_run_started": {"config": config},
        "kgym_rollouts_finished": {"step": 1, "groups": groups},
        "kgym_step_finished": {"step": 1, "metrics": metrics},
        "kgym_checkpoint_saved": {"step": 1, "folder": run / "checkpoints" / "step-1"},
        "kgym_eval_finished": {"step": 1, "results": {"accuracy": 0.5, "stderr": None, "n_problems": 4}},
        "kgym_run_finished": {"summary": SUMMARY},
        "kgym_exception": {"error": RuntimeError("as a run may end")},
    }
    assert arguments.keys() == set(OBSERVERS)
    return arguments


def _plugin(subject: Any) -> PluginRecord:
    """Return a loaded plugin by its name, or load the plugin of a module."""
    if not isinstance(subject, str):
        name = str(getattr(subject, "__name__", type(subject).__name__))
        record = load(Candidate(name, name))
        if record.status != "ok":
            raise UnknownName(f"{name} is not a plugin: {record.error}")
        return record
    loaded = [record for record in registry().plugins() if record.status == "ok"]
    for record in loaded:
        if subject in (record.name, record.distribution, record.module):
            return record
    raise UnknownName.near("plugin", subject, {record.name for record in loaded})


def observing() -> list[str]:
    """Return the names of the plugins that have observers."""
    records = registry().plugins()
    return [
        record.name
        for record in records
        if record.hooks is not None and any(implements(record.hooks, hook) for hook in OBSERVERS)
    ]


def _random_state() -> tuple[Any, ...]:
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    return (
        random.getstate(),
        None if numpy is None else tuple(map(str, numpy.random.get_state())),
        None if torch is None else torch.get_rng_state().tolist(),
    )
