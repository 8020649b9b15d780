"""The base of every component's options: a pydantic model whose field docstrings are the help text."""

import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kgym.errors import ConfigError, UnknownName
from kgym.stages import steps_of

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

TABLES = ("model_type", "dict_type", "mapping_type", "dataclass_type")
"""The types of pydantic's errors for a value that is not a table."""


class Options(BaseModel):
    """Options of a component. They are frozen, refuse unknown keys, and each field is explained by the string under
    it.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        populate_by_name=True,  # a stored configuration has the names of the fields, also of those with an alias
    )

    operational: ClassVar[frozenset[str]] = frozenset()
    """Names of options that change how the work is done and not its results (timeouts, retries). An evaluation may be
    resumed with other values of them.
    """

    def fingerprints(self) -> dict[str, str]:
        """Return a fingerprint of each external thing that an option names and the numbers depend on, by option; {} by
        default.

        Resuming a run or an evaluation is refused if a fingerprint has changed. For a model's folder use
        `kgym.models.names.model_fingerprint`.
        """
        return {}


def json_values(options: BaseModel) -> dict[str, Any]:
    """Return options as JSON values. Sets are sorted: their order differs between processes, and with it a hash."""
    values = options.model_dump(mode="json")
    sets = [name for name, value in options if isinstance(value, set | frozenset)]
    return values | {name: sorted(values[name], key=repr) for name in sets}


def _whole_from_one_on(value: int | float) -> int | float:
    if value == int(value):
        return int(value)
    if value < 1:
        return value
    raise ValueError("must be a whole number of steps, or a share of the run below 1")


_OF_RUN = "steps of a run"

RunSteps = Annotated[int | float, Field(ge=0, allow_inf_nan=False), AfterValidator(_whole_from_one_on), _OF_RUN]
"""Type of an option that counts the steps of a run: a whole number, or, below 1, a share of the run's steps.

`for_run` turns shares into numbers. Without a run a share stays as it is, which is less than one step.
"""


def run_steps(options: BaseModel) -> dict[str, int | float]:
    """Return the options that count the steps of a run (`RunSteps`), by name."""
    return {
        name: getattr(options, name) for name, field in type(options).model_fields.items() if _OF_RUN in field.metadata
    }


def for_run(options: M, steps: int) -> M:
    """Return the options of a component in a run of `steps` steps: shares of the run become numbers of steps, rounded
    down.
    """
    counts = {name: steps_of(value, steps) for name, value in run_steps(options).items() if value < 1}
    return options.model_copy(update=counts) if counts else options


LEAST_TEMPERATURE = 1e-6
"""Logits divided by a smaller number leave the range of float32."""


def _temperature(value: float) -> float:
    if 0 < value < LEAST_TEMPERATURE:
        raise ValueError(f"must be 0, which is greedy, or at least {LEAST_TEMPERATURE:g}: the logits are divided by it")
    return value


Temperature = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_temperature)]
"""Sampling temperature; 0 is greedy."""


def validated(model: type[M], values: Mapping[str, Any], key: str = "") -> M:
    """Return `model` made of `values`; `key` is where they are in the configuration (`algo`), for the message.

    Raises UnknownName with the nearest key, or ConfigError in one line: `algo.tau=-1: must be greater than 0`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    unknown = [item for item in errors if item["type"] == "extra_forbidden"]
    item = (unknown or errors)[0]  # one line; an unknown key often explains the other errors
    path = list(_keys(item["loc"], values))
    where = ".".join([key, *path] if key else path)
    if unknown:
        prefix = where.removesuffix(path[-1])
        raise UnknownName.near("key", where, [f"{prefix}{name}" for name in _fields(model, path[:-1])])
    if item["type"] == "missing":
        raise ConfigError(f"{where} is missing")
    text = _plain(item["msg"].removeprefix("Value error, "))
    if item["type"] in TABLES:
        text = f"must be a table of keys: {where}.KEY=VALUE, or {{}} for the defaults"
    if item["type"] == "value_error" and isinstance(item["input"], Mapping):  # about several keys, which its text names
        if text.startswith(f"{where}." if where else ""):
            raise ConfigError(text)
        if not path:
            raise ConfigError(f"{where}: {text}")
    raise ConfigError(f"{where}={reprlib.repr(item['input'])}: {text}")


def _keys(loc: Sequence[str | int], values: Any) -> Iterator[str]:
    """Yield the parts of pydantic's location that are keys of `values`, or places in a list. The others name a type of
    a union (`int`), where the value is neither a table nor a list that could have such a key.
    """
    for number, part in enumerate(loc):
        if number and not isinstance(values, Mapping if isinstance(part, str) else Mapping | list | tuple):
            continue
        yield str(part)
        try:
            values = values[part]
        except (LookupError, TypeError):
            values = {}


def conform(values: Mapping[str, Any], shape: type[T]) -> T:
    """Return the content of a file as `shape`, a dataclass or model; keys that `shape` does not have are left out.

    Raises ValueError in one line, with the first key that is missing or of another type: `config.env: field required`.
    """
    try:
        return TypeAdapter(shape).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        text = "must be a table of keys" if first["type"] in TABLES else _plain(first["msg"]).lower()
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {text}") from error


def _plain(text: str) -> str:
    """Return a message of pydantic in kgym's words.

    >>> _plain("String should have at least 1 character")
    'must have at least 1 character'
    """
    return re.sub(r"^(?:Input|String|List|Tuple|Dictionary|Set|Value) should ", "must ", text)


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the field names of the model that is at `path` inside `model`; keys of tables and places in lists lead to
    the model of their values.
    """
    for part in path:
        if (field := model.model_fields.get(part)) is None:
            continue
        if (inner := _model_in(field.annotation)) is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
