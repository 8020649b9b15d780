"""The components that a run is made of, with the options in force."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kgym.config import Component, RunConfig, plain
from kgym.envs.spec import OF_VERIFIER, EnvSpec
from kgym.options import Options
from kgym.registry import registry


class Chosen(NamedTuple):
    """A component that a configuration names, or that the environment brings."""

    kind: str
    name: str
    options: Mapping[str, Any]


def chosen(config: RunConfig) -> Iterator[Chosen]:
    """Yield the components of a run. Raises UnknownName for one that does not exist, or for an option of the environment."""
    spec = EnvSpec.of_config(config.env, config.verifier)
    yield Chosen("environment", spec.name, spec.own_settings())
    yield Chosen("verifier", config.verifier.name or spec.task().verifier, config.verifier.options)
    yield Chosen("engine", config.engine.name, config.engine.options)
    yield Chosen("algorithm", config.algo.name, config.algo.options)
    yield Chosen("sampler", config.sampler.name, config.sampler.options)
    for kind, named in (("shaper", config.shapers), ("tracker", config.trackers)):
        for name, options in named.items():
            yield Chosen(kind, name, options)


def with_defaults(config: RunConfig) -> RunConfig:
    """Return the configuration with every option of its components in it, so that a later default changes nothing in this run.

    A second time changes nothing. Raises what `Registry.options` raises for an option that a component does not take.
    """
    update: dict[str, Any] = {"shapers": {}, "trackers": {}}
    for kind, name, given in chosen(config):
        options = in_force(registry().options(kind, name, given)) | (_common(config) if kind == "environment" else {})
        field, _, item = registry().key(kind, name).partition(".")
        if item:
            update[field][item] = options
        else:
            component: Component = getattr(config, field)
            update[field] = component.model_copy(update={"options": {**component.options, **options}})
    return config.model_copy(update=update)


def _common(config: RunConfig) -> dict[str, Any]:
    """Return the options that every environment takes, but for those that have keys of their own in a run."""
    common = EnvSpec.of_config(config.env, config.verifier).common_settings()
    return {key: value for key, value in in_force(common).items() if key != "split" and key not in OF_VERIFIER}


def in_force(options: Options) -> dict[str, Any]:
    """Return options as plain JSON values, without those that JSON does not have."""
    values = options.model_dump(mode="json")
    return {key: value for key, value in values.items() if is_plain(value)}


def is_plain(value: Any) -> bool:
    """Whether a manifest can hold a value."""
    try:
        plain(value)
    except ValueError:
        return False
    return True
