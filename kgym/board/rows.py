"""From the results of an evaluation to its row on a board."""

import json
from collections.abc import Mapping
from typing import Any

from kgym.board.schema import SCHEMA_VERSION
from kgym.score.results import EvalResult


def result_row(result: EvalResult, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a result; `about` has date, model, benchmark, engine, kgym_version, seed, run and note."""
    facts = result.facts
    shown = {k: round(value, 6) for k, value in result.pass_at_k.items() if _power_of_two(int(k)) or int(k) == result.samples}
    return {
        "schema_version": SCHEMA_VERSION,
        "date": about["date"],
        "model": about["model"],
        "benchmark": about["benchmark"],
        "env_id": facts["env_id"],
        "split": facts["split"],
        "accuracy": result.accuracy,
        "stderr": result.stderr,
        "n_problems": result.n_problems,
        "samples_per_problem": result.samples,
        "pass_at_k": json.dumps(shown),
        "truncated_frac": result.truncated_frac,
        "unscored_frac": result.unscored_frac,
        "no_answer_frac": result.no_answer_frac,
        "tokens_mean": result.tokens_mean,
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


def _power_of_two(k: int) -> bool:
    return k & (k - 1) == 0
