"""Rows as a results file of lm-evaluation-harness (0.4), for programs that read such files: `lm_eval.utils.make_table`,
dashboards.
"""

import calendar
import json
import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kgym.errors import ConfigError
from kgym.options import Options


class LmEvalExporter:
    """Writes one task for each row. The metric is `exact_match`, the name of its filter is that of the verifier."""

    def __init__(self, options: Options) -> None:
        pass

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of the file. Raises ConfigError unless all rows are results of one model: the format has room
        for one only.
        """
        models = list(dict.fromkeys(row["model"] for row in rows))
        if len(models) != 1:
            raise ConfigError(
                f"a results file of lm-eval holds one model, and the board has {len(models)}"
                + (f" ({', '.join(models[:5])}); choose one with --model" if models else "")
            )
        if "comparability" not in rows[0]:
            raise ConfigError(
                "a board of published figures has no problems or settings, which lm-eval's format needs; export a "
                "board of results"
            )
        names, seen = [], Counter[str]()
        for row in rows:
            seen[row["benchmark"]] += 1
            names.append(
                row["benchmark"] if seen[row["benchmark"]] == 1 else f"{row['benchmark']}#{seen[row['benchmark']]}"
            )
        tasks = dict(zip(names, rows, strict=True))
        first = rows[0]
        data = {
            "results": {name: _figures(name, row) for name, row in tasks.items()},
            "group_subtasks": {name: [] for name in tasks},
            "configs": {name: _config(name, row) for name, row in tasks.items()},
            "versions": {name: _version(row["env_id"]) for name, row in tasks.items()},
            "n-shot": dict.fromkeys(tasks, 0),
            "higher_is_better": {name: {"exact_match": True} for name in tasks},
            "n-samples": {
                name: {"original": row["n_problems"], "effective": row["n_problems"]} for name, row in tasks.items()
            },
            "config": {
                "model": first["engine"],
                "model_args": {"pretrained": first["model"]},
                "random_seed": first["seed"],
            },
            "date": _seconds(first["date"]),
            "model_source": first["engine"],
            "model_name": first["model"],
            "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", first["model"]),
            "task_hashes": {name: row["data_sha256"] for name, row in tasks.items()},
        }
        return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _figures(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    def known(value: Any) -> Any:
        return "N/A" if value is None or math.isnan(value) else value

    figures = {"name": name, "alias": name, "sample_len": row["n_problems"]}
    return figures | {
        f"exact_match,{row['verifier']}": known(row["accuracy"]),
        f"exact_match_stderr,{row['verifier']}": known(row["stderr"]),
    }


def _config(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    drawn = {"do_sample": (row["temperature"] or 0) > 0, "max_gen_toks": row["max_tokens"]}
    drawn |= {key: row[key] for key in ("temperature", "top_p", "top_k")}
    return {
        "task": name,
        "test_split": row["split"],
        "output_type": "generate_until",
        "repeats": row["samples_per_problem"],
        "num_fewshot": 0,
        "filter_list": [
            {"name": row["verifier"], "filter": [{"function": "take_first_k", "k": row["samples_per_problem"]}]}
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "generation_kwargs": {key: value for key, value in drawn.items() if value is not None},
        "metadata": {
            "version": _version(row["env_id"]),
            "env_id": row["env_id"],
            "comparability": row["comparability"],
        },
    }


def _version(env_id: str) -> float:
    found = re.search(r"-v(\d+)$", env_id)
    return float(found[1]) if found else 0.0


def _seconds(date: str) -> float:
    return float(calendar.timegm(time.strptime(date, "%Y-%m-%d"))) if date else 0.0
