"""Engines by name: check one against a model, and load a model into it."""

from collections.abc import Mapping
from typing import Any

from kgym.errors import EngineError
from kgym.models.names import two_readings
from kgym.registry import registry
from kgym.types import Engine


def check_engine(name: str, options: Mapping[str, Any], model: str) -> None:
    """Raise ConfigError for a resolved model that an engine cannot load or, UnsuitedModel, sample from; weights are not loaded.

    An engine says so by a class method `check(options, model_folder)`, which it may have.
    """
    checked = registry().options("engine", name, options)
    check = getattr(registry().target("engine", name), "check", None)
    if check is not None:
        check(checked, model)


def make_engine(name: str, options: Mapping[str, Any], model: str) -> Engine:
    """Load a resolved model into an engine. Raises EngineError, naming both readings of a name that is no folder, if it cannot."""
    try:
        engine: Engine = registry().create("engine", name, options, model)
    except EngineError as error:
        if isinstance(error.__cause__, OSError) and (hint := two_readings(model)):  # neither found nor downloaded
            raise EngineError(f"{error}{hint}") from error.__cause__
        raise
    return engine
