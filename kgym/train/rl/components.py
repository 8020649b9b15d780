"""The components that a run is made of, with the options in force."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from kgym.config import Component, RunConfig, plain
from kgym.envs.mixture import members
from kgym.envs.spec import OF_VERIFIER, EnvSpec
from kgym.options import Options
from kgym.registry import registry

C = TypeVar("C", bound=Component)


class Chosen(NamedTuple):
    """A component that a configuration names, or that an environment brings."""

    kind: str
    name: str
    options: Mapping[str, Any]
    key: str
    """Where its options stand in the configuration."""


def chosen(config: RunConfig) -> Iterator[Chosen]:
    """Yield the components of a run. Raises UnknownName for one that does not exist, or for an option of an environment."""
    for member in members(config):
        above = f"{member.key}." if member.label else ""
        with member.named():
            own, verifier = member.spec.own_settings(), member.verifier.name or member.spec.task().verifier
        yield Chosen("environment", member.spec.name, own, member.key)
        yield Chosen("verifier", verifier, member.verifier.options, f"{above}verifier")
        yield Chosen("sampler", member.sampler.name, member.sampler.options, f"{above}sampler")
    yield Chosen("engine", config.engine.name, config.engine.options, "engine")
    yield Chosen("algorithm", config.algo.name, config.algo.options, "algo")
    for kind, named in (("shaper", config.shapers), ("tracker", config.trackers)):
        for name, options in named.items():
            yield Chosen(kind, name, options, registry().key(kind, name))


def with_defaults(config: RunConfig) -> RunConfig:
    """Return the configuration with every option of its components in it, so that a later default changes nothing in this run.

    A second time changes nothing. Raises what `Registry.options` raises for an option that a component does not take.
    """
    found: dict[str, dict[str, Any]] = {}
    named: dict[str, dict[str, Any]] = {"shapers": {}, "trackers": {}}
    for kind, name, given, key in chosen(config):
        options = in_force(registry().options(kind, name, given))
        field, _, item = key.partition(".")
        if field in named:
            named[field][item] = options
        else:
            found[key] = options
    update: dict[str, Any] = {**named, "engine": _with(config.engine, found["engine"]), "algo": _with(config.algo, found["algo"])}
    envs = {}
    for member in members(config):
        with member.named():
            options = found[member.key] | _common(member.spec)
        if not member.label:
            update["env"] = _with(config.env, options)
            update |= {"verifier": _with(config.verifier, found["verifier"]), "sampler": _with(config.sampler, found["sampler"])}
            continue
        own = {part: _with(getattr(member, part), found[f"{member.key}.{part}"]) for part in ("verifier", "sampler")}
        envs[member.label] = _with(config.envs[member.label], options).model_copy(update=own)
    return config.model_copy(update=update | ({"envs": envs} if envs else {}))


def _with(component: C, options: Mapping[str, Any]) -> C:
    return component.model_copy(update={"options": {**component.options, **options}})


def _common(spec: EnvSpec) -> dict[str, Any]:
    """Return the options that every environment takes, but for those that have keys of their own in a run."""
    options = in_force(spec.common_settings())
    return {key: value for key, value in options.items() if key != "split" and key not in OF_VERIFIER}


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
