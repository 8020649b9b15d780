"""The base of every component's options: a pydantic model whose field docstrings are the help text."""

import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from kgym.errors import ConfigError, UnknownName

M = TypeVar("M", bound=BaseModel)


class Options(BaseModel):
    """Options of a component: frozen, unknown keys refused, each field explained by the string under it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)


def validated(model: type[M], values: Mapping[str, Any], key: str = "") -> M:
    """Return `model` made of `values`; `key` is where they stand in the configuration (`algo`), for the message.

    Raises UnknownName with the nearest key, or ConfigError in one line: `algo.tau=-1: must be greater than 0`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    unknown = [item for item in errors if item["type"] == "extra_forbidden"]
    item = (unknown or errors)[0]  # one line: the first is enough to go on, and an unknown key explains the others
    path = [str(part) for part in item["loc"]]
    where = ".".join([key, *path] if key else path)
    if unknown:
        prefix = where.removesuffix(path[-1])
        raise UnknownName.near("key", where, [f"{prefix}{name}" for name in _fields(model, path[:-1])])
    if item["type"] == "missing":
        raise ConfigError(f"{where} is missing")
    text = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if item["type"] in ("model_type", "dict_type", "mapping_type"):
        text = "must be a table of keys"
    raise ConfigError(f"{where}={reprlib.repr(item['input'])}: {text}")


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the field names of the model that stands at `path` inside `model`."""
    for part in path:
        field = model.model_fields.get(part)
        inner = [] if field is None else [field.annotation, *get_args(field.annotation)]
        models = [item for item in inner if isinstance(item, type) and issubclass(item, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)
