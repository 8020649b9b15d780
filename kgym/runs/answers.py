"""The completions of a run, read from its files: only the columns that are asked for, and each completion once."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kgym.errors import DataError
from kgym.files import reading
from kgym.folders import numbered
from kgym.runs.episodes import schema

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from pandas import DataFrame

LATER: Mapping[str, Any] = {
    "year": 0,
    "env": "",
    "trace": "",
    **dict.fromkeys(
        ("solution", "partial", "env_reward", "terminated", "n_segments", "step_begun", "step_ended", "seed")
    ),
    **dict.fromkeys(("prompt", "prompt_ids", "token_ids", "engine_logprobs", "pieces")),
}
"""Columns that earlier versions did not store, with the value that is used instead; None is null."""
BATCH = 4096
"""Rows that are read at a time."""


def answer_files(run: Path) -> list[Path]:
    """Return the files of stored completions in a run folder, of training and of evaluation, in order."""
    return [
        *numbered(run / "episodes", "step", ".parquet").values(),
        *numbered(run / "samples", "part", ".parquet").values(),
    ]


def read_answers(files: Sequence[Path], columns: Sequence[str], *, remedy: str) -> "pa.Table":
    """Return these columns of all files. See `answer_batches`."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)

    return pa.Table.from_batches(answer_batches(files, columns, remedy=remedy), schema=_fields(columns))


def answer_batches(files: Sequence[Path], columns: Sequence[str], *, remedy: str) -> Iterator["pa.RecordBatch"]:
    """Yield these columns of some files in order, some thousand rows at a time; no other column is read.

    A sample (environment, problem and attempt) that is stored twice is yielded once. Earlier versions counted the
    attempts of a training from 0 in each step: without seeds, rows of different steps are different samples.

    Raises DataError, which names the file and ends with `remedy`, if a file is damaged or lacks a column, or if two
    rows of the same sample differ.
    """
    import pyarrow as pa  # noqa: PLC0415  (heavy)

    wanted = _fields(columns)
    repeated = _repeated(files, remedy)
    for path in files:
        row = 0
        for batch in _batches(path, columns, remedy):
            with reading(path, remedy=remedy):
                arrays = [
                    batch.column(field.name).cast(field.type)
                    if field.name in batch.schema.names
                    else pa.array([LATER[field.name]] * len(batch), field.type)
                    for field in wanted
                ]
            whole = pa.RecordBatch.from_arrays(arrays, schema=wanted)
            if path in repeated:
                whole = whole.filter(pa.array(~np.isin(np.arange(row, row + len(batch)), repeated[path])))
            row += len(batch)
            yield whole


def _fields(columns: Sequence[str]) -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415  (heavy)

    known = schema()
    return pa.schema([known.field(name) for name in columns])


def _batches(path: Path, columns: Sequence[str], remedy: str) -> Iterator["pa.RecordBatch"]:
    """Yield batches of the columns that the file has."""
    import pyarrow.parquet as pq  # noqa: PLC0415  (heavy)

    with reading(path, remedy=remedy):
        file = pq.ParquetFile(path)
    with file:
        there = file.schema_arrow.names
        with reading(path, remedy=remedy):
            missing = [name for name in columns if name not in there and name not in LATER]
            if missing:
                raise ValueError(f"no column {missing[0]}")
            batches = file.iter_batches(BATCH, columns=[name for name in columns if name in there])
        while True:
            with reading(path, remedy=remedy):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


# --- samples that are stored twice ------------------------------------------------------------------------------------


def _repeated(files: Sequence[Path], remedy: str) -> dict[Path, "NDArray[np.int64]"]:
    """Return which rows of which files repeat an earlier one. Raises DataError if they are not equal."""
    import pandas as pd  # noqa: PLC0415  (heavy)

    names: dict[str, int] = {}
    keys = [_keys(path, number, names, remedy) for number, path in enumerate(files)]
    if not keys:
        return {}
    frame = pd.concat(keys, ignore_index=True)
    frame = frame[frame["attempt"] >= 0]
    sample = ["scope", "env", "problem", "attempt"]
    twice = frame[frame.duplicated(sample, keep=False)]
    if twice.empty:
        return {}
    first = twice.drop_duplicates(sample)
    pairs = twice.drop(first.index).merge(first, on=sample, suffixes=("", "_first"))
    for _, rows in pairs.groupby(["file", "file_first"]):
        first_path, path = (files[int(rows[name].iloc[0])] for name in ("file_first", "file"))
        _compare(first_path, rows["row_first"].to_numpy(), path, rows["row"].to_numpy(), remedy)
    return {files[int(rows["file"].iloc[0])]: rows["row"].to_numpy() for _, rows in pairs.groupby("file")}


def _keys(path: Path, number: int, names: dict[str, int], remedy: str) -> "DataFrame":
    """Return what identifies the samples of a file; a row without an attempt gets -1 and is its own sample."""
    import pandas as pd  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    with reading(path, remedy=remedy), pq.ParquetFile(path) as file:
        there = file.schema_arrow.names
        if "problem_id" not in there:
            raise ValueError("no column problem_id")
        table = file.read(columns=[name for name in ("problem_id", "env", "attempt", "seed") if name in there])
        n = len(table)
        problem, env = (
            _coded(table[name].fill_null(""), names) if name in there else np.full(n, names.setdefault("", len(names)))
            for name in ("problem_id", "env")
        )
        attempt, seed = (
            table[name].fill_null(empty).to_numpy() if name in there else np.full(n, empty, np.int64)
            for name, empty in (("attempt", -1), ("seed", 0))
        )
    own_steps = path.parent.name == "episodes"
    scope = np.where((seed == 0) & own_steps, number, -1)
    return pd.DataFrame(
        {"scope": scope, "env": env, "problem": problem, "attempt": attempt, "file": number, "row": np.arange(n)}
    )


def _coded(column: "pa.ChunkedArray", names: dict[str, int]) -> "NDArray[np.int64]":
    """Return a number for each text of a column, the same in every file."""
    coded = column.combine_chunks().dictionary_encode()
    numbers = [names.setdefault(name, len(names)) for name in coded.dictionary.to_pylist()]
    return np.array(numbers, np.int64)[coded.indices.to_numpy()]


def _compare(first: Path, first_rows: "NDArray[np.int64]", path: Path, rows: "NDArray[np.int64]", remedy: str) -> None:
    """Raise DataError if rows of two files differ in anything except the verifier's time and its explanation."""
    import pyarrow.parquet as pq  # noqa: PLC0415  (heavy)

    there = [set(pq.read_schema(file).names) for file in (first, path)]
    columns = sorted((there[0] & there[1]) - {"verify_s", "trace"})
    tables = []
    for file, own in ((first, first_rows), (path, rows)):
        with reading(file, remedy=remedy):
            tables.append(pq.ParquetFile(file).read(columns=columns).take(own).combine_chunks())
    with reading(path, remedy=remedy):
        if tables[0].cast(tables[1].schema).equals(tables[1]):
            return
    for one, other in zip(*(table.to_pylist() for table in tables), strict=True):
        if one != other:
            differing = ", ".join(name for name in columns if one[name] != other[name])
            where = "twice" if first == path else f"also in {first}"
            raise DataError(
                f"{path}: attempt {other['attempt']} at {other['problem_id']} is {where}, and differs in {differing}; "
                f"{remedy}"
            )
