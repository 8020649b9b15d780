"""The trackers of a run. They see every step and change nothing: an error of a tracker is reported once, counted, and
the run continues.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kgym.blame import label_of
from kgym.config import RunConfig
from kgym.errors import ComponentError, KgymError, RunError
from kgym.loading import prints_to_stderr
from kgym.neutral import error_line
from kgym.registry import registry
from kgym.types import Tracker


class Trackers:
    """Every tracker that a configuration names, as one."""

    def __init__(self, config: RunConfig | None, run_folder: Path, note: Callable[[str], None]) -> None:
        """Begin or continue the run in each tracker; without a configuration, in none. Raises RunError if a tracker
        cannot start.
        """
        self.note = note
        self.failures: dict[str, int] = {}
        self.trackers: dict[str, Tracker] = {}
        for name, options in config.trackers.items() if config is not None else ():
            try:
                plain = config.model_dump(mode="json") if config is not None else {}
                self.trackers[name] = registry().create("tracker", name, options, run_folder, plain)
            except KgymError as error:
                self.close(failed=True)
                if isinstance(error, ComponentError):  # third-party code, and perhaps its server
                    raise RunError(f"{error}; the tracker cannot start: fix that, or leave it out") from error
                raise

    @staticmethod
    def check(config: RunConfig) -> None:
        """Refuse trackers that do not exist or whose package is missing, and wrong options, before the run begins."""
        for name, options in config.trackers.items():
            registry().options("tracker", name, options)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show a step to each of them."""
        for name, tracker in self.trackers.items():
            self._call(name, tracker.log, step, dict(metrics))  # a copy, so that a tracker cannot change the metrics

    def close(self, *, failed: bool) -> None:
        """Close each tracker; `failed` if the run did not end well."""
        for name, tracker in self.trackers.items():
            self._call(name, tracker.close, failed=failed)
        for name, count in self.failures.items():
            if count > 1:
                self.note(
                    f"{label_of('tracker', self.trackers[name])} failed {count} times; metrics.jsonl has everything"
                )

    def _call(self, name: str, method: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        try:
            with prints_to_stderr():
                method(*args, **kwargs)
        except Exception as error:
            self.failures[name] = self.failures.get(name, 0) + 1
            if self.failures[name] == 1:
                label = label_of("tracker", self.trackers[name])
                self.note(f"{label} failed; the run continues, if necessary without it: {error_line(error, 300)}")
