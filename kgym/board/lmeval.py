"""Results files of lm-evaluation-harness (0.4) as rows of a board.

A row for each metric of each task that is a share and better when higher. lm-eval stores no verdicts, so what a row of kgym says of cut,
unscored and missing answers stays empty. The comparability hash is of the task as the file describes it: such rows stand in tables of
their own. `plugins/kgym_plugins/exporters/lmeval.py` writes such files.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kgym.board.schema import SCHEMA_VERSION
from kgym.board.table import Row
from kgym.errors import DataError
from kgym.score.comparability import comparability_hash
from kgym.score.intervals import interval_of

ASKED = ("dataset_path", "dataset_name", "test_split", "doc_to_text", "doc_to_target", "generation_kwargs", "repeats", "filter_list")
"""What in the configuration of a task says what was asked."""

UNKNOWN = {
    "pass_at_k": "{}",
    "pass_at_k_stderr": "{}",
    "g_pass_at_k": "{}",
    "g_pass_at_k_stderr": "{}",
    "maj_at_k": None,
    "maj_at_k_stderr": None,
    "finished_accuracy": None,
    "accuracy_if_cut_wrong": None,
    "accuracy_if_cut_right": None,
    "truncated_frac": None,
    "unscored_frac": None,
    "no_answer_frac": None,
    "tokens_mean": None,
    "tokens_median": None,
    "tokens_p95": None,
    "tokens_per_solved": None,
}
"""Columns of a row that these files say nothing of."""


def is_lm_eval(data: Any) -> bool:
    """Whether a JSON document looks like one of these files."""
    return isinstance(data, Mapping) and all(isinstance(data.get(key), Mapping) for key in ("results", "configs", "n-samples"))


def lm_eval_rows(data: Mapping[str, Any], *, where: str, label: str | None = None, note: str = "") -> list[Row]:
    """Return the rows of a file; `where` is for messages. Raises DataError if there is no figure to take from it."""
    rows = []
    try:
        for task, figures in data["results"].items():
            for key, value in figures.items():
                metric, comma, filtered = key.partition(",")
                better = data.get("higher_is_better", {}).get(task, {}).get(metric, True)
                is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
                if comma and not metric.endswith("_stderr") and is_share and better and task in data["n-samples"]:
                    rows.append(_row(data, task, metric, filtered, label=label, note=note))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where} is damaged, or no results file of lm-evaluation-harness 0.4: {type(error).__name__} {error}") from error
    if not rows:
        raise DataError(f"{where} holds no task with a metric that is a share and better when higher")
    return rows


def _row(data: Mapping[str, Any], task: str, metric: str, filtered: str, *, label: str | None, note: str) -> Row:
    config, settings = data["configs"].get(task, {}), data.get("config", {})
    figures = data["results"][task]
    accuracy, stderr = float(figures[f"{metric},{filtered}"]), figures.get(f"{metric}_stderr,{filtered}")
    stderr = float(stderr) if isinstance(stderr, int | float) else None  # "N/A" where lm-eval has none
    n, samples = int(data["n-samples"][task]["effective"]), int(config.get("repeats") or 1)
    drawn = config.get("generation_kwargs") or {}
    greedy = not drawn.get("do_sample", False)
    facts = {
        "harness": "lm-evaluation-harness",
        "task": task,
        "version": str(data.get("versions", {}).get(task)),
        "metric": f"{metric},{filtered}",
        "n_problems": n,
        "n_shot": data.get("n-shot", {}).get(task),
        "chat_template": data.get("chat_template_sha") is not None,
        "system_instruction_sha": data.get("system_instruction_sha"),
        "task_hash": data.get("task_hashes", {}).get(task),
    } | {name: _stable(config.get(name)) for name in ASKED}
    low, high = (None, None) if stderr is None else interval_of(accuracy, stderr, n=n, n_answers=n * samples)
    return {
        "schema_version": SCHEMA_VERSION,
        "date": datetime.fromtimestamp(float(data["date"]), UTC).date().isoformat() if data.get("date") else "",
        "model": label or str(data.get("model_name") or settings.get("model") or ""),
        "benchmark": task,
        "env_id": f"lm-eval/{task}",
        "split": str(config.get("test_split") or config.get("validation_split") or ""),
        "accuracy": accuracy,
        "stderr": stderr,
        "interval_low": low,
        "interval_high": high,
        "n_problems": n,
        "samples_per_problem": samples,
        **UNKNOWN,
        "temperature": 0.0 if greedy else float(drawn.get("temperature", 1.0)),
        "top_p": 1.0 if greedy else float(drawn.get("top_p", 1.0)),
        "top_k": 0 if greedy else int(drawn.get("top_k", 0)),
        "max_tokens": int(drawn["max_gen_toks"]) if "max_gen_toks" in drawn else None,
        "truncated_rule": "score",  # lm-eval judges the text as it stands
        "verifier": f"lm-eval:{metric},{filtered}",
        "data_sha256": str(facts["task_hash"] or ""),
        "comparability": comparability_hash(facts),
        "engine": str(settings.get("model") or ""),
        "kgym_version": f"lm-eval {data.get('lm_eval_version', '')}".strip(),
        "seed": settings.get("random_seed") if isinstance(settings.get("random_seed"), int) else None,
        "run": "",
        "note": note,
    }


def _stable(value: Any) -> Any:
    """A value without what differs from process to process: functions are written with their address."""
    if isinstance(value, Mapping):
        return {str(key): _stable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_stable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return "function" if isinstance(value, str) and " at 0x" in value else value
