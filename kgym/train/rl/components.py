"""The components that a run of `kgym train` is made of, with the options in force."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from kgym.config import RunConfig
from kgym.envs.mixture import Member, members, naming
from kgym.registry import registry
from kgym.train.components import Chosen, common_options, in_force, with_options


def chosen(config: RunConfig) -> Iterator[Chosen]:
    """Yield the components of a run. Raises UnknownName for one that does not exist, or for an option of an
    environment.
    """
    for member in members(config):
        above = above_of(member)
        with member.named():
            own, by_itself = member.spec.own_settings(), member.spec.own_verifier()
        yield Chosen("environment", member.spec.name, own, member.key)
        yield Chosen("verifier", member.verifier.name or by_itself, member.verifier.options, f"{above}verifier")
        if member.audit is not None:
            yield Chosen("verifier", member.audit.name or by_itself, member.audit.options, f"{above}audit")
        yield Chosen("sampler", member.sampler.name, member.sampler.options, f"{above}sampler")
    yield Chosen("engine", config.engine.name, config.engine.options, "engine")
    yield Chosen("algorithm", config.algo.name, config.algo.options, "algo")
    for kind, named in (("shaper", config.shapers), ("tracker", config.trackers)):
        for name, options in named.items():
            yield Chosen(kind, name, options, registry().key(kind, name))


def above_of(member: Member) -> str:
    """Return what is before the keys of the verifier and the sampler of an environment."""
    return f"{member.key}." if member.label else ""


def with_defaults(config: RunConfig) -> RunConfig:
    """Return the configuration with every option of its components in it, so that a later default changes nothing in
    this run.

    A second time changes nothing. Raises what `Registry.options` raises for an option that a component does not take.
    """
    found: dict[str, dict[str, Any]] = {}
    named: dict[str, dict[str, Any]] = {"shapers": {}, "trackers": {}}
    for kind, name, given, key in chosen(config):
        with naming(key, kind) if kind == "verifier" else nullcontext():
            options = in_force(registry().options(kind, name, given))
        field, _, item = key.partition(".")
        if field in named:
            named[field][item] = options
        else:
            found[key] = options
    update: dict[str, Any] = {
        **named,
        "engine": with_options(config.engine, found["engine"]),
        "algo": with_options(config.algo, found["algo"]),
    }
    envs = {}
    for member in members(config):
        with member.named():
            options = found[member.key] | common_options(member.spec)
        audit = {} if member.audit is None else {"audit": with_options(member.audit, found[f"{above_of(member)}audit"])}
        if not member.label:
            update["env"] = with_options(config.env, options)
            update |= {
                "verifier": with_options(config.verifier, found["verifier"]),
                "sampler": with_options(config.sampler, found["sampler"]),
                **audit,
            }
            continue
        own = {
            part: with_options(getattr(member, part), found[f"{member.key}.{part}"]) for part in ("verifier", "sampler")
        }
        envs[member.label] = with_options(config.envs[member.label], options).model_copy(update=own | audit)
    return config.model_copy(update=update | ({"envs": envs} if envs else {}))
