"""The settings of a run that belong to its algorithm (`AlgorithmBase.recipe`); the user's settings replace them.

A component that the user names has the user's options alone: the options of a recipe are only for the component that
the recipe names.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kgym.blame import blaming
from kgym.config import RunConfig
from kgym.envs.mixture import Member, members
from kgym.keys import set_key
from kgym.options import validated
from kgym.train.warmups import create_for_run


def with_recipe(config: RunConfig) -> RunConfig:
    """Return the configuration with the algorithm's recipe instead of defaults; a second time changes nothing.

    Raises UnknownName for an algorithm, an option of it or an environment that does not exist.
    """
    values: dict[str, Any] = {}
    for key, value in recipe_of(config).items():
        set_key(values, key, value)
    return validated(RunConfig, _over(values, config.model_dump(mode="json", exclude_unset=True))) if values else config


def recipe_of(config: RunConfig) -> Mapping[str, Any]:
    """Return the settings that belong to the algorithm, by key: {"shapers.overlong.weight": 0.5}. Raises as
    `with_recipe` does.
    """
    algorithm = create_for_run("algorithm", config.algo.name, config.algo.options, config.train.steps)
    recipe: Callable[[int], Mapping[str, Any]] | None = getattr(algorithm, "recipe", None)
    if recipe is None:
        return {}
    environments = members(config)
    budgets = []
    for member in environments:
        with member.named():
            budgets.append(member.spec.max_tokens)
    with blaming("algorithm", algorithm):
        settings = recipe(max(budgets))
    return {key: value for name, value in settings.items() for key in _keys(name, environments)}


def _keys(name: str, environments: Sequence[Member]) -> list[str]:
    """Return the keys that a key of a recipe means: one of `env` stands for each environment."""
    section, dot, rest = name.partition(".")
    return [f"{member.key}{dot}{rest}" for member in environments] if section == "env" else [name]


def _over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested table over another; a component of another name replaces the one below it."""
    if "name" in base and "name" in top and base["name"] != top["name"]:
        return dict(top)
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = _over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
