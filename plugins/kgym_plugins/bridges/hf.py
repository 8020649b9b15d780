"""An environment as a Hugging Face data set: a file of JSON lines for each split and a card that names them.

One row: {"id": "aime/train/gcd/d2/17", "prompt": [{"role": "user", "content": "..."}], "question": "...", "answer":
"12", ...}; see `kgym.bridges.export_rows`.
"""

from collections.abc import Mapping

from kgym.options import Options
from kgym.types import EnvExport
from kgym_plugins.bridges.files import card, columns, first, json_lines, readme

COLUMNS = {
    "id": "stable name of the problem",
    "index": "its place in the split",
    "seed": "seed of the first attempt in `kgym eval --seed 0`",
    "prompt": "the conversation that the policy continues, as messages",
    "question": "the question alone",
    "answer": "the gold answer",
    "solution": "a worked solution, or empty",
    "level": "difficulty from 1 to 10, or 0 if unknown",
    "subject": "subject, or empty",
    "year": "year of the examination it is from, or 0",
    "kgym": "JSON: environment, verifier with its options, token budget, version of kgym",
}

USE = """
```python
from datasets import load_dataset
from kgym.bridges import judge_rows

rows = load_dataset("DIR", split="{split}").to_list()
verdicts = judge_rows(rows[:1], [r"So the answer is \\boxed{{204}}."])
```

{columns}
"""


class HfBridge:
    """Writes one file for each split. For an environment that replies it has the problems; the replies need kgym."""

    turns = True

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, export: EnvExport) -> Mapping[str, str]:
        """Return the files."""
        text = readme(
            export, "A Hugging Face data set.", USE.format(split=first(export.splits), columns=columns(COLUMNS))
        )
        return {"README.md": card(export, text)} | {
            f"{split}.jsonl": json_lines(rows) for split, rows in export.splits.items()
        }
