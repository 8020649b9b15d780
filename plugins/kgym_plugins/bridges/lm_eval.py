"""An environment as tasks of lm-evaluation-harness (0.4.9 and later): a YAML file for each split, and a module that
loads and scores.

Scores are equal to kgym's except for truncated completions: the harness does not mark them, so the verifier judges
their text.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from kgym.errors import ConfigError
from kgym.options import Options
from kgym.types import EnvExport
from kgym_plugins.bridges.files import facts, first, json_lines, readme

MODULE = '''"""Problems and verdicts of kgym for lm-evaluation-harness; the YAML files name what is here."""

import json
import math
from pathlib import Path

import datasets

from kgym.bridges import judge_rows


def load(split, **_):
    """Return the problems of a split."""
    with (Path(__file__).parent / f"{split}.jsonl").open(encoding="utf-8") as lines:
        return {split: datasets.Dataset.from_list([json.loads(line) for line in lines])}


def process_results(doc, results):
    """Return the figures of a completion; the score of one that cannot be judged is not a number."""
    (verdict,) = judge_rows([doc], results[:1])
    return {
        "score": verdict.score if verdict.scored else math.nan,
        "no_answer": float(verdict.status == "no_answer"),
        "unscored": float(not verdict.scored),
    }


def mean_of_scored(scores):
    """Return the mean over the completions that were judged."""
    scored = [score for score in scores if not math.isnan(score)]
    return sum(scored) / len(scored) if scored else math.nan
'''

TASK = """task: {task}
tag: kgym
custom_dataset: !function kgym_task.load
dataset_kwargs:
  split: {split}
test_split: {split}
output_type: generate_until
description: system
doc_to_text: user
doc_to_target: answer
process_results: !function kgym_task.process_results
generation_kwargs:
  until: []
  do_sample: false
  max_gen_toks: {max_tokens}
metric_list:
  - metric: score
    aggregation: !function kgym_task.mean_of_scored
    higher_is_better: true
  - metric: no_answer
    aggregation: mean
    higher_is_better: false
  - metric: unscored
    aggregation: mean
    higher_is_better: false
metadata:
  version: {version}
  env_id: {env_id}
  kgym_version: {kgym_version}
"""

USE = """
```
lm_eval run --include_path DIR --tasks {task} --model hf --model_args pretrained=MODEL --apply_chat_template
```

`score` is the mean over the completions that were judged; `unscored` is the share of the others, and `no_answer` that
of completions without an answer. A completion that the token budget ended is judged without a rule for truncation,
because the harness does not say which they are.
"""


class LmEvalBridge:
    """Writes a task and a file of problems for each split, and `kgym_task.py`.

    A prompt is a user message, after a system message or none.
    """

    turns = False

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, export: EnvExport) -> Mapping[str, str]:
        """Return the files. Raises ConfigError for a prompt of more turns."""
        version = re.search(r"-v(\d+)$", export.env_id)
        files = {
            "README.md": readme(
                export, "Tasks of lm-evaluation-harness.", USE.format(task=f"kgym_{export.name}_{first(export.splits)}")
            ),
            "kgym_task.py": MODULE,
        }
        for split, rows in export.splits.items():
            files[f"{split}.jsonl"] = json_lines(_document(export, row) for row in rows)
            files[f"kgym_{export.name}_{split}.yaml"] = TASK.format(
                task=f"kgym_{export.name}_{split}",
                split=split,
                max_tokens=export.max_tokens,
                version=version[1] if version else 0,
                env_id=json.dumps(export.env_id),
                kgym_version=json.dumps(facts(export)["kgym_version"]),
            )
        return files


def _document(export: EnvExport, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its system message, or none, and its user message instead of the prompt."""
    roles = [message["role"] for message in row["prompt"]]
    if roles not in (["user"], ["system", "user"]):
        raise ConfigError(
            f"{export.env_id}, problem {row['id']}: the prompt has the roles {', '.join(roles)}; "
            "a task of lm-evaluation-harness takes a user message, after a system message or none"
        )
    texts = {"system": ""} | {message["role"]: message["content"] for message in row["prompt"]}
    return {key: value for key, value in row.items() if key != "prompt"} | texts
