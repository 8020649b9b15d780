"""Components of a run of any kind: which are chosen, their options in force, and their versions."""

import hashlib
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kgym.config import Component, plain
from kgym.envs.spec import OF_VERIFIER, EnvSpec
from kgym.options import Options, json_values
from kgym.registry import registry

C = TypeVar("C", bound=Component)


class Chosen(NamedTuple):
    """A component that a configuration names, or that an environment adds."""

    kind: str
    name: str
    options: Mapping[str, Any]
    key: str
    """Key of its options in the configuration."""


def with_options(component: C, options: Mapping[str, Any]) -> C:
    """Return a component with these options added."""
    return component.model_copy(update={"options": {**component.options, **options}})


def common_options(spec: EnvSpec) -> dict[str, Any]:
    """Return the options that every environment takes, except those that have their own keys in a run."""
    options = in_force(spec.common_settings())
    return {key: value for key, value in options.items() if key != "split" and key not in OF_VERIFIER}


def in_force(options: Options) -> dict[str, Any]:
    """Return options as plain JSON values, without those that JSON does not have."""
    values = json_values(options)
    return {key: value for key, value in values.items() if is_plain(value)}


def is_plain(value: Any) -> bool:
    """Whether a manifest can hold a value."""
    try:
        plain(value)
    except ValueError:
        return False
    return True


def own_fingerprints(chosen: Iterable[Chosen]) -> dict[str, str]:
    """Return the fingerprints of components' options, by key; those of a verifier are among the facts of its
    environment.
    """
    found: dict[str, str] = {}
    for kind, name, options, place in chosen:
        if kind not in ("verifier", "tracker"):
            own = registry().options(kind, name, options).fingerprints()
            found |= {f"{place}.{key}": value for key, value in own.items()}
    return found


def component_versions(chosen: Iterable[Chosen]) -> dict[str, str]:
    """Return the version of each component: {"algorithm mirror": "kgym 0.1.0"}; for a plain file, the sha256 of its
    source.
    """
    return {f"{kind} {name}": _version(kind, name) for kind, name, _, _ in chosen}


def _version(kind: str, name: str) -> str:
    record = registry().provider(kind, name)
    if record.distribution:
        return f"{record.distribution} {record.version}"
    file = inspect.getsourcefile(inspect.unwrap(registry().target(kind, name)))
    return f"{record.name} {hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]}" if file else record.name
