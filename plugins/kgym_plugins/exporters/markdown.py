"""Rows as a Markdown table, for a README or an issue."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from kgym.options import Options

BOOKKEEPING = ("schema_version", "env_id", "split", "data_sha256", "kgym_version", "run", "pass_at_k", "truncated_rule", "seed", "engine")
"""Columns that say how to reproduce a row; the CSV has them."""
HASHES = ("comparability",)
SHARES = ("accuracy", "stderr", "truncated_frac", "unscored_frac", "no_answer_frac")


class MarkdownExporter:
    """Writes the columns that people compare; shares in per cent, hashes in their first 12 digits."""

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of the file."""
        header = [name for name in (rows[0] if rows else ()) if name not in BOOKKEEPING]
        lines = [header, ["---"] * len(header), *([_cell(name, row.get(name)) for name in header] for row in rows)]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in lines) if header else ""


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in SHARES:
        return f"{value:.1%}"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)[:12] if name in HASHES else str(value)
    return html.escape(" ".join(text.split()), quote=False).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
