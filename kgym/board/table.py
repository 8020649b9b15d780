"""Leaderboard files: CSV that pandas and spreadsheets open as it is.

Text that a spreadsheet would run as a formula gets a quote in front; `read_board` removes it. Rows are appended under a
lock, by writing the whole file again and renaming it: two writers lose nothing, and a reader never sees half a row.
"""

import csv
import importlib.resources
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgym.board.schema import PUBLISHED, RESULTS, SCHEMAS, Column, Schema
from kgym.errors import ConfigError, DataError, RunError
from kgym.files import locked, write_atomic
from kgym.neutral import for_spreadsheet, from_spreadsheet

Row = dict[str, Any]
ENCODING = "utf-8-sig"
"""Excel begins a CSV file in UTF-8 with a byte order mark."""


@dataclass(frozen=True)
class Board:
    """A board in memory; cells are text, int, float, or None for an empty cell."""

    schema: Schema
    rows: list[Row]


def read_board(where: str) -> Board:
    """Read a board: a file, or `PACKAGE:NAME` for NAME.csv of an installed package (`kgym_boards:published`).

    Raises ConfigError if it does not exist, DataError if it is not a board or has a newer version.
    """
    path = Path(where)
    package, colon, name = where.partition(":")
    if not path.exists() and colon and package.isidentifier() and name.isidentifier():
        try:
            text = importlib.resources.files(package).joinpath(f"{name}.csv").read_text(encoding=ENCODING)
        except (ModuleNotFoundError, FileNotFoundError):
            raise ConfigError(
                f"no installed package {package!r} has a board {name!r}; give a CSV file, or kgym_boards:results"
            ) from None
        return parse_board(text, where)
    try:
        return parse_board(path.read_text(encoding=ENCODING), where)
    except FileNotFoundError:
        raise ConfigError(
            f"the board {where} does not exist; kgym eval --model nano --bench aime-style --board {where} makes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the board {where}: {getattr(error, 'strerror', None) or error}") from error


def parse_board(text: str, where: str) -> Board:
    """Read the text of a board; `where` is for messages."""
    lines = _cells(text, where)
    header = lines[0] if lines else []
    known = {
        tuple(schema.names_of(version)): (schema, version)
        for schema in SCHEMAS
        for version in range(1, schema.version + 1)
    }
    schema, version = known.get(tuple(header), (None, 0))
    if schema is None:
        versions = {line[0] for line in lines[1:] if line and header[:1] == ["schema_version"]}
        newest = max(schema.version for schema in SCHEMAS)
        newer = sorted(version for version in versions if version.isdecimal() and int(version) > newest)
        if newer:
            raise DataError(
                f"{where} has schema version {newer[-1]}, and this kgym reads up to {newest}; install a newer kgym"
            )
        raise DataError(
            f"{where} is not a leaderboard of kgym: its columns are not those of docs/leaderboard.md; choose another "
            "file"
        )
    return Board(
        schema,
        [
            _parse_row(schema, version, cells, f"{where}, line {number}")
            for number, cells in enumerate(lines[1:], start=2)
        ],
    )


def _cells(text: str, where: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"{where} is not a CSV file: {error}") from error


