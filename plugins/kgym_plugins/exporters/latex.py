"""Rows as LaTeX tables for a paper, one for each set of rows that may be compared. They need the package booktabs."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from kgym.options import Options

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
} | {char: rf"\{char}" for char in "&%$#_{}"}


class LatexExporter:
    """Writes model, accuracy and benchmark; the best first, with ranks as intervals."""

    ranked = True

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of the file."""
        results = bool(rows) and "comparability" in rows[0]
        tables: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for row in rows:
            tables.setdefault((row["benchmark"], row["comparability"] if results else ""), []).append(row)
        made = [_results(block) if results else _published(block) for block in tables.values()]
        return "% \\usepackage{booktabs}\n" + "\n".join(made)


def _results(rows: Sequence[Mapping[str, Any]]) -> str:
    first = rows[0]
    stated = [
        (f"{first['n_problems']} problems", first["n_problems"]),
        (f"{first['max_tokens']} tokens", first["max_tokens"]),
        (f"temperature {first['temperature']}", first["temperature"]),
        (f"comparability {str(first['comparability'])[:12]}", first["comparability"]),
    ]
    caption = ", ".join(
        [
            f"{first['benchmark']} ({first['env_id']}, {first['split']})",
            *(text for text, value in stated if value is not None),
        ]
    )
    cells = [
        [
            _rank(row),
            escape(row["model"]),
            _points(row["accuracy"]),
            ""
            if None in (row["interval_low"], row["interval_high"])
            else f"{_points(row['interval_low'])}--{_points(row['interval_high'])}",
            "" if row["samples_per_problem"] is None else str(row["samples_per_problem"]),
            _points(row["maj_at_k"]),
            _points(row["truncated_frac"]),
            "" if row["tokens_mean"] is None else f"{row['tokens_mean']:.0f}",
        ]
        for row in rows
    ]
    header = ["Rank", "Model", "Accuracy", r"95\,\% interval", "$k$", "maj@$k$", "Truncated", "Tokens"]
    return _table("rlrrrrrr", header, cells, f"{caption}. Figures in per cent; ranks are intervals, too.")


def _published(rows: Sequence[Mapping[str, Any]]) -> str:
    ordered = sorted(rows, key=lambda row: -row["figure"])
    cells = [
        [
            escape(row["model"]),
            f"{row['figure']:g}" + (rf" $\pm$ {row['spread']:g}" if row["spread"] is not None else ""),
            escape(row["metric"]),
            escape(row["protocol"]),
            escape(row["source"]),
        ]
        for row in ordered
    ]
    return _table(
        "lrlll",
        ["Model", "Points", "Metric", "Protocol", "Source"],
        cells,
        f"{rows[0]['benchmark']}: published figures.",
    )


def _table(columns: str, header: Sequence[str], cells: Sequence[Sequence[str]], caption: str) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
    ]
    lines += [" & ".join(row) + r" \\" for row in cells]
    return (
        "\n".join([*lines, r"\bottomrule", r"\end{tabular}", rf"\caption{{{escape(caption)}}}", r"\end{table}"]) + "\n"
    )


def _rank(row: Mapping[str, Any]) -> str:
    low, high = row.get("rank_low"), row.get("rank_high")
    if low is None:
        return ""
    return str(low) if low == high else f"{low}--{high}"


def _points(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def escape(text: Any) -> str:
    r"""Return a text that LaTeX typesets unchanged; characters that are not printable are left out.

    >>> escape("50% of_A & {B}")
    '50\\% of\\_A \\& \\{B\\}'
    """
    line = " ".join(
        "".join(c if c.isprintable() and unicodedata.category(c) != "Cf" else " " for c in str(text)).split()
    )
    return "".join(SPECIAL.get(char, char) for char in line)
