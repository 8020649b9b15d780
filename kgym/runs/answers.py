"""The answers of a run, by their files."""

from collections.abc import Sequence
from pathlib import Path

from kgym.folders import numbered


def answer_files(run: Path) -> list[Path]:
    """Return the files of stored answers in a run folder, of training and of evaluation, in order."""
    return [*numbered(run / "episodes", "step", ".parquet").values(), *numbered(run / "samples", "part", ".parquet").values()]


def answer_columns(there: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return which of the wanted columns to read from a file that has the columns `there`.

    Raises ValueError if one is missing, other than `year` and `env`, which earlier versions did not store.
    """
    missing = [name for name in wanted if name not in there and name not in ("year", "env")]
    if missing:
        raise ValueError(f"no column {missing[0]}")
    return [name for name in wanted if name in there]
