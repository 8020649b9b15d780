"""What trackers share: the id of their run at the tracking service, kept in the run folder, and figures in the form
that other programs take.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def run_name(run_folder: Path) -> str:
    """Return the name of a run, which is that of its folder."""
    return run_folder.resolve().name


def remembered(run_folder: Path, tracker: str) -> str | None:
    """Return the id of this run at a tracker, if it has one."""
    path = _path(run_folder, tracker)
    return str(json.loads(path.read_text())["id"]) if path.exists() else None


def remember(run_folder: Path, tracker: str, run_id: str) -> None:
    """Store the id, so that a resumed run continues there. A kill leaves the earlier file or the new one."""
    path = _path(run_folder, tracker)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps({"id": run_id}) + "\n")
    temporary.replace(path)


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the finite figures: few stores take NaN."""
    return {key: float(value) for key, value in metrics.items() if value is not None and math.isfinite(value)}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration with dotted keys, as `--set` writes them."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return found


def _path(run_folder: Path, tracker: str) -> Path:
    return run_folder / f"tracker-{tracker}.json"
