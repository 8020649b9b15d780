"""Problems in files: any JSONL, CSV or Parquet file, and the data sets that `kgym data add` has stored.

An added data set is NAME.parquet in `KGYM_DATA_DIR`, or by default in the user's data folder. One row of it:
{"id": "aime24/2024-I-1", "question": "Every morning ...", "gold": "204", "level": 0, "subject": "", "solution": "..."}
"""

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kgym.data.cells import Row
from kgym.data.columns import Columns, problems_of
from kgym.data.known import known_sets
from kgym.data.repository import SUFFIXES
from kgym.errors import ConfigError, DataError, MissingData
from kgym.files import write_atomic
from kgym.hookspecs import DatasetInfo
from kgym.types import Problem, ProblemSource

MAX_GIB = 1.0
"""Most text in the files of a data set, unpacked: a Parquet file of 200 KB can unpack to gigabytes."""
PARQUET_ROWS = 1024
"""Rows of a Parquet file that are unpacked at the same time."""
FIELDS = ("id", "question", "gold", "level", "subject", "solution", "year")
CHECKSUM = b"kgym_sha256"
"""Key, in the Parquet file, of the fingerprint that the file was written with."""
PROVENANCE = b"kgym_provenance"
"""Key of the origin of the problems, as JSON: files with their sha256, revision, date, version of kgym."""


class ListedSource:
    """A list of problems: a `kgym.types.ProblemSource`. `provenance` says where they are from, as plain JSON values,
    and `places` has the place of each problem, for messages.
    """

    def __init__(self, problems: Sequence[Problem], provenance: Mapping[str, Any]) -> None:
        self.problems = list(problems)
        self.provenance = dict(provenance)
        self.places = [problem.id for problem in problems]

    @property
    def size(self) -> int:
        """Number of problems."""
        return len(self.problems)

    @property
    def fingerprint(self) -> str:
        """sha256 of what a score depends on: questions and gold answers, in order."""
        return fingerprint(self.problems)

    def __getitem__(self, index: int) -> Problem:
        """Return the problem at `index`. Raises IndexError outside of 0 .. size-1."""
        if not 0 <= index < len(self.problems):
            raise IndexError(f"index={index}: the problems are numbered 0 to {len(self.problems) - 1}")
        return self.problems[index]


class FileSource(ListedSource):
    """The problems of a file, or of several joined, in order: a `kgym.types.ProblemSource`.

    `columns.py` describes how columns are found; `columns` may name them instead. Ids begin with `name`, by default the
    name of the first file. `known` is the record that the problems have to agree with, `max_gib` the most text that the
    files may have. `notes` says which rows were left out, `places` has the file and row of each problem, and
    `provenance` where the files are from, if it is known. Raises DataError for a file that cannot be read or is too
    large, or that has a row without question or answer.
    """

    def __init__(
        self,
        *paths: Path,
        name: str = "",
        known: DatasetInfo | None = None,
        columns: Columns | None = None,
        max_gib: float = MAX_GIB,
    ) -> None:
        columns = columns or Columns()
        n_bytes = sum(_unpacked_bytes(path, columns, max_gib) for path in paths)
        if n_bytes > max_gib * (1 << 30):
            raise _too_large(paths, max_gib)
        rows = (row for path in paths for row in read_rows(path, columns))
        problems, self.notes, places = problems_of(rows, name or paths[0].stem, known, columns)
        super().__init__(problems, {})
        self.places = places


class DataSource(FileSource):
    """A data set as `save_data` wrote it. Raises DataError if it does not match its checksum."""

    def __init__(self, path: Path) -> None:
        table = _read_parquet(path)
        if not set(FIELDS) - {"year"} <= set(table.column_names) or CHECKSUM not in (table.schema.metadata or {}):
            raise DataError(f"{path} was not written by kgym data add; add it again from its file")
        there = [field for field in FIELDS if field in table.column_names]  # files of earlier versions have no year
        problems = [Problem(**row) for row in table.select(there).to_pylist()]
        self.notes: list[str] = []
        provenance = _parsed(
            table.schema.metadata.get(PROVENANCE, b"{}").decode(errors="replace"), f"{path}, where it is from"
        )
        ListedSource.__init__(self, problems, provenance)
        self.places = [path.name] * len(problems)
        written = table.schema.metadata[CHECKSUM].decode(errors="replace")
        if self.fingerprint != written:
            raise DataError(
                f"{path} has sha256 {self.fingerprint[:12]}, but was written with {written[:12]}; add it again from "
                "its file"
            )


def fingerprint(problems: Sequence[Problem]) -> str:
    """Return the sha256 of the questions and gold answers, in order."""
    digest = hashlib.sha256()
    for problem in problems:
        digest.update(json.dumps([problem.question, problem.gold]).encode() + b"\n")
    return digest.hexdigest()


# --- data sets that the user adds -----------------------------------------------------------------------------------


def data_folder() -> Path:
    """Return the folder of added data sets: `KGYM_DATA_DIR`, else `kgym/data` in the user's data folder."""
    if folder := os.environ.get("KGYM_DATA_DIR"):
        return Path(folder)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "kgym" / "data"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "kgym" / "data"


