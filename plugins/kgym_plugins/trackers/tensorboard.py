"""TensorBoard: event files, by default in the run folder, so that `tensorboard --logdir runs` shows them all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgym.options import Options
from kgym_plugins.trackers.records import finite, run_name


class TensorBoardOptions(Options):
    """Event files."""

    folder: str | None = None
    """Folder for the files, which are put in a subfolder with the run's name; without it, `tensorboard/` in the run
    folder.
    """


class TensorBoardTracker:
    """Writes scalars, and the configuration as text. Steps that are taken again after a kill replace the old values
    (`purge_step`).
    """

    Options = TensorBoardOptions

    def __init__(self, options: TensorBoardOptions, run_folder: Path, config: Mapping[str, Any]) -> None:
        self.folder = Path(options.folder) / run_name(run_folder) if options.folder else run_folder / "tensorboard"
        self.config = dict(config)
        self.writer: Any = None

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the scalars of a step."""
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (an extra)

            self.writer = SummaryWriter(str(self.folder), purge_step=step)
            self.writer.add_text("config", f"```json\n{json.dumps(self.config, indent=2)}\n```", step)
        for key, value in finite(metrics).items():
            self.writer.add_scalar(key, value, step)
        self.writer.flush()

    def close(self, *, failed: bool) -> None:
        """Write the remaining data."""
        if self.writer is not None:
            self.writer.close()
