"""Environments of the package verifiers, loaded once, and the gold answers that refer to rows of their data.

A rubric reads the whole row (its answer, its info and any other column), so a gold answer has the number of the row.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from kgym.envs.goldrecord import GoldRecord
from kgym.errors import ConfigError, DataError
from kgym.neutral import error_line

TRAIN, HELD_OUT = "train", "eval"
"""The data sets of an environment, by their names in verifiers."""


def load_package() -> Callable[..., Any]:
    """Return `load_environment`. Raises ConfigError if the version of verifiers has none."""
    try:
        from verifiers.utils.env_utils import load_environment  # noqa: PLC0415  (heavy, and optional)
    except ImportError as error:
        raise ConfigError(
            f"verifiers {version('verifiers')} has no load_environment that can be imported ({error_line(error)}); "
            "pip install 'verifiers>=0.1.14,<0.2'"
        ) from error
    import datasets  # noqa: PLC0415

    import verifiers  # noqa: PLC0415

    assert verifiers.SingleTurnEnv  # imported on first use
    datasets.disable_progress_bars()
    logging.getLogger("verifiers.utils.env_utils").setLevel(logging.CRITICAL)  # it logs its own exceptions
    found: Callable[..., Any] = load_environment
    return found


@lru_cache(maxsize=8)
def _environment(member: str, args: str) -> Any:
    load_environment = load_package()
    try:
        return load_environment(member, **json.loads(args))
    except Exception as error:  # third-party code
        raise ConfigError(f"environment 'verifiers:{member}' cannot be loaded: {error_line(error)}") from error


def environment(member: str, args: dict[str, Any]) -> Any:
    """Return an environment. Raises ConfigError, with the reason, if it is not installed or cannot be made."""
    found = _environment(member, json.dumps(args, sort_keys=True))
    if found.rubric.has_group_rewards:
        raise ConfigError(
            f"environment 'verifiers:{member}' has rewards of whole groups; kgym needs rewards of single completions"
        )
    return found


def has_replies(member: str, args: dict[str, Any]) -> bool:
    """Whether an environment may reply to a turn, for example with the output of a tool."""
    import verifiers  # noqa: PLC0415

    return not isinstance(environment(member, args), verifiers.SingleTurnEnv)


def rows(member: str, args: dict[str, Any], part: str) -> Any:
    """Return a data set of an environment; None if it does not have it."""
    found = environment(member, args)
    return found.build_dataset() if part == TRAIN else found.build_eval_dataset()


@dataclass(frozen=True)
class Record(GoldRecord, env="verifiers:ID"):
    """A gold answer: the answer of a row, and which row it is."""

    answer: str
    environment: str
    args: dict[str, Any]
    part: str
    index: int
    format: str = "fenced"
    """Format in which the policy writes calls of tools."""

    def row(self) -> dict[str, Any]:
        """Return the row. Raises DataError if the installed environment has another row there."""
        data = rows(self.environment, self.args, self.part)
        found: dict[str, Any] = data[self.index] if data is not None and self.index < len(data) else {}
        if str(found.get("answer", "")) != self.answer:
            raise DataError(
                f"row {self.index} of {self.part} of verifiers:{self.environment} differs from the row of the gold "
                "answer"
            )
        return found