def data_path(name: str) -> Path:
    """Return the file of a data set. Raises ConfigError for a name that is not a plain word."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        shown = name if len(name) <= 40 else f"{name[:40]}..."
        raise ConfigError(f"data set name {shown!r}: use letters, digits, - and _, at most 100 characters")
    return data_folder() / f"{name}.parquet"


def data_source(name: str) -> ProblemSource:
    """Return a data set that the user has added. Raises MissingData, with the command that adds it, if it is
    missing.
    """
    path = data_path(name)
    if not path.is_file():
        from_hub = f"kgym data add {name} (from the hub) or: " if name in known_sets() else ""
        raise MissingData(
            f"data set {name!r} has not been added yet; add it with: {from_hub}kgym data add {name} FILE (JSONL, CSV "
            "or Parquet)"
        )
    return DataSource(path)


def save_data(name: str, source: ListedSource) -> Path:
    """Write a data set under `name`, completely or not at all, and return the file."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    path = data_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    types = {field: pa.int64() if field in ("level", "year") else pa.string() for field in FIELDS}
    schema = pa.schema(
        list(types.items()),
        metadata={CHECKSUM: source.fingerprint.encode(), PROVENANCE: json.dumps(source.provenance).encode()},
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([asdict(problem) for problem in source.problems], schema=schema), sink)
    write_atomic(path, sink.getvalue().to_pybytes())
    return path


# --- reading ----------------------------------------------------------------------------------------------------------


def read_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a file, whose suffix tells its format. Raises DataError, with the line, for a bad file."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        values = (values for batch in _parquet_batches(path, columns) for values in batch.to_pylist())
        yield from (Row(f"{path.name} row {number}", row) for number, row in enumerate(values, 1))
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if suffix == ".csv":
                yield from _csv_rows(file, path)
            elif suffix == ".json":
                yield from _json_rows(file.read(), path)
            else:
                yield from (
                    _json_row(line, f"{path.name} line {number}") for number, line in enumerate(file, 1) if line.strip()
                )
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None


def _unpacked_bytes(path: Path, columns: Columns, max_gib: float) -> int:
    """Return how much text a file has. Raises DataError if it does not exist, is of an unknown kind or larger than
    `max_gib`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: known kinds of data files are {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise DataError(f"the file {path} does not exist")
    n_bytes = path.stat().st_size
    if path.suffix.lower() == ".parquet":
        n_bytes = 0
        for batch in _parquet_batches(path, columns):
            n_bytes += sum(_column_bytes(column) for column in batch.columns)
            if n_bytes > max_gib * (1 << 30):
                break
    if n_bytes > max_gib * (1 << 30):
        raise _too_large([path], max_gib)
    return n_bytes


def _column_bytes(column: Any) -> int:
    """Return the size of a column, every row counted with its whole text."""
    while hasattr(column, "dictionary_decode"):
        column = column.dictionary_decode()
    return int(column.nbytes)


def _too_large(paths: Sequence[Path], max_gib: float) -> DataError:
    return DataError(
        f"{', '.join(map(str, paths))}: more than {max_gib:g} GiB of text, unpacked; allow more with --max-gib if the "
        "memory suffices"
    )


def _csv_rows(file: Any, path: Path) -> Iterator[Row]:
    reader = csv.DictReader(file, strict=True)
    try:
        for values in reader:
            if None in values:
                raise DataError(
                    f"{path.name} line {reader.line_num}: more fields than the {len(reader.fieldnames or ())} of the "
                    "first line"
                )
            yield Row(f"{path.name} line {reader.line_num}", values)
    except csv.Error as error:
        raise DataError(f"{path.name} line {reader.line_num}: {error}") from None


def _json_rows(text: str, path: Path) -> Iterator[Row]:
    first, _, more = text.strip().partition("\n")
    if (
        first.startswith("{") and first.endswith("}") and more
    ):  # JSON lines with the suffix .json, as some data sets have
        yield from (
            _json_row(line, f"{path.name} line {number}")
            for number, line in enumerate(text.split("\n"), 1)
            if line.strip()
        )
        return
    values = _parsed(text, path.name)
    if not isinstance(values, list):
        raise DataError(f"{path.name} is not a list of rows; a file with one row on each line needs the suffix .jsonl")
    for number, value in enumerate(values, 1):
        yield _row(value, f"{path.name} row {number}")


def _json_row(line: str, where: str) -> Row:
    return _row(_parsed(line, where), where)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON: {error}") from None


def _row(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{where}: a row has to be an object with named columns")
    return Row(where, value)


def _parquet_batches(path: Path, columns: Columns) -> Iterator[Any]:
    """Yield the rows of a Parquet file in batches, with only the columns that are read."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(path)
        names = [name for name in file.schema_arrow.names if name in columns.top()]
        yield from file.iter_batches(batch_size=PARQUET_ROWS, columns=names or None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a Parquet file that can be read: {error}") from None


def _read_parquet(path: Path) -> Any:
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a Parquet file that can be read: {error}") from None
