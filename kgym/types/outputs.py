"""What leaves kgym: metrics to trackers, tables to exporters, environments to bridges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Tracker(Protocol):
    """Sends metrics to another system. Constructed as `target(options, run_folder, config)`, with the resolved
    configuration as plain values, when a run begins and again when it is resumed. `run_folder` exists and stays, so the
    tracker can keep there what it needs to resume.

    An exception from its constructor ends the run; a later one is reported once and counted.
    """

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record the metrics of one step. A run that was killed repeats the steps after its last checkpoint."""

    def close(self, *, failed: bool) -> None:
        """Flush; `failed` if the run did not end well."""


class Exporter(Protocol):
    """Writes a leaderboard table in some format. Constructed as `target(options)`.

    With a class attribute `ranked = True` it gets the rows of a board of results table by table, the best first. Each
    row then has `rank_low`, `rank_high` and `apart` (why its table is not comparable with the first of its benchmark)
    in addition to its columns. An option `suffix` is filled in from the name of the file to write.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str | bytes:
        """Return the content of the file: a text, or bytes for a binary format."""


@dataclass(frozen=True)
class EnvExport:
    """The problems of an environment, as they are handed to another framework."""

    name: str
    """Short name of the environment for names of files and tasks: letters, digits and `_`."""
    env_id: str
    """`kgym/aime-v1`."""
    summary: str
    """What the environment is, in one line."""
    max_tokens: int
    """Token budget of a completion."""
    splits: Mapping[str, Sequence[Mapping[str, Any]]]
    """The rows of each split, as `kgym.bridges.export_rows` returns them; names have letters, digits and `_`."""


class Bridge(Protocol):
    """Writes an environment as files that another framework reads unchanged. Constructed as `target(options)`."""

    turns: bool
    """Whether it takes environments that reply, such as those with tools; others are refused."""

    def __call__(self, export: EnvExport) -> Mapping[str, str | bytes]:
        """Return the content of each file by its name. Raises ConfigError, before anything is written, for what the
        framework cannot hold.

        Rows are judged by `kgym.bridges.judge_rows`, which the files call.
        """
