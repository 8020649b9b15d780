"""An environment for TRL: a data set with conversational prompts, for the reward function
`kgym.bridges.kgym_reward`.
"""

from collections.abc import Mapping

from kgym.options import Options
from kgym.types import EnvExport
from kgym_plugins.bridges.files import card, first, json_lines, readme

USE = """
```
trl grpo --dataset_name DIR --dataset_train_split {split} --reward_funcs kgym.bridges.kgym_reward \\
    --model_name_or_path MODEL --output_dir OUT --max_completion_length {max_tokens}
```

or

```python
from datasets import load_dataset
from kgym.bridges import kgym_reward
from trl import GRPOTrainer

trainer = GRPOTrainer(
    "MODEL", reward_funcs=kgym_reward, train_dataset=load_dataset("DIR", split="{split}")
)
```
"""


class TrlBridge:
    """Writes one file for each split, as the bridge `hf`, with a README for TRL."""

    turns = False

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, export: EnvExport) -> Mapping[str, str]:
        """Return the files."""
        use = USE.format(split=first(export.splits), max_tokens=export.max_tokens)
        text = card(export, readme(export, "A data set for TRL.", use))
        return {"README.md": text} | {f"{split}.jsonl": json_lines(rows) for split, rows in export.splits.items()}
