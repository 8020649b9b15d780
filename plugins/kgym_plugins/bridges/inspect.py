"""An environment as a task of inspect-ai: a data set for each split, and a module with the task and its scorer."""

from collections.abc import Mapping
from typing import Any

from kgym.options import Options
from kgym.types import EnvExport
from kgym_plugins.bridges.files import first, json_lines, readme

MODULE = '''"""{env_id} for inspect-ai: `inspect eval {task}.py --model MODEL`; `-T split=NAME` sets another split."""

from pathlib import Path

from anyio.to_thread import run_sync
from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Score, mean, scorer, stderr
from inspect_ai.solver import generate

from kgym.bridges import judge_rows

TRUNCATED = ("max_tokens", "model_length")


@scorer(metrics=[mean(), stderr()])
def kgym_verdict():
    """Score by kgym's verifier; a completion that cannot be judged is unscored and not counted."""

    async def score(state, target):
        row = {{"id": state.sample_id, "answer": target.text, **state.metadata}}
        cut = state.output.stop_reason in TRUNCATED
        (verdict,) = await run_sync(lambda: judge_rows([row], [state.output.completion], truncated=[cut]))
        told = {{"answer": verdict.answer, "explanation": f"{{verdict.status}}: {{verdict.reason}}"}}
        return Score(value=verdict.score, **told) if verdict.scored else Score.unscored(**told)

    return score


@task
def {task}(split="{split}"):
    """Return the task."""
    return Task(
        dataset=json_dataset(str(Path(__file__).parent / f"{{split}}.jsonl")),
        solver=generate(),
        scorer=kgym_verdict(),
        config=GenerateConfig(max_tokens={max_tokens}),
    )
'''

USE = """
```
inspect eval DIR/{task}.py --model MODEL
```

The path has to be relative, and `-T split=NAME` chooses another split. A completion that cannot be judged is unscored,
and the mean leaves it out.
"""


class InspectBridge:
    """Writes a file of samples for each split, and a module with the task, named after the environment."""

    turns = False

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, export: EnvExport) -> Mapping[str, str]:
        """Return the files."""
        task, split = f"kgym_{export.name}", first(export.splits)
        module = MODULE.format(env_id=export.env_id, task=task, split=split, max_tokens=export.max_tokens)
        files = {"README.md": readme(export, "A task of inspect-ai.", USE.format(task=task)), f"{task}.py": module}
        return files | {f"{name}.jsonl": json_lines(map(_sample, rows)) for name, rows in export.splits.items()}


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as a sample of inspect-ai; the other columns are its metadata."""
    sample = {"input": row["prompt"], "target": row["answer"], "id": row["id"]}
    return sample | {"metadata": {key: value for key, value in row.items() if key not in ("prompt", "answer", "id")}}
