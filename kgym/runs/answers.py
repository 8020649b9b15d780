"""Sampled answers on disk: one row for each episode, the same columns wherever kgym stores them.

One row: {"problem_id": "aime/train/gcd/d2/17", "attempt": 3, "text": "...", "status": "correct", "reward": 1.0, ...}
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kgym.files import write_atomic
from kgym.folders import numbered
from kgym.types import Group


def episode_rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return the rows of some groups, in order. `score` is None where the verdict is unscored."""
    rows = []
    for group in groups:
        for episode, reward in zip(group.episodes, group.rewards, strict=True):
            verdict = episode.verdict
            versions = [segment.version for segment in episode.segments]
            rows.append(
                {
                    "problem_id": episode.problem.id,
                    "attempt": episode.attempt,
                    "level": episode.problem.level,
                    "subject": episode.problem.subject,
                    "year": episode.problem.year,
                    "question": episode.problem.question,
                    "gold": episode.problem.gold,
                    "text": episode.text,
                    "answer": verdict.answer if verdict is not None else None,
                    "normal": verdict.normal if verdict is not None else None,
                    "status": verdict.label if verdict is not None else "open",
                    "reason": verdict.reason if verdict is not None else "",
                    "score": verdict.score if verdict is not None and verdict.scored else None,
                    "reward": reward,
                    "tokens": episode.n_tokens,
                    "finish_reason": episode.finish_reason or "abort",
                    "truncated": episode.truncated,
                    "trainable": episode.trainable,
                    "first_version": min(versions, default=0),
                    "last_version": max(versions, default=0),
                    "verify_s": verdict.seconds if verdict is not None else 0.0,
                }
            )
    return rows


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of `episode_rows` as Parquet, whole or not at all."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=_schema()), sink, compression="zstd")
    write_atomic(path, sink.getvalue().to_pybytes())


def write_episodes(path: Path, groups: Sequence[Group]) -> None:
    """Write the episodes of some groups as Parquet."""
    write_rows(path, episode_rows(groups))


def answer_files(run: Path) -> list[Path]:
    """Return the files of stored answers in a run folder, of training and of evaluation, in order."""
    return [*numbered(run / "episodes", "step", ".parquet").values(), *numbered(run / "samples", "part", ".parquet").values()]


def answer_columns(there: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return which of the wanted columns to read from a file that has the columns `there`.

    Raises ValueError if one is missing, other than `year`, which earlier versions did not store.
    """
    missing = [name for name in wanted if name not in there and name != "year"]
    if missing:
        raise ValueError(f"no column {missing[0]}")
    return [name for name in wanted if name in there]


def _schema() -> Any:
    import pyarrow as pa  # noqa: PLC0415

    text, number, whole, flag = pa.string(), pa.float64(), pa.int64(), pa.bool_()
    types = {
        "problem_id": text,
        "attempt": whole,
        "level": whole,
        "subject": text,
        "year": whole,
        "question": text,
        "gold": text,
        "text": text,
        "answer": text,
        "normal": text,
        "status": text,
        "reason": text,
        "score": number,
        "reward": number,
        "tokens": whole,
        "finish_reason": text,
        "truncated": flag,
        "trainable": flag,
        "first_version": whole,
        "last_version": whole,
        "verify_s": number,
    }
    return pa.schema(types.items())
