"""The configuration of a run: defaults, then a TOML file, then `--set key=value`.

    seed = 1

    [algo]                       # all keys except `name` are options of the component, checked when it is made
    name = "mirror"
    tau = 0.1

    [shapers.length_penalty]     # shapers and trackers by name, in the order in which they are applied
    weight = 0.1

`--set algo.tau=0.1` and `--set shapers.length_penalty.weight=0.1` set the same keys. An unknown key is refused, with
the nearest known one.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel

from kgym.config import Component, RunConfig
from kgym.errors import ConfigError, UnknownName
from kgym.options import validated
from kgym.spelling import MOVED as RENAMED
from kgym.spelling import older_verifier, refuse_plain_budget

C = TypeVar("C", bound=BaseModel)


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the configuration of `kgym train`; see `load`."""
    return load(RunConfig, path, overrides, moved=MOVED)


def load(
    model: type[C], path: Path | None = None, overrides: Sequence[str] = (), *, moved: Mapping[str, str] | None = None
) -> C:
    """Return the configuration of a TOML file (without one, the defaults), changed by `key=value` overrides in order.

    `model` is the configuration of a command. `moved` maps the keys of its older versions to their present names.

    Raises ConfigError, naming file or key, for text that cannot be read, and UnknownName for a key that does not exist.
    """
    values = {} if path is None else read_toml(path)
    for override in overrides:
        key, value = parse_override(override, model)
        set_key(values, key, value, model)
    if model is RunConfig:
        refuse_plain_budget(values)
    for key in keys_of(values, model):
        if key in (moved or {}):
            raise UnknownName(f"no key named {key!r}; that is {(moved or {})[key]!r} here")
    try:
        return validated(model, values)
    except UnknownName as error:
        for key in keys_of(values, model):
            if str(error).startswith(f"no key named {key!r};") and (
                hint := named_elsewhere(key.rpartition(".")[2], model)
            ):
                raise UnknownName(f"no key named {key!r}; {hint}") from None
        raise


MOVED = {
    "rollout.truncated": "env.truncated",
    "algo.mask_truncated": "env.truncated=mask",
    **RENAMED,
}
"""Keys of older versions, with their present names."""

NAMED_ELSEWHERE = {
    "batch": "rollout.problems_per_step", "batch_size": "rollout.problems_per_step",
    "train_batch_size": "rollout.problems_per_step", "per_device_train_batch_size": "rollout.problems_per_step",
    "num_generations": "rollout.group_size", "n": "rollout.group_size",
    "learning_rate": "train.lr", "max_steps": "train.steps", "epochs": "train.steps", "num_train_epochs": "train.steps",
    "gradient_accumulation_steps": "train.microbatch_tokens", "micro_batch_size": "train.microbatch_tokens",
    "max_completion_length": "env.max_tokens", "max_response_length": "env.max_tokens",
    "max_new_tokens": "env.max_tokens",
    "warmup": "train.warmup_steps", "save_steps": "train.save_every", "eval_steps": "eval.every",
    "bf16": "train.dtype", "fp16": "train.dtype", "precision": "train.dtype", "mixed_precision": "train.dtype",
    "torch_dtype": "train.master_dtype", "optim": "train.optimizer",
    "lr_scheduler_type": "train.schedule", "lr_scheduler": "train.schedule", "lr_decay": "train.schedule",
}  # fmt: skip
"""Names of other trainers, with our keys."""


OWN_BATCHES = ("sft.batch_size", "dpo.batch_size", "rm.batch_size")
"""The keys that correspond to `rollout.problems_per_step` in runs on examples."""


def named_elsewhere(name: str, model: type[BaseModel] = RunConfig) -> str:
    """Return a hint for a name that other trainers use; "" if it is not one of them, or if the configuration lacks the
    key.

    >>> named_elsewhere("learning_rate"), named_elsewhere("tau")
    ("that is 'train.lr' here", '')
    """
    name = name.replace("-", "_")
    if "lora" in name or name == "peft":
        return "that is 'train.lora.rank' here, with train.lora.alpha and train.lora.targets"
    key = NAMED_ELSEWHERE.get(name, "")
    keys = (key, *OWN_BATCHES) if key == "rollout.problems_per_step" else (key,)
    found = next((key for key in keys if key and _annotation(key, model) is not None), None)
    return f"that is {found!r} here" if found else ""


def keys_of(values: Mapping[str, Any], model: type[BaseModel] = RunConfig) -> list[str]:
    """Return the dotted keys that nested tables set, with options beside the names of their components.

    >>> keys_of({"algo": "grpo", "env": {"options": {"difficulty": 2}}, "trackers": {"wandb": {}}})
    ['algo.name', 'env.difficulty', 'trackers.wandb']
    """
    return [leaf for key, value in older_verifier(values).items() for leaf in _leaves(key, value, model)]


def _leaves(key: str, value: Any, model: type[BaseModel]) -> list[str]:
    if _is_component(key, model):
        value = {"name": value} if isinstance(value, str) else value
        options = value.get("options") if isinstance(value, Mapping) else None
        if isinstance(options, Mapping):
            value = {**{name: item for name, item in value.items() if name != "options"}, **options}
    if not isinstance(value, Mapping) or not value:
        return [key]
    return [leaf for name, item in value.items() for leaf in _leaves(f"{key}.{name}", item, model)]


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a file. Raises ConfigError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path} is not TOML: {error}") from None


