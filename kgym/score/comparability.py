"""Which scores may stand in one table: those whose facts agree, down to the prompt and the token budget.

The hash is the sha256 of the facts as canonical JSON (sorted keys, no spaces, UTF-8). The model, the seed, the number of samples and the
engine are not among them: they say who was asked and how often, not what was asked.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kgym.types import Sampling

SHORT = 12
"""Hex digits of the hash in tables."""


def comparability_facts(
    env_facts: Mapping[str, Any], *, sampling: Sampling, n_problems: int, template: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a score depends on besides the model: the facts of the environment, the sampling, how many of its problems, and the
    variables of the chat template where any were given.

    One row: {"env_id": "kgym/aime-v0", "split": "validation", ..., "max_tokens": 512, "truncated": "zero", "n_problems": 500,
    "temperature": 1.0, "top_p": 1.0, "top_k": 0, "stop": []}.
    """
    drawn = asdict(sampling)
    drawn |= {"temperature": float(sampling.temperature), "top_p": float(sampling.top_p), "stop": sorted(sampling.stop)}
    return dict(env_facts) | {"n_problems": n_problems} | drawn | ({"template": dict(template)} if template else {})


def comparability_hash(facts: Mapping[str, Any]) -> str:
    """Return 64 hex digits.

    >>> comparability_hash({"split": "train", "top_k": 0}) == comparability_hash({"top_k": 0, "split": "train"})
    True
    """
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Say in words in what two sets of facts differ; [] if they agree.

    >>> differences({"max_tokens": 512, "split": "2024"}, {"max_tokens": 1024, "split": "2024"})
    ['max_tokens is 512 in one and 1024 in the other']
    """
    keys = sorted(one.keys() | other.keys())
    return [
        f"{key} is {_say(one.get(key))} in one and {_say(other.get(key))} in the other" for key in keys if one.get(key) != other.get(key)
    ]


def _say(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:SHORT]}..."
