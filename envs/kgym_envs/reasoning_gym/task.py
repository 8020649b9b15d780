"""The environments `rg:NAME`: items of a data set of reasoning-gym, judged by its own scorer.

    kgym envs list rg
    kgym train --env rg:chain_sum --set env.max_terms=3 env.max_digits=2

The options of an environment are those of the data set's configuration, with the same names, and those of
`ReasoningGymOptions`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from dataclasses import Field as DataclassField
from functools import cached_property
from typing import Any, ClassVar

from pydantic import Field, TypeAdapter, ValidationError, create_model

from kgym.envs.generated import SPLITS
from kgym.envs.task import Task, TaskOptions
from kgym.errors import ConfigError, DataError, UnknownName
from kgym.options import Options
from kgym.seeding import derive_seed
from kgym.types import Chat, Message, Problem, ProblemSource
from kgym_envs.reasoning_gym import sets

DRAWS = 64
"""Most items that are tried for an index; half of them belong to the other split."""
FIRST_SEED = {"train": 0, "validation": 1 << 30}
"""First seed of each split."""
FORMAT = "Give the final answer between <answer> and </answer>."


class ReasoningGymOptions(TaskOptions):
    """Options of every data set of reasoning-gym."""

    size: int = Field(10_000, ge=1, le=1_000_000)
    """Number of problems of each split."""
    seed: int = Field(0, ge=0, lt=1 << 29)
    """Seed of the data set; another seed gives other problems."""
    curriculum_level: int | None = Field(None, ge=0)
    """Level of the data set's own curriculum, 0 for the easiest. It gives the values of options that are not set;
    without it they have their defaults. A level beyond the last one of an option counts as the last.
    """


@dataclass(frozen=True)
class Items:
    """The problems of a split: a `kgym.types.ProblemSource`.

    A split has its own range of seeds. Of the items in this range it has those whose question hashes to the split, so
    that no question is in both splits.
    """

    name: str
    config: Mapping[str, Any]
    split: str
    seed: int
    size: int

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the version of reasoning-gym, the data set, its configuration, the split, the seed and the size."""
        hashing = sets.hash_seed() if self.name in sets.UNSTABLE else ""
        parts = (
            sets.package_version(),
            hashing,
            self.name,
            json.dumps(self.config, sort_keys=True),
            self.split,
            self.seed,
            self.size,
            DRAWS,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @cached_property
    def _label(self) -> str:
        """The part of ids that tells configurations apart; "" for the default configuration."""
        if not self.config and not self.seed:
            return ""
        return hashlib.sha256(json.dumps([self.config, self.seed], sort_keys=True).encode()).hexdigest()[:8] + "/"

    def __getitem__(self, index: int) -> Problem:
        """Return the problem at `index`. Raises IndexError beyond `size`, DataError if the data set has too few
        different questions.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"index={index}: the problems are numbered 0 to {self.size - 1}")
        for draw in range(DRAWS):
            seed = FIRST_SEED[self.split] + self.seed + draw * self.size
            made = sets.item(self.name, self.config, seed=seed, size=self.size, index=index)
            if SPLITS[derive_seed("rg", self.name, made["question"]) % 2] == self.split:
                answer = sets.answer_of(self.name, made)
                record = sets.Record(answer, self.name, dict(self.config), seed, self.size, index)
                return Problem(
                    id=f"rg/{self.name}/{self._label}{self.split}/{index}",
                    question=made["question"],
                    gold=str(record),
                    subject=sets.category(self.name),
                )
        raise DataError(
            f"rg:{self.name} gave no {self.split} question in {DRAWS} draws; set options that allow more different ones"
        )


class ReasoningGym:
    """Follows `kgym.envs.task.Task`; a subclass for each data set has its name and its options."""

    Options: ClassVar[type[ReasoningGymOptions]] = ReasoningGymOptions
    dataset: ClassVar[str]
    splits = SPLITS
    verifier = "reasoning_gym"
    max_tokens = 2048

    def __init__(self, options: ReasoningGymOptions) -> None:
        if self.dataset in sets.UNSTABLE and not sets.hash_seed():
            raise ConfigError(
                f"rg:{self.dataset} draws from sets, whose order differs from process to process; set PYTHONHASHSEED=0 "
                "for the command"
            )
        self.options = options
        self.config = _config(self.dataset, options)
        sets.dataset_of(self.dataset, self.config, seed=options.seed, size=options.size)  # refuses wrong options now

    def source(self, split: str) -> ProblemSource:
        """Return the items of a split. Raises UnknownName for another split."""
        if split not in SPLITS:
            raise UnknownName.near("split", split, SPLITS)
        return Items(self.dataset, self.config, split, self.options.seed, self.options.size)

    def prompt(self, problem: Problem) -> Chat:
        """Ask the question and say how to answer."""
        return (Message("user", f"{problem.question}\n{FORMAT}"),)


def _config(name: str, options: ReasoningGymOptions) -> dict[str, Any]:
    """Return the values of the configuration that differ from its defaults, as plain values."""
    given = options.model_dump(mode="json", include=options.model_fields_set - set(ReasoningGymOptions.model_fields))
    level = {} if options.curriculum_level is None else sets.curriculum(name, options.curriculum_level)
    default = sets.defaults(name)
    return {
        key: value
        for key, value in (level | given).items()
        if key not in ReasoningGymOptions.model_fields and value != default[key]
    }


class ReasoningGymFamily:
    """Follows `kgym.envs.task.EnvFamily`."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def members(self) -> Sequence[str]:
        """Return the names of the data sets."""
        return list(sets.registered())

    def task(self, member: str) -> type[Task]:
        """Return the class of a data set's environment. Raises UnknownName if there is no such data set."""
        if member not in sets.registered():
            raise UnknownName.near("environment", f"rg:{member}", [f"rg:{name}" for name in sets.registered()])
        config_class = sets.registered()[member][1]
        own = {
            field.name: _option(field, config_class)
            for field in fields(config_class)
            if field.name not in ReasoningGymOptions.model_fields
        }
        options = create_model(
            f"{config_class.__name__}Options", __base__=ReasoningGymOptions, __doc__=f"Options of rg:{member}.", **own
        )
        return type(
            f"{member}", (ReasoningGym,), {"Options": options, "dataset": member, "__doc__": f"The data set {member}."}
        )


def _option(field: "DataclassField[Any]", config_class: type) -> Any:
    """Return the type of an option and its default, as `create_model` takes them."""
    about = f"`{field.name}` of reasoning-gym's `{config_class.__name__}`."
    if field.default_factory is not MISSING and _is_a(field.default_factory(), field.type):
        return field.type, Field(default_factory=field.default_factory, description=about)
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return field.type if _is_a(default, field.type) else Any, Field(default, description=about)


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a default has its declared type: some are None, or a text declared as a tuple."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True
