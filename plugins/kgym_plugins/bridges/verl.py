"""An environment for verl: Parquet files in the form of its `RLHFDataset`, and a module with the reward function.

One row: {"data_source": "kgym/aime-v1", "prompt": [{"role": "user", "content": "..."}], "ability": "number theory",
"reward_model": {"style": "rule", "ground_truth": "12"}, "extra_info": {"id": "aime/train/gcd/d2/17", "index": 17,
"kgym": "{...}", ...}}
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from kgym.options import Options
from kgym.types import EnvExport
from kgym_plugins.bridges.files import first, readme

REWARD = '''"""kgym's verifier as the reward of verl: `compute_score` for one, `compute_score_batch` for many."""

from kgym.bridges import compute_score, compute_score_batch

__all__ = ["compute_score", "compute_score_batch"]
'''

USE = """
```
python -m verl.trainer.main_ppo data.train_files=DIR/{split}.parquet data.val_files=DIR/{last}.parquet \\
    data.max_response_length={max_tokens} reward.custom_reward_function.path=DIR/kgym_reward.py \\
    reward.custom_reward_function.name=compute_score ...
```

verl before 0.7 has the last two keys without the prefix `reward.`. For its batch reward manager the name is
`compute_score_batch`. A completion that cannot be judged has score 0, and its `unscored` is 1.
"""

EXTRA = ("id", "index", "seed", "question", "level", "kgym")


class VerlBridge:
    """Writes one file for each split, and `kgym_reward.py`."""

    turns = False

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, export: EnvExport) -> Mapping[str, str | bytes]:
        """Return the files."""
        use = USE.format(split=first(export.splits), last=list(export.splits)[-1], max_tokens=export.max_tokens)
        files: dict[str, str | bytes] = {
            "README.md": readme(export, "Parquet files and a reward function for verl.", use),
            "kgym_reward.py": REWARD,
        }
        return files | {f"{split}.parquet": parquet(export, split, rows) for split, rows in export.splits.items()}


def parquet(export: EnvExport, split: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the bytes of the file of a split."""
    import pyarrow as pa  # noqa: PLC0415  (heavy)
    from pyarrow import parquet as pq  # noqa: PLC0415

    table = pa.Table.from_pylist(
        [
            {
                "data_source": export.env_id,
                "prompt": row["prompt"],
                "ability": row["subject"] or "reasoning",
                "reward_model": {"style": "rule", "ground_truth": row["answer"]},
                "extra_info": {"split": split} | {name: row[name] for name in EXTRA},
            }
            for row in rows
        ]
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
