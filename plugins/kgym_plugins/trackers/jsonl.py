"""One file of JSON lines for many runs, for pandas. Each run also has its own `metrics.jsonl`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from kgym.options import Options
from kgym_plugins.trackers.records import finite, run_name


class JsonlOptions(Options):
    """A file that many runs add to."""

    path: str = Field("metrics-of-all-runs.jsonl", min_length=1)
    """Path of the file."""


class JsonlTracker:
    """Appends `{"run": ..., "step": ..., metric: value ...}`; if a step was taken again after a kill, its last line
    counts.
    """

    Options = JsonlOptions

    def __init__(self, options: JsonlOptions, run_folder: Path, config: Mapping[str, Any]) -> None:
        self.name = run_name(run_folder)
        self.file = Path(options.path).open("a")  # noqa: SIM115  (closed by close)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a line in one write: other runs may write to the same file."""
        self.file.write(json.dumps({"run": self.name, "step": step} | finite(metrics)) + "\n")
        self.file.flush()

    def close(self, *, failed: bool) -> None:
        """Close the file."""
        self.file.close()
