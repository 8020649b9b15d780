"""From the results of an evaluation to its row on a board."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgym.board.lmeval import is_lm_eval, lm_eval_rows
from kgym.board.schema import SCHEMA_VERSION
from kgym.board.table import Row
from kgym.errors import ConfigError, DataError
from kgym.score.results import EvalResult
from kgym.score.store import read_results

ABOUT = ("date", "model", "benchmark", "engine", "kgym_version", "seed", "run", "note")


def rows_of(source: Path, *, label: str | None = None, note: str = "") -> tuple[list[Row], list[str]]:
    """Return the rows of a run folder of `kgym eval`, or of a results file of it or of lm-evaluation-harness.

    The second list says which figures of a file of lm-evaluation-harness are left out, and why.
    Raises ConfigError if `source` does not exist, DataError if it is a file of another kind.
    """
    if source.is_file():
        try:
            data = json.loads(source.read_text(encoding="utf-8"))
        except (ValueError, RecursionError, OSError) as error:
            raise DataError(f"{source} is not JSON: {error}") from error
        if is_lm_eval(data):
            return lm_eval_rows(data, where=str(source), label=label, note=note)
        if source.name != "results.json" or not isinstance(data, dict) or "comparability" not in data:
            raise DataError(
                f"{source} is neither a results.json of kgym eval nor a results file of lm-evaluation-harness"
            )
        source = source.parent
    elif not source.exists():
        raise ConfigError(
            f"{source} does not exist; name a run folder of kgym eval, or a results file of lm-evaluation-harness"
        )
    stored = read_results(source)
    about = {name: stored[name] for name in ABOUT} | {"run": str(source)}
    about |= ({"model": label} if label else {}) | ({"note": note} if note else {})
    return [result_row(EvalResult.from_json(stored), about)], []


def result_row(result: EvalResult, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a result; `about` has date, model, benchmark, engine, kgym_version, seed, run and note."""
    facts = result.facts
    k = str(result.samples)
    return {
        "schema_version": SCHEMA_VERSION,
        "date": about["date"],
        "model": about["model"],
        "benchmark": about["benchmark"],
        "env_id": facts["env_id"],
        "split": facts["split"],
        "accuracy": result.accuracy,
        "stderr": result.stderr,
        "interval_low": result.interval[0],
        "interval_high": result.interval[1],
        "n_problems": result.n_problems,
        "samples_per_problem": result.samples,
        "pass_at_k": _shown_passes(result.pass_at_k, result.samples),
        "pass_at_k_stderr": _shown_passes(result.pass_at_k_stderr, result.samples),
        "g_pass_at_k": _json(result.g_pass_at_k.get(k, {})),
        "g_pass_at_k_stderr": _json(result.g_pass_at_k_stderr.get(k, {})),
        "maj_at_k": result.maj_at_k.get(k),
        "maj_at_k_stderr": result.maj_at_k_stderr.get(k),
        "finished_accuracy": result.finished_accuracy,
        "accuracy_if_cut_wrong": result.truncated_bounds[0],
        "accuracy_if_cut_right": result.truncated_bounds[1],
        "truncated_frac": result.truncated_frac,
        "unscored_frac": result.unscored_frac,
        "no_answer_frac": result.no_answer_frac,
        "tokens_mean": result.tokens_mean,
        "tokens_median": result.tokens_median,
        "tokens_p95": result.tokens_p95,
        "tokens_per_solved": result.tokens_per_solved,
        "temperature": facts["temperature"],
        "top_p": facts["top_p"],
        "top_k": facts["top_k"],
        "max_tokens": facts["max_tokens"],
        "truncated_rule": facts["truncated"],
        "verifier": facts["verifier"],
        "data_sha256": facts["data_sha256"],
        "comparability": result.comparability,
        "engine": about["engine"],
        "kgym_version": about["kgym_version"],
        "seed": about["seed"],
        "run": about["run"],
        "note": about["note"],
    }


def _shown_passes(by_k: Mapping[str, float], samples: int) -> str:
    """Return the figures for the powers of two and for the number of samples, as JSON."""
    return _json({k: value for k, value in by_k.items() if _power_of_two(int(k)) or int(k) == samples})


def _json(figures: Mapping[str, float]) -> str:
    return json.dumps(
        {name: None if math.isnan(value) else round(value, 6) for name, value in figures.items()}
    )  # NaN is not JSON


def _power_of_two(k: int) -> bool:
    return k & (k - 1) == 0
