"""The objective of a run: the loop owns the run, and the objective defines a step.

rl             `kgym train`: groups of episodes, rewards, an algorithm
supervised     `kgym sft`, `kgym dpo`, `kgym rm`: examples and a loss
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from kgym.train.plan import Plan
from kgym.train.policy import TrainedPolicy
from kgym.train_config import TrainConfig


class RunSettings(Protocol):
    """The configuration of a run, as far as the loop reads it: a pydantic model."""

    model: str
    """The policy to start from."""
    seed: int
    trackers: dict[str, dict[str, Any]]
    train: TrainConfig

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Return it as plain values."""


class Objective(Protocol):
    """Defines the steps of a run. The loop calls `prepare`, `load`, then `validate` and `step` in turn, and `save` for
    a checkpoint.
    """

    config: Any
    """A `RunSettings`; after `prepare` every default is in it."""

    def prepare(self) -> Mapping[str, Any]:
        """Check everything that can be checked without loading a model; return what the manifest says in addition to
        the configuration.

        Raises ConfigError, DataError or PluginError for a run that cannot work. Nothing is written.
        """

    def plan(self) -> Plan:
        """Return what the run will have in memory; called after `prepare`. Raises ConfigError for a model that
        cannot be read.
        """

    def load(self, folder: str, checkpoint: Path | None) -> TrainedPolicy:
        """Load the policy from a checkpoint of the run, or from `folder`, and the other models; then the loop restores
        its state.
        """

    def load_state_dict(self, state: Mapping[str, Any], checkpoint: Path) -> None:
        """Restore what `state_dict` and `save` have written."""

    def ready(self, step: int, check: Callable[[], None]) -> None:
        """Begin: the weights are those of `step`. `check` raises RunError if another process has taken the run over."""

    def started(self) -> Mapping[str, Any]:
        """Return what a reporter shows of the run at its start."""

    def notes(self) -> list[str]:
        """Return what is unusual in the configuration, one line each."""

    def step(self, step: int) -> dict[str, float]:
        """Take a step, counted from 1, and return its metrics. Raises RunError if the run cannot continue."""

    def validate(self, step: int) -> dict[str, float]:
        """Score the policy as it is after `step` and return the figures; {} if it is not due."""

    def hints(self, metrics: Mapping[str, float], step: int) -> list[str]:
        """Return the troubles that the metrics of a step show, each once in a run."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step needs apart from weights, as tensors and plain values."""

    def save(self, folder: Path) -> None:
        """Write what else the next step needs into the folder of a checkpoint."""

    def summary(self) -> Mapping[str, Any]:
        """Return the results of the run, in addition to its folder and its steps."""

    def forget_after(self, step: int) -> None:
        """Remove what a killed run wrote after `step`, apart from metrics and checkpoints."""

    def close(self) -> None:
        """End what runs in the background."""
