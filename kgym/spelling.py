"""Keys of a configuration that older versions named differently, and keys that are refused."""

from collections.abc import Mapping
from typing import Any

from kgym.errors import ConfigError


def older_spelling(values: Any) -> Any:
    """Return a configuration in the present form of manifests: values under older keys are moved."""
    return _moved(_without_cuts(_older_budgets(older_verifier(values))))


def older_verifier(values: Any) -> Any:
    """Move `env.verifier_options` to `verifier`."""
    env = values.get("env") if isinstance(values, Mapping) else None
    if not isinstance(env, Mapping):
        return values
    env = dict(env)
    found = env.pop("verifier_options", None)
    if isinstance(env.get("options"), Mapping):
        env["options"] = dict(env["options"])
        found = env["options"].pop("verifier_options", found)
    verifier = values.get("verifier") or {}
    verifier = {"name": verifier} if isinstance(verifier, str) else verifier
    if not isinstance(found, Mapping) or not isinstance(verifier, Mapping):
        return values
    return {**values, "env": env, "verifier": {**verifier, "options": {**found, **verifier.get("options", {})}}}


def _older_budgets(values: Any) -> Any:
    """Move `rollout.max_tokens`, `rollout.truncated` and the option `mask_truncated` of algorithms to `env`.

    `rollout.max_tokens` was a number; a list of stages stays where it is.
    """
    if not isinstance(values, Mapping) or not isinstance(values.get("rollout"), Mapping):
        return values
    rollout, env, algo = dict(values["rollout"]), values.get("env") or {}, values.get("algo")
    older = [
        key for key in ("max_tokens", "truncated") if key in rollout and not isinstance(rollout[key], list | tuple)
    ]
    if not older:
        return values
    moved = {key: rollout.pop(key) for key in older}
    if isinstance(algo, Mapping) and isinstance(algo.get("options"), Mapping) and "mask_truncated" in algo["options"]:
        options = dict(algo["options"])
        moved |= {"truncated": "mask"} if options.pop("mask_truncated") else {}
        algo = {**algo, "options": options}
    env = {"name": env} if isinstance(env, str) else dict(env)
    given = {key: value for key, value in moved.items() if value is not None}  # also `zero`: a recipe would fill it in
    env["options"] = {**(env.get("options") or {}), **given}
    return {**values, "env": env, "rollout": rollout} | ({} if algo is None else {"algo": algo})


def refuse_plain_budget(values: Mapping[str, Any]) -> None:
    """Raise ConfigError for a number as `rollout.max_tokens`, which only manifests of older versions may have."""
    rollout = values.get("rollout")
    if isinstance(rollout, Mapping) and isinstance(budget := rollout.get("max_tokens"), int):
        raise ConfigError(
            f"rollout.max_tokens={budget}: must be a list of [steps, tokens], such as [[0, 128], [0.5, 256]]; "
            f"one budget for the whole run is env.max_tokens={budget}"
        )


def _without_cuts(values: Any) -> Any:
    """Leave `rollout.top_p` and `rollout.top_k` out where they are off."""
    if not isinstance(values, Mapping) or not isinstance(values.get("rollout"), Mapping):
        return values
    off = {"top_p": 1.0, "top_k": 0}
    rollout = {key: value for key, value in values["rollout"].items() if not (key in off and value == off[key])}
    return {**values, "rollout": rollout}


def refuse_cut_sampling(values: Any) -> None:
    """Raise ValueError for a run that samples from a part of the distribution, since its gradient would be biased."""
    rollout = values.get("rollout") if isinstance(values, Mapping) else None
    for key in ("top_p", "top_k"):
        if isinstance(rollout, Mapping) and key in rollout:
            raise ValueError(
                f"rollout.{key}={rollout[key]}: the engine would sample from a part of the distribution while the "
                f"whole one is trained, so every gradient would be biased; leave it out (for validation: eval.{key})"
            )


MOVED = {
    "train.max_unscored_frac": "rollout.max_unscored_frac",
    "train.eval_every": "eval.every",
    "train.eval_split": "eval.split",
    "train.eval_problems": "eval.problems",
    "train.eval_samples": "eval.samples",
    "train.benches": "eval.benches",
}
"""Keys of older versions with their present names, where the value is the same."""


def _moved(values: Any) -> Any:
    """Give the values of moved keys their new names."""
    if not isinstance(values, Mapping):
        return values
    tables = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    for old, new in MOVED.items():
        (section, key), (now, name) = old.split("."), new.split(".")
        if (
            isinstance(tables.get(section), dict)
            and key in tables[section]
            and isinstance(tables.setdefault(now, {}), dict)
        ):
            tables[now].setdefault(name, tables[section].pop(key))
    return tables
