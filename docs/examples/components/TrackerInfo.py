"""A tracker: writes the reward of each step to a text file in the run folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kgym.hookspecs import Component, TrackerInfo, hookimpl
from kgym.options import Options

kgym_api = 1


class Notes:
    """Follows `kgym.types.Tracker`."""

    Options = Options

    def __init__(self, options: Options, run_folder: Path, config: Mapping[str, Any]) -> None:
        self.file = (Path(run_folder) / "notes.txt").open("a")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record one step."""
        self.file.write(f"step {step}: reward {metrics.get('reward/mean')}\n")

    def close(self, *, failed: bool) -> None:
        """Flush and close."""
        self.file.close()


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield TrackerInfo(name="notes", target=f"{__name__}:Notes", summary="rewards in a text file")
