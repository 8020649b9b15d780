"""Which scores may be in one table: those whose facts agree, down to the prompt and the token budget.

The hash is the sha256 of the facts as canonical JSON (sorted keys, no spaces, UTF-8). The facts do not include the
model, the seed, the number of samples and the engine: these say who was asked and how often, not what was asked.
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
    """Return what a score depends on in addition to the model: the facts of the environment, the sampling, the number
    of problems, and, if they were given, `loop_tokens` and the variables of the chat template.

    One row: {"env_id": "kgym/aime-v1", "split": "validation", ..., "max_tokens": 512, "truncated": "zero",
    "n_problems": 500, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "stop": []}.
    """
    drawn = asdict(sampling)
    drawn |= {"temperature": float(sampling.temperature), "top_p": float(sampling.top_p), "stop": sorted(sampling.stop)}
    if sampling.loop_tokens is None:
        del drawn["loop_tokens"]  # earlier hashes were computed without this option
    return dict(env_facts) | {"n_problems": n_problems} | drawn | ({"template": dict(template)} if template else {})


def comparability_hash(facts: Mapping[str, Any]) -> str:
    """Return 64 hex digits.

    >>> comparability_hash({"split": "train", "top_k": 0}) == comparability_hash({"top_k": 0, "split": "train"})
    True
    """
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return in words in what two sets of facts differ; [] if they agree.

    >>> differences({"max_tokens": 512, "split": "2024"}, {"max_tokens": 1024, "split": "2024"})
    ['max_tokens is 512 in one and 1024 in the other']
    """
    first, second = flat(one), flat(other)
    keys = sorted(first.keys() | second.keys())
    return [
        f"{key} is {_say(first.get(key))} in one and {_say(second.get(key))} in the other"
        for key in keys
        if first.get(key) != second.get(key)
    ]


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Return by key what has changed since facts were stored, in words. A key that only one side has is not compared:
    an older version stored fewer facts.

    >>> changes({"env": {"data_sha256": "8d1f"}}, {"env": {"data_sha256": "77aa", "added": 1}})
    {'env.data_sha256': 'env.data_sha256 was 8d1f and is 77aa'}

    The value of an option is compared whole, since the keys of a table in it are the user's.

    >>> list(changes({"engine_options": {"template": {}}}, {"engine_options": {"template": {"thinking": False}}}))
    ['engine_options.template']
    """
    first, second = flat(then, whole=True), flat(now, whole=True)
    known = [key for key in first if key in second and first[key] != "" and second[key] != ""]
    return {
        key: f"{key} was {_say(first[key])} and is {_say(second[key])}" for key in known if first[key] != second[key]
    }


def flat(facts: Mapping[str, Any], prefix: str = "", *, whole: bool = False) -> dict[str, Any]:
    """Return nested facts under dotted keys; with `whole`, a table that is the value of an option stays one.

    >>> flat({"verifier": "judge", "verifier_options": {"samples": 3}})
    {'verifier': 'judge', 'verifier_options.samples': 3}
    """
    found: dict[str, Any] = {}
    for key, value in facts.items():
        nested = isinstance(value, Mapping) and value and not (whole and prefix.endswith("options."))
        found |= flat(value, f"{prefix}{key}.", whole=whole) if nested else {f"{prefix}{key}": value}
    return found


def _say(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:SHORT]}..."
