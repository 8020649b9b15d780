"""What the bridges have in common: rows as JSON lines, and the README of an exported folder."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kgym.types import EnvExport


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return one line of JSON for each row."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def readme(export: EnvExport, what: str, use: str) -> str:
    """Return a README that says what the folder holds and how it is used."""
    counts = "\n".join(f"| `{split}` | {len(rows)} |" for split, rows in export.splits.items())
    return (
        f"# {export.env_id}\n\n{export.summary[:1].upper()}{export.summary[1:]}. {what}\n\n"
        f"| split | problems |\n|---|---|\n{counts}\n\n{use.strip()}\n\n"
        "Completions are judged by kgym's own verifier, so kgym has to be installed where they are scored: `pip "
        f"install kgym`.\nExported by kgym {facts(export)['kgym_version']}.\n"
    )


def facts(export: EnvExport) -> Mapping[str, Any]:
    """Return what the column `kgym` of the first row says."""
    found: dict[str, Any] = json.loads(export.splits[first(export.splits)][0]["kgym"])
    return found


def card(export: EnvExport, text: str) -> str:
    """Return the README with the header by which `datasets.load_dataset` finds the file of each split."""
    files = "".join(f"  - split: {split}\n    path: {split}.jsonl\n" for split in export.splits)
    return f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n\n{text}"


def columns(names: Mapping[str, str]) -> str:
    """Return a Markdown table of columns and their meaning."""
    return "| column | meaning |\n|---|---|\n" + "\n".join(
        f"| `{name}` | {meaning} |" for name, meaning in names.items()
    )


def first(splits: Mapping[str, Sequence[Any]]) -> str:
    """Return the name of the first split."""
    return next(iter(splits))
