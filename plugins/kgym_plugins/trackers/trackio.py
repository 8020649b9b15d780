"""Trackio: a local store that `trackio show` opens, or a space on the hub."""

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from pydantic import Field

from kgym.options import Options
from kgym_plugins.trackers.records import finite, run_name


class TrackioOptions(Options):
    """A run in Trackio."""

    project: str = Field("kgym", min_length=1)
    """Project of the run."""
    space_id: str | None = None
    """Space on the hub; without it, everything stays on this machine (TRACKIO_DIR)."""


class TrackioTracker:
    """Logs to a run with the name of the run folder; a resumed run continues it."""

    Options = TrackioOptions

    def __init__(self, options: TrackioOptions, run_folder: Path, config: Mapping[str, Any]) -> None:
        import trackio  # noqa: PLC0415  (an extra)

        with redirect_stdout(sys.stderr):  # its messages must not be mixed with the JSON of `kgym train --json`
            self.run = trackio.init(
                project=options.project,
                name=run_name(run_folder),
                space_id=options.space_id,
                config=dict(config),
                resume="allow",
                embed=False,
            )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log a step."""
        self.run.log(finite(metrics), step=step)

    def close(self, *, failed: bool) -> None:
        """Write the remaining data."""
        import trackio  # noqa: PLC0415

        with redirect_stdout(sys.stderr):
            trackio.finish()  # the run's own finish would be called, and reported, again when the interpreter ends
