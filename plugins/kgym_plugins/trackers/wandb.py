"""Weights & Biases. Accounts and servers are configured in wandb itself (`wandb login`, WANDB_* variables)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kgym.options import Options
from kgym_plugins.trackers.records import finite, remember, remembered, run_name


class WandbOptions(Options):
    """A run at Weights & Biases."""

    project: str = Field("kgym", min_length=1)
    """Project of the run."""
    entity: str | None = None
    """User or team; without it, wandb's default."""
    mode: Literal["online", "offline", "disabled"] | None = None
    """`offline` keeps everything in the run folder, to be sent later by `wandb sync`; without a mode, WANDB_MODE
    decides.
    """


class WandbTracker:
    """Logs to one run at wandb, which a resumed run continues; wandb keeps the first values of steps that are taken
    again.
    """

    Options = WandbOptions

    def __init__(self, options: WandbOptions, run_folder: Path, config: Mapping[str, Any]) -> None:
        import wandb  # noqa: PLC0415  (an extra)

        self.run = wandb.init(
            project=options.project,
            entity=options.entity,
            name=run_name(run_folder),
            id=remembered(run_folder, "wandb"),
            resume="allow",
            mode=options.mode,
            dir=str(run_folder),
            config=dict(config),
            settings=wandb.Settings(silent=True),
        )
        remember(run_folder, "wandb", self.run.id)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log a step."""
        self.run.log(finite(metrics), step=step, commit=True)  # otherwise held back until the next step, minutes later

    def close(self, *, failed: bool) -> None:
        """Send the remaining data, and say how the run ended."""
        self.run.finish(exit_code=int(failed))
