"""The settings of a run that belong to its algorithm (`AlgorithmBase.recipe`), under those that the user has made."""

from collections.abc import Callable, Mapping
from typing import Any

from kgym.blame import blaming
from kgym.config import RunConfig, set_key
from kgym.envs.setup import make_task, split_settings
from kgym.options import validated
from kgym.registry import registry


def with_recipe(config: RunConfig) -> RunConfig:
    """Return the configuration with the algorithm's recipe in the place of defaults; a second time changes nothing.

    Raises UnknownName for an algorithm or environment that does not exist.
    """
    target = registry().target("algorithm", config.algo.name)
    recipe: Callable[[int], Mapping[str, Any]] | None = getattr(target, "recipe", None)
    if recipe is None:
        return config
    answer_tokens = _answer_tokens(config)
    with blaming("algorithm", target):
        settings = recipe(answer_tokens)
    if not settings:
        return config
    values: dict[str, Any] = {}
    for key, value in settings.items():
        set_key(values, key, value)
    return validated(RunConfig, _over(values, config.model_dump(mode="json", exclude_unset=True)))


def _answer_tokens(config: RunConfig) -> int:
    """Return the token budget of an answer: the run's, or the environment's own."""
    if config.rollout.max_tokens is not None:
        return config.rollout.max_tokens
    _, own = split_settings(config.env.name, config.env.options)
    return make_task(config.env.name, own).max_tokens


def _over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested table over another."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = _over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
