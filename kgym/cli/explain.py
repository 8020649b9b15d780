"""Every key of a run with its meaning, its value in force and the origin of the value, as `kgym train --show-config`
prints them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kgym.cli.plugins import describe_options
from kgym.keys import key_literal, keys_of, parse_override, read_toml, set_key, value_literal
from kgym.registry import registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kgym.runs.stored import TrainingConfig

OF_THE_RUN = {"split", "verifier", "verifier_options", "verifier_limits"}
"""Settings of every environment that have their own keys in a run."""


@dataclass(frozen=True)
class Entry:
    """A key of a run."""

    key: str
    value: Any
    source: str
    """`default`, `recipe of ALGORITHM`, a file, `--set`, an option of the command line, or `the run` that is
    resumed.
    """
    type: str
    constraints: str
    meaning: str


def layers(
    flags: Mapping[str, str],
    trackers: Sequence[str],
    settings: Sequence[str],
    file: Path | None,
    model: type[BaseModel],
) -> dict[str, str]:
    """Return the origin of each key that was set; `flags` are the options of the command line by the key that they
    stand for.
    """
    found = {} if file is None else dict.fromkeys(keys_of(read_toml(file), model), str(file))
    found |= flags
    found |= {f"trackers.{name}": "--tracker" for name in trackers}
    values: dict[str, Any] = {}
    for setting in settings:
        set_key(values, *parse_override(setting, model), model)
    return found | dict.fromkeys(keys_of(values, model), "--set")


def entries(config: "TrainingConfig", sources: Mapping[str, str]) -> list[Entry]:
    """Return every key of a configuration in force (`kgym.train.start.in_force`), in its order."""
    return [
        Entry(row["key"], value, _source(row["key"], sources), row["type"], row["constraints"], row["description"])
        for row, value in _rows(config)
    ]


def _source(key: str, sources: Mapping[str, str]) -> str:
    """Return the origin of a key: of itself, of a table above it that was set as a whole, or of a part of its value."""
    parts = key.split(".")
    above = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    below = [name for name in sources if name.startswith(f"{key}.")]
    return next((sources[name] for name in [*above, *below] if name in sources), "default")


def _rows(config: "TrainingConfig") -> "Iterable[tuple[dict[str, str], Any]]":
    from kgym.train.start import chosen

    plain = config.model_dump(mode="json")
    components = {key: (kind, name) for kind, name, _, key in chosen(config)}
    for row in describe_options(type(config), ""):
        key = row["key"]
        part = getattr(config, key)
        if key not in plain:  # `env` or `envs`: a run has only one of them
            continue
        if isinstance(part, BaseModel):
            yield from _fields(part, key, plain[key], components)
        elif isinstance(part, dict):
            for name, item in part.items():
                place = f"{key}.{name}"
                if isinstance(item, BaseModel):
                    yield from _fields(item, place, plain[key][name], components)
                else:
                    yield from _options(*components[place], place, plain[key][name])
        else:
            yield row, plain[key]


def _fields(
    part: BaseModel, key: str, values: Mapping[str, Any], components: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[dict[str, str], Any]]:
    """Yield the fields of a part of the configuration, then the options if it is a component, then the tables below."""
    nested = []
    component = components.get(key)
    for row in describe_options(type(part), key):
        field = row["key"].rpartition(".")[2]
        below = getattr(part, field)
        if isinstance(below, BaseModel):
            nested.append((below, row["key"], values[field]))
        elif component is None or field != "options":
            yield row, values[field]
    if component is not None:
        yield from _options(*component, key, values["options"])
    for below, name, inner in nested:
        yield from _fields(below, name, inner, components)


def _options(kind: str, name: str, key: str, values: Mapping[str, Any]) -> Iterator[tuple[dict[str, str], Any]]:
    """Yield the options of a component with their values; for an environment also the common options."""
    from kgym.envs.setup import EnvOptions

    models: list[type[BaseModel]] = [registry().options_model(kind, name)]
    if kind == "environment":
        models.append(EnvOptions)
    for model in models:
        for row in describe_options(model, key):
            field = row["key"].rpartition(".")[2]
            if model is EnvOptions and field in OF_THE_RUN:
                continue
            default = (
                None
                if (info := model.model_fields[field]).is_required()
                else info.get_default(call_default_factory=True)
            )
            yield row, values.get(field, default)


def as_toml(found: Sequence[Entry]) -> str:
    """Return a file for `--config`, with the meaning of each key above it and the origin of its value next to it."""
    lines: list[str] = []
    table = ""
    for entry in found:
        path, _, name = entry.key.rpartition(".")
        if path != table:
            table = path  # a section that is not set has none: it is a comment between the others
            lines += ["", f"[{'.'.join(map(key_literal, path.split('.')))}]"] if path else [""]
        lines.append(f"# {entry.meaning}" if entry.meaning else "#")
        lines[-1] = lines[-1] if lines[-1] != "#" else f"# {entry.type}"
        value = value_literal(entry.value)
        lines.append(
            f"# {key_literal(name)} is not set" if value is None else f"{key_literal(name)} = {value}  # {entry.source}"
        )
    return "\n".join(lines).strip() + "\n"


def as_facts(found: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the entries for JSON."""
    return [asdict(entry) for entry in found]
