"""Options that count the steps of a run (`kgym.options.RunSteps`): shares become numbers, and those longer than the run
are reported.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from kgym.config import RunConfig
from kgym.options import for_run, run_steps
from kgym.registry import registry
from kgym.train.rl.components import chosen


def create_for_run(kind: str, name: str, values: Mapping[str, Any], steps: int, *context: Any) -> Any:
    """Construct a component for a run of `steps` steps."""
    return registry().construct(kind, name, for_run(registry().options(kind, name, values), steps), *context)


def unended(config: RunConfig) -> list[str]:
    """Say of each warm-up of a run, by its key, that it does not end before the run does."""
    steps = config.train.steps
    notes = lasting(config.train, "train", steps + 1, steps)  # the last step of the warm-up has the full rate
    for kind, name, values, key in chosen(config):
        if kind in ("sampler", "shaper"):
            notes += lasting(registry().options(kind, name, values), key, steps, steps)
    return notes


def lasting(options: BaseModel, key: str, limit: int, steps: int) -> list[str]:
    """Return a note for each number of steps that is `limit` or more: a run of `steps` steps is too short for it."""
    return [
        f"{key}.{name}={count}: the run has {steps} step{'s' * (steps > 1)} and ends before this does; "
        "set a smaller number, or a share of the run such as 0.25"
        for name, count in run_steps(options).items()
        if count >= limit
    ]
