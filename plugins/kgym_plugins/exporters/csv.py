"""Rows as CSV. Text that a spreadsheet would run as a formula gets a leading quote (OWASP, CSV injection)."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from kgym.neutral import for_spreadsheet
from kgym.options import Options


class CsvExporter:
    """Writes every column."""

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of the file, with the keys of the first row as its header."""
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        header = list(rows[0]) if rows else []
        writer.writerow(header)
        writer.writerows([_cell(row.get(name)) for name in header] for row in rows)
        return out.getvalue()


def _cell(value: Any) -> Any:
    return for_spreadsheet(value) if isinstance(value, str) else value
