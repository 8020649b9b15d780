"""What leaves kgym: metrics to trackers, tables to exporters, environments to bridges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Tracker(Protocol):
    """Takes metrics somewhere else. Constructed as `target(options, run_folder, config)`, with the resolved
    configuration as plain values, when a run begins and again when it is resumed; `run_folder` is there and stays, so
    what is needed to go on can be kept in it.

    What it raises when it is constructed ends the run; what it raises later is said once and counted.
    """

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record the metrics of one step. After a kill the steps after the last checkpoint come again."""

    def close(self, *, failed: bool) -> None:
        """Flush; `failed` if the run did not end well."""


class Exporter(Protocol):
    """Writes a leaderboard table in some format. Constructed as `target(options)`.

    With a class attribute `ranked = True` it gets the rows of a board of results table by table, the best first, each
    with `rank_low`, `rank_high` and `apart` (why its table is not comparable with the first of its benchmark) next to
    its columns. An option `suffix` is filled in from the name of the file that is to be written.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str | bytes:
        """Return the text of the file, or its bytes where it is not a text."""


@dataclass(frozen=True)
class EnvExport:
    """The problems of an environment on their way to another framework."""

    name: str
    """Short name of the environment for names of files and tasks: letters, digits and `_`."""
    env_id: str
    """`kgym/aime-v1`."""
    summary: str
    """What it is, in one line."""
    max_tokens: int
    """Token budget of a completion."""
    splits: Mapping[str, Sequence[Mapping[str, Any]]]
    """The rows of each split, as `kgym.bridges.export_rows` returns them; names have letters, digits and `_`."""


class Bridge(Protocol):
    """Writes an environment as files that another framework takes as they are. Constructed as `target(options)`."""

    turns: bool
    """Whether it takes environments that reply, such as those with tools; others are refused."""

    def __call__(self, export: EnvExport) -> Mapping[str, str | bytes]:
        """Return the content of each file by its name. Raises ConfigError, before anything is written, for what the
        framework cannot hold.

        Rows are judged by `kgym.bridges.judge_rows`, which the files call.
        """
