"""Results files of lm-evaluation-harness (0.4) as rows of a board.

Each figure that is an accuracy gets a row (`kgym.board.lmeval_figures`); the others are listed. lm-eval stores no
verdicts, so the columns about truncated and unscored completions and missing answers stay empty. The comparability hash
covers the task as the file describes it, few-shot form and chat template included: such rows are in their own tables.
`plugins/kgym_plugins/exporters/lmeval.py` writes such files.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kgym.board.lmeval_figures import Figure, figures_of
from kgym.board.schema import SCHEMA_VERSION
from kgym.board.table import Row
from kgym.errors import DataError
from kgym.score.comparability import comparability_hash
from kgym.score.intervals import interval_of

ASKED = (
    "dataset_path", "dataset_name", "test_split", "description", "doc_to_text", "doc_to_choice", "doc_to_target",
    "gen_prefix", "output_type", "generation_kwargs", "repeats", "filter_list",
)  # fmt: skip
"""Keys in the configuration of a task that say what was asked."""

PASS_AT_1 = ("pass@1", "pass_at_1")

UNKNOWN = {
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
"""Columns of a row that these files have no values for."""


def is_lm_eval(data: Any) -> bool:
    """Whether a JSON document looks like one of these files."""
    return isinstance(data, Mapping) and all(
        isinstance(data.get(key), Mapping) for key in ("results", "configs", "n-samples")
    )


def lm_eval_rows(
    data: Mapping[str, Any], *, where: str, label: str | None = None, note: str = ""
) -> tuple[list[Row], list[str]]:
    """Return the rows of a file, and the figures that are left out, each with the reason; `where` is for messages.

    Raises DataError if there is no figure to take from it.
    """
    rows: list[Row] = []
    left_out: list[str] = []
    try:
        for task in data["results"]:
            figures, others = figures_of(data, task)
            passes = [figure for figure in figures if figure.kind == "pass"]
            left_out += others
            means = [figure for figure in figures if figure.kind == "accuracy"]
            for figure in means:
                at_k = [other for other in passes if figure.metric in PASS_AT_1 and other.filter == figure.filter]
                passes = [other for other in passes if other not in at_k]
                rows.append(_row(data, task, figure, at_k, label=label, note=note))
            left_out += [
                f"{figure.metric},{figure.filter} of {task}: it is not an accuracy, and the file has no pass@1 of the "
                "same completions"
                for figure in passes
            ]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{where} is damaged, or not a results file of lm-evaluation-harness 0.4: {type(error).__name__} {error}"
        ) from error
    if not rows:
        reasons = f": {'; '.join(left_out[:3])}" if left_out else ""
        raise DataError(f"{where} contains no accuracy (a mean over problems, 0 to 1, better when higher){reasons}")
    return rows, left_out


def _row(
    data: Mapping[str, Any], task: str, figure: Figure, at_k: Sequence[Figure], *, label: str | None, note: str
) -> Row:
    config, settings = data["configs"].get(task) or {}, data.get("config", {})
    n, name = int(data["n-samples"][task]["effective"]), f"{figure.metric},{figure.filter}"
    drawn = config.get("generation_kwargs") or {}
    temperature = float(drawn.get("temperature", 1.0 if drawn.get("do_sample") else 0.0))
    greedy = temperature == 0 or drawn.get("do_sample") is False
    facts = _facts(data, task, config, name, n)
    low, high = (
        (None, None)
        if figure.stderr is None
        else interval_of(figure.value, figure.stderr, n=n, n_answers=n * figure.samples)
    )
    passes = [replace(figure, k=1), *sorted(at_k, key=lambda other: other.k)] if figure.metric in PASS_AT_1 else []
    return {
        "schema_version": SCHEMA_VERSION,
        "date": datetime.fromtimestamp(float(data["date"]), UTC).date().isoformat() if data.get("date") else "",
        "model": label or str(data.get("model_name") or settings.get("model") or ""),
        "benchmark": task,
        "env_id": f"lm-eval/{task}",
        "split": str(config.get("test_split") or config.get("validation_split") or ""),
        "accuracy": figure.value,
        "stderr": figure.stderr,
        "interval_low": low,
        "interval_high": high,
        "n_problems": n,
        "samples_per_problem": figure.samples,
        **UNKNOWN,
        "pass_at_k": json.dumps({str(other.k): round(other.value, 6) for other in passes}),
        "pass_at_k_stderr": json.dumps(
            {str(other.k): round(other.stderr, 6) for other in passes if other.stderr is not None}
        ),
        "temperature": 0.0 if greedy else temperature,
        "top_p": 1.0 if greedy else float(drawn.get("top_p", 1.0)),
        "top_k": 0 if greedy else int(drawn.get("top_k", 0)),
        "max_tokens": int(drawn["max_gen_toks"]) if "max_gen_toks" in drawn else None,
        "truncated_rule": "score",  # lm-eval judges the text unchanged
        "verifier": f"lm-eval:{name}",
        "data_sha256": str(facts["task_hash"] or ""),
        "comparability": comparability_hash(facts),
        "engine": str(settings.get("model") or ""),
        "kgym_version": f"lm-eval {data.get('lm_eval_version', '')}".strip(),
        "seed": settings.get("random_seed") if isinstance(settings.get("random_seed"), int) else None,
        "run": "",
        "note": note,
    }


def _facts(data: Mapping[str, Any], task: str, config: Mapping[str, Any], name: str, n: int) -> dict[str, Any]:
    """Return what the score depends on in addition to the model, as far as the file contains it."""
    n_shot, template = data.get("n-shot", {}).get(task), data.get("chat_template_sha")
    if template is None and data.get("chat_template"):
        template = hashlib.sha256(str(data["chat_template"]).encode()).hexdigest()
    return {
        "harness": "lm-evaluation-harness",
        "task": task,
        "version": str(data.get("versions", {}).get(task)),
        "metric": name,
        "n_problems": n,
        "n_shot": n_shot,
        "fewshot_seed": data.get("config", {}).get("fewshot_seed") if n_shot else None,
        "fewshot_as_multiturn": bool(data.get("fewshot_as_multiturn")),
        "chat_template_sha": template,
        "system_instruction_sha": data.get("system_instruction_sha"),
        "task_hash": data.get("task_hashes", {}).get(task),
    } | {asked: _stable(config.get(asked)) for asked in ASKED}


def _stable(value: Any) -> Any:
    """Return a value without what differs from process to process: functions are written with their address."""
    if isinstance(value, Mapping):
        return {str(key): _stable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_stable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return "function" if isinstance(value, str) and " at 0x" in value else value