def format_board(board: Board) -> str:
    """Return the text of a board, with line feeds as line ends."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(board.schema.names)
    for row in board.rows:
        writer.writerow([format_cell(column, row.get(column.name)) for column in board.schema.columns])
    return out.getvalue()


def board_to_append(path: Path) -> Board:
    """Return the board of results in a file, an empty one if the file is absent. Raises DataError for a file of another
    kind.
    """
    if not path.exists() or path.stat().st_size == 0:
        return Board(RESULTS, [])
    board = read_board(str(path))
    if board.schema is not RESULTS:
        raise DataError(f"{path} is a board of {board.schema.name} figures; results need a separate file")
    return board


def append_row(path: Path, row: Mapping[str, Any]) -> bool:
    """Add one row to a board of results, which is made if it is absent. Returns False if the board has that row
    already.

    Raises DataError if the file is not a board of results, ConfigError if a column is missing or unknown, RunError if
    it cannot be written.
    """
    wrong = sorted(set(RESULTS.names) ^ row.keys())
    if wrong:
        raise ConfigError(
            "a row of a leaderboard has exactly the columns of docs/leaderboard.md; missing or unknown: "
            f"{', '.join(wrong)}"
        )
    try:
        with locked(path.with_name(f".{path.name}.lock"), what=f"the board {path}", wait=True):
            text = _with_row(path, row)
            if text is not None:
                write_atomic(path, text)
    except OSError as error:
        raise RunError(f"cannot write the board {path}: {error.strerror}; choose another with --board") from error
    return text is not None


def _with_row(path: Path, row: Mapping[str, Any]) -> str | None:
    """Return the text of the file with the row at its end; None if the file has the row already.

    Rows of a file in the newest version are kept unchanged, and only those of the same model are parsed: a board may
    have many.
    """
    new = format_board(Board(RESULTS, [dict(row)]))
    try:
        old = path.read_text(encoding=ENCODING)
    except FileNotFoundError:
        return new
    except UnicodeDecodeError:
        old = ""  # board_to_append raises with what is wrong
    lines = _cells(old, str(path))
    if not lines or lines[0] != RESULTS.names:
        board = board_to_append(path)
        old, lines = (text := format_board(board)), _cells(text, str(path))
    if short := [number for number, cells in enumerate(lines, start=1) if len(cells) != len(RESULTS.names)]:
        raise DataError(f"{path}, line {short[0]}: {len(lines[short[0] - 1])} cells, {len(RESULTS.names)} columns")
    model = RESULTS.names.index("model")
    (added,) = _cells(new, str(path))[1:]
    of_model = [(number, cells) for number, cells in enumerate(lines[1:], start=2) if cells[model] == added[model]]
    parsed = _parse_row(RESULTS, RESULTS.version, added, "the new row")
    if any(
        _parse_row(RESULTS, RESULTS.version, cells, f"{path}, line {number}") == parsed for number, cells in of_model
    ):
        return None
    return old + ("" if old.endswith(("\n", "\r")) else "\n") + new.partition("\n")[2]


def format_cell(column: Column, value: Any) -> str:
    """Return the text of one cell; floats have six decimals at most, NaN is empty."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if column.type == "int":
        return str(int(value))
    if column.type == "float":
        return str(round(float(value), 6))
    return for_spreadsheet(str(value))


def _parse_row(schema: Schema, version: int, cells: Sequence[str], where: str) -> Row:
    """Return a row with all columns of the newest version; columns that its own version did not have are None."""
    columns = [column for column in schema.columns if column.since <= version]
    if len(cells) != len(columns):
        raise DataError(f"{where}: {len(cells)} cells, {len(columns)} columns")
    row: Row = dict.fromkeys(schema.names)
    for column, cell in zip(columns, cells, strict=True):
        try:
            row[column.name] = _parse_cell(column, cell)
        except ValueError:
            raise DataError(f"{where}: {column.name} is {cell[:40]!r}, which is not of type {column.type}") from None
    if row["schema_version"] != version:
        raise DataError(f"{where}: schema version {row['schema_version']}, the columns are those of version {version}")
    if schema is PUBLISHED:
        _check_figure(row, where)
    return row | {"schema_version": schema.version}


def _check_figure(row: Row, where: str) -> None:
    """Raise DataError for a published figure that has no interval."""
    if row["figure"] is None or not 0 <= row["figure"] <= 100:
        raise DataError(f"{where}: figure is {row['figure']}, which is not a number of points from 0 to 100")
    if row["n_problems"] is not None and row["n_problems"] < 1:
        raise DataError(f"{where}: n_problems is {row['n_problems']}, which is less than 1; leave it empty if unknown")


def _parse_cell(column: Column, cell: str) -> Any:
    if column.type == "text":
        return from_spreadsheet(cell)
    if cell == "":
        return None
    if column.type == "int":
        return int(cell.removesuffix(".0"))  # pandas writes a column of whole numbers with gaps as floats
    return value if math.isfinite(value := float(cell)) else None  # other programs write an unknown figure as nan
