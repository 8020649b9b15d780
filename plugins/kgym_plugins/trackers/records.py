"""What trackers share: the name of their run on the other side, kept in the run folder, and figures as other
programs want them.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def run_name(run_folder: Path) -> str:
    """Return what a run is called: the name of its folder."""
    return run_folder.resolve().name


def remembered(run_folder: Path, tracker: str) -> str | None:
    """Return the id under which a tracker knows this run, if it has been there before."""
    path = _path(run_folder, tracker)
    return str(json.loads(path.read_text())["id"]) if path.exists() else None


def remember(run_folder: Path, tracker: str, run_id: str) -> None:
    """Keep the id, so that a run that is resumed goes on there."""
    _path(run_folder, tracker).write_text(json.dumps({"id": run_id}) + "\n")


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the figures that are numbers: few stores take NaN."""
    return {key: float(value) for key, value in metrics.items() if value is not None and math.isfinite(value)}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration with dotted keys, as `--set` writes them."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return found


def _path(run_folder: Path, tracker: str) -> Path:
    return run_folder / f"tracker-{tracker}.json"