# --- overrides


def parse_override(text: str, model: type[BaseModel] = RunConfig) -> tuple[str, Any]:
    """Split `key=value`. The value is read as TOML if possible, and is otherwise the unchanged text. The value of a key
    that takes text stays text.

    Raises ConfigError if there is no key.

    >>> parse_override("algo.tau=0.1"), parse_override("env.split=2024"), parse_override("shapers.brevity={}")
    (('algo.tau', 0.1), ('env.split', '2024'), ('shapers.brevity', {}))
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {text!r}: write it as key=value, for example train.lr=1e-5")
    parsed = _toml_value(value)
    as_text = _wants_text(key, model) or (_is_component(key, model) and not isinstance(parsed, dict))
    return key, value if as_text and not isinstance(parsed, str) else parsed


def set_key(values: dict[str, Any], key: str, value: Any, model: type[BaseModel] = RunConfig) -> None:
    """Set a dotted key in nested tables, which are made as needed.

    Setting an existing table to an empty one changes nothing. Setting the name of a component (`algo=grpo`) keeps the
    options that are set.
    """
    *tables, last = key.split(".")
    for depth, name in enumerate(tables, 1):
        inner = values.setdefault(name, {})
        if isinstance(inner, str) and _is_component(".".join(tables[:depth]), model):
            inner = values[name] = {"name": inner}  # algo = "mirror" is short for its name
        if not isinstance(inner, dict):
            raise ConfigError(f"{key}: {'.'.join(tables[:depth])} is {inner!r} and has no keys")
        values = inner
    if isinstance(value, str) and isinstance(values.get(last), dict) and _is_component(key, model):
        values[last]["name"] = value
    elif value != {} or not isinstance(values.get(last), dict):
        values[last] = value


def _toml_value(text: str) -> Any:
    """Return `text` read as a TOML value; the text itself if it is not TOML, or is a date, which no key takes."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = document.get("value")
    return value if len(document) == 1 and isinstance(value, bool | int | float | str | list | dict) else text


def _wants_text(key: str, model: type[BaseModel]) -> bool:
    """Whether a key of the configuration is a text, so that `--env 007` is not a number."""
    found = _annotation(key, model)
    return found is str or (str in get_args(found) and type(None) in get_args(found))


def _is_component(key: str, model: type[BaseModel]) -> bool:
    """Whether a key of the configuration is a component with a name and options: `algo`, `envs.words`,
    `envs.words.sampler`.
    """
    return bool(_models(_annotation(key, model), Component))


def _annotation(key: str, model: type[BaseModel]) -> Any:
    """Return the type of a key of the configuration; None if it has no such key."""
    found: Any = model
    for part in key.split("."):
        if get_origin(found) is dict:
            found = get_args(found)[1]
            continue
        models = _models(found, BaseModel)
        field = models[0].model_fields.get(part) if models else None
        if field is None:
            return None
        found = field.annotation
    return found


def _models(annotation: Any, base: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the parts of a type, or of a choice such as `SamplerConfig | None`, that are subclasses of `base`."""
    choice = (annotation,) if get_origin(annotation) is dict else (annotation, *get_args(annotation))
    return [item for item in choice if isinstance(item, type) and issubclass(item, base)]


# --- what was resolved


def to_json(config: BaseModel) -> str:
    """Return the whole configuration as JSON; `model_validate_json` of its class reads it."""
    return json.dumps(config.model_dump(mode="json"), indent=2)


def to_toml(config: BaseModel) -> str:
    """Return the whole configuration as TOML, with options beside the names of their components; `load` reads it."""
    return "\n".join(_table_lines(_beside(config.model_dump(mode="json"), "", type(config)), ())).strip() + "\n"


def _beside(values: Mapping[str, Any], path: str, model: type[BaseModel]) -> dict[str, Any]:
    """Return nested tables with the options of components beside their names, where they do not hide a key."""
    found = {
        key: _beside(value, f"{path}{key}.", model) if isinstance(value, Mapping) else value
        for key, value in values.items()
    }
    if path and _is_component(path[:-1], model) and not found["options"].keys() & found.keys():
        return {**{key: item for key, item in found.items() if key != "options"}, **found["options"]}
    return found


def config_hash(config: BaseModel) -> str:
    """Return 12 hexadecimal digits of the sha256 of the configuration; equal configurations have the same hash, in any
    spelling.
    """
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _table_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """Return the lines of a table and the tables below it; None, which TOML does not have, is left out."""
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    plain = {key: value for key, value in table.items() if key not in tables and value is not None}
    lines = [f"{key_literal(key)} = {_literal(value)}" for key, value in plain.items()]
    if path and (lines or not tables):
        lines = ["", f"[{'.'.join(map(key_literal, path))}]", *lines]
    for key, value in tables.items():
        lines += _table_lines(value, (*path, key))
    return lines


def value_literal(value: Any) -> str | None:
    """Return a value as TOML writes it; None for None, which TOML does not have."""
    return None if value is None else _literal(value)


def key_literal(key: str) -> str:
    """Return a key as TOML writes it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _literal(key)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(item) for item in value if item is not None)}]"
    if isinstance(value, Mapping):
        items = [f"{key_literal(key)} = {_literal(item)}" for key, item in value.items() if item is not None]
        return f"{{{', '.join(items)}}}"
    return str(value).lower() if isinstance(value, bool) else repr(value)
