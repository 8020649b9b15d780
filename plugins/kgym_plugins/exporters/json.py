"""Rows as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from kgym.options import Options


class JsonExporter:
    """Writes a list of objects; a figure that could not be computed is null."""

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of the file."""
        plain = [
            {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in row.items()
            }
            for row in rows
        ]
        return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
