"""The components that a run on examples is made of, with the options in force."""

from collections.abc import Iterator
from typing import Any, TypeVar

from kgym.registry import registry
from kgym.supervised_config import ExamplesConfig, PreferencesConfig
from kgym.train.components import Chosen, common_options, in_force, with_options
from kgym.train.supervised.sources import spec_of

C = TypeVar("C", bound=ExamplesConfig)


def chosen(config: ExamplesConfig) -> Iterator[Chosen]:
    """Yield the components of a run. Raises UnknownName for one that does not exist, or for an option of an
    environment.
    """
    spec = spec_of(config)
    if spec is not None:
        yield Chosen("environment", spec.name, spec.own_settings(), "env")
        if isinstance(config, PreferencesConfig):
            yield Chosen("verifier", config.verifier.name or spec.own_verifier(), config.verifier.options, "verifier")
    for name, options in config.trackers.items():
        yield Chosen("tracker", name, options, registry().key("tracker", name))


def with_defaults(config: C) -> C:
    """Return the configuration with every option of its components in it, so that a later default changes nothing in
    this run.

    A second time changes nothing. Raises what `Registry.options` raises for an option that a component does not take.
    """
    found = {key: in_force(registry().options(kind, name, given)) for kind, name, given, key in chosen(config)}
    update: dict[str, Any] = {"trackers": {name: found[registry().key("tracker", name)] for name in config.trackers}}
    spec = spec_of(config)
    if spec is not None and config.env is not None:
        update["env"] = with_options(config.env, found["env"] | common_options(spec))
    if "verifier" in found and isinstance(config, PreferencesConfig):
        update["verifier"] = with_options(config.verifier, found["verifier"])
    return config.model_copy(update=update)
