"""Rows as a Markdown table, for a README or an issue."""

from collections.abc import Mapping, Sequence
from typing import Any

from kgym.neutral import for_markdown
from kgym.options import Options

BOOKKEEPING = (
    *(
        "schema_version",
        "env_id",
        "split",
        "data_sha256",
        "kgym_version",
        "run",
        "truncated_rule",
        "seed",
        "engine",
        "rank_low",
        "rank_high",
        "apart",
        "caution",
    ),
    *("date", "stderr", "no_answer_frac", "tokens_per_solved", "top_p", "top_k", "verifier"),
    *("pass_at_k_stderr", "g_pass_at_k_stderr", "maj_at_k_stderr"),
    *(
        "pass_at_k",
        "g_pass_at_k",
        "finished_accuracy",
        "accuracy_if_cut_wrong",
        "accuracy_if_cut_right",
        "tokens_median",
        "tokens_p95",
    ),
)
"""Columns that say how to reproduce a row, or that a table for people has no room for; the CSV has them."""
HASHES = ("comparability",)
SHARES = (
    "accuracy",
    "stderr",
    "interval_low",
    "interval_high",
    "maj_at_k",
    "truncated_frac",
    "unscored_frac",
    "no_answer_frac",
)


class MarkdownExporter:
    """Writes the columns that people compare, table by table, the best first; shares in per cent, hashes with their
    first 12 digits.
    """

    ranked = True

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of the file."""
        if not rows:
            return ""
        header = [name for name in rows[0] if name not in BOOKKEEPING]
        ranked = "rank_low" in rows[0]
        lines = [["rank"] * ranked + header, ["---"] * (len(header) + ranked)]
        lines += [([_rank(row)] if ranked else []) + [_cell(name, row.get(name)) for name in header] for row in rows]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _rank(row: Mapping[str, Any]) -> str:
    if row["rank_low"] is None:
        return ""
    return str(row["rank_low"]) if row["rank_low"] == row["rank_high"] else f"{row['rank_low']}-{row['rank_high']}"


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in SHARES:
        return f"{value:.1%}"
    if isinstance(value, float):
        return f"{value:g}"
    return for_markdown(str(value)[:12] if name in HASHES else str(value))
