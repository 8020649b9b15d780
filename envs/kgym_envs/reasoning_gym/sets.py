"""Data sets of reasoning-gym, made from plain values, and the gold answers that refer to their items.

    item("countdown", {"min_numbers": 3}, seed=0, size=10_000, index=17)
    {"question": "Calculate 64 using ...", "answer": "88 - 24", "metadata": {...}}

A data set depends only on its name, configuration, seed and size; an item also on its index. So an item is made again
where it is needed, instead of sending its metadata, which are not plain values.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kgym.envs.goldrecord import GoldRecord
from kgym.errors import ConfigError, DataError

OWN_ANSWERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "graph_color": lambda metadata: json.dumps(metadata["possible_answer"]),
    "propositional_logic": lambda metadata: metadata["example_answer"],
    "rubiks_cube": lambda metadata: metadata["example_correct_answer"],
}
"""Data sets with many right answers: their items have no `answer`, but one of the right answers in their metadata."""
UNSTABLE = ("isomorphic_strings", "knight_swap", "polynomial_multiplication", "ransom_note", "word_ladder")
"""Data sets whose items depend on the order of sets of texts, and so on `PYTHONHASHSEED`."""
KEPT_SETS = 16
"""Number of data sets that are cached: some read a file of several MiB when they are made."""
KEPT_ITEMS = 64


def hash_seed() -> str:
    """Return the seed that the user has set for the order of sets; "" if each process has a random one."""
    seed = os.environ.get("PYTHONHASHSEED", "")
    return seed if seed.isdecimal() else ""


def package_version() -> str:
    """Return the version of reasoning-gym."""
    return version("reasoning-gym")


@cache
def registered() -> dict[str, tuple[type, type]]:
    """Return the class and the configuration of each data set, by name."""
    import reasoning_gym  # noqa: F401, PLC0415  (heavy, and optional)
    from reasoning_gym.factory import DATASETS  # noqa: PLC0415

    return dict(sorted(DATASETS.items()))


def category(name: str) -> str:
    """Return the category of a data set: `arithmetic`, `games`."""
    return registered()[name][0].__module__.split(".")[1]


def defaults(name: str) -> dict[str, Any]:
    """Return the default configuration of a data set, as plain values."""
    return _plain(name, registered()[name][1]())


def curriculum(name: str, level: int) -> dict[str, Any]:
    """Return the configuration of a level of a data set's curriculum, as plain values. Raises ConfigError if it has no
    curriculum.
    """
    from reasoning_gym.factory import create_curriculum, has_curriculum  # noqa: PLC0415

    if not has_curriculum(name):
        raise ConfigError(f"env.curriculum_level={level}: rg:{name} has no curriculum; leave it out")
    course = create_curriculum(name)
    for attribute, definition in course.attributes.items():
        course.set_attr_level(attribute, min(level, len(definition.levels) - 1))
    return _plain(name, course.generate_configuration())


def _plain(name: str, config: Any) -> dict[str, Any]:
    values: dict[str, Any] = TypeAdapter(registered()[name][1]).dump_python(config, mode="json", warnings=False)
    return values


@lru_cache(maxsize=KEPT_SETS)
def _made(name: str, config: str, seed: int, size: int) -> Any:
    dataset, config_class = registered()[name]
    try:
        values: Any = TypeAdapter(config_class).validate_python({**json.loads(config), "seed": seed, "size": size})
        return dataset(config=values)
    except (AssertionError, ValueError, TypeError, ValidationError) as error:  # its configurations raise any of these
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"reasoning-gym refuses these options: {reason[:300]}") from error


def dataset_of(name: str, config: Mapping[str, Any], *, seed: int, size: int) -> Any:
    """Return a data set. Raises ConfigError if reasoning-gym refuses its configuration."""
    return _made(name, json.dumps(config, sort_keys=True), seed, size)


@lru_cache(maxsize=KEPT_ITEMS)
def _item(name: str, config: str, seed: int, size: int, index: int) -> dict[str, Any]:
    item: dict[str, Any] = _made(name, config, seed, size)[index]
    return item


def item(name: str, config: Mapping[str, Any], *, seed: int, size: int, index: int) -> dict[str, Any]:
    """Return an item, as in reasoning-gym."""
    return _item(name, json.dumps(config, sort_keys=True), seed, size, index)


def answer_of(name: str, made: Mapping[str, Any]) -> str | None:
    """Return a right answer to an item; None if the data set gives none."""
    if made["answer"] is not None:
        return str(made["answer"])
    return OWN_ANSWERS[name](made["metadata"]) if name in OWN_ANSWERS else None


@dataclasses.dataclass(frozen=True)
class Record(GoldRecord, env="rg:NAME"):
    """A gold answer: a right answer, and the item that it belongs to."""

    answer: str | None
    """None if the data set gives none; its scorer then judges without it."""
    dataset: str
    config: dict[str, Any]
    seed: int
    size: int
    index: int

    def item(self) -> dict[str, Any]:
        """Return the item. Raises DataError if this version of reasoning-gym makes another item."""
        made = item(self.dataset, self.config, seed=self.seed, size=self.size, index=self.index)
        if answer_of(self.dataset, made) != self.answer:
            raise DataError(
                f"reasoning-gym {package_version()} makes another item {self.index} of {self.dataset} than that of the "
                "gold answer"
            )
        return made
