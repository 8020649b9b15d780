"""The specification of an environment: name, split and settings as plain values, which can be compared, pickled and
stored in manifests.

    EnvSpec("aime", "validation", {"difficulty": 3, "max_tokens": 512}).setup()

It is made from the configuration of a run, from the options of a command or from a manifest. All environments are built
from one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from kgym.config import EnvConfig, VerifierConfig, plain
from kgym.envs.setup import EnvOptions, EnvSetup, make_task, split_settings, verifier_of
from kgym.envs.task import Task
from kgym.errors import ConfigError
from kgym.options import conform, validated
from kgym.registry import registry

if TYPE_CHECKING:
    from kgym.envs.vector import ReasoningVectorEnv

OF_VERIFIER = {
    "verifier": "verifier=NAME",
    "verifier_options": "verifier.KEY",
    "verifier_limits": "verifier.limits.KEY",
}
"""Settings of every environment for which commands have other keys: those of the section `verifier`."""


@dataclass(frozen=True)
class EnvSpec:
    """The name, split and settings of an environment. Equal specs make equal environments.

    Raises ConfigError for a setting that is not plain JSON.
    """

    name: str
    """Short name (the newest version) or id."""
    split: str = "train"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `kgym.envs.setup.EnvOptions`, without the split, and of the environment itself. A None that is the
    default is left out.
    """

    def __post_init__(self) -> None:
        """Convert the settings to what JSON would read back."""
        if "split" in self.settings:
            raise ConfigError(
                f"env.split={self.settings['split']} is not among the settings of an environment; give the split "
                "separately"
            )
        for key, value in self.settings.items():
            try:
                plain(value)
            except ValueError as error:
                raise ConfigError(f"env.{key}: {error}") from None
        given = {
            key: value
            for key, value in self.settings.items()
            if value is not None or key not in EnvOptions.model_fields
        }
        object.__setattr__(self, "settings", json.loads(json.dumps(given)))

    def __hash__(self) -> int:
        """By value: settings are a table, which has no hash."""
        return hash(json.dumps(self.to_json(), sort_keys=True))

    # --- made from

    @classmethod
    def of(cls, name: str, split: str, options: Mapping[str, Any], verifier: VerifierConfig | None = None) -> Self:
        """Return the spec of the values that a user has set under `env` and `verifier`.

        Raises ConfigError for an option under `env` that is a key of `verifier`.
        """
        for setting, key in OF_VERIFIER.items():
            if setting in options:
                raise ConfigError(f"env.{setting} is not a key of this command; use {key}")
        verifier = verifier or VerifierConfig()
        limits = verifier.limits.model_dump(mode="json", exclude_defaults=True)
        judged = {"verifier": verifier.name, "verifier_options": verifier.options, "verifier_limits": limits}
        return cls(name, split, {**options, **{key: value for key, value in judged.items() if value}})

    @classmethod
    def of_config(cls, env: EnvConfig, verifier: VerifierConfig) -> Self:
        """Return the spec of the environment of a run."""
        return cls.of(env.name, env.split, env.options, verifier)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read back `to_json`. Raises ValueError for something else."""
        return conform(values, cls)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "split": self.split, "settings": dict(self.settings)}

    def with_split(self, split: str) -> Self:
        """Return the spec of another split of the same environment.

        Options of the environment's own verifier are dropped if the other split has another verifier.
        """
        other = replace(self, split=split)
        if (
            "verifier" in self.settings
            or not self.settings.get("verifier_options")
            or other.own_verifier() == self.own_verifier()
        ):
            return other
        return replace(
            other, settings={key: value for key, value in self.settings.items() if key != "verifier_options"}
        )

    def with_settings(self, **settings: Any) -> Self:
        """Return a spec with further settings, which replace those of the same name. None removes a setting of
        `EnvOptions`.
        """
        return replace(self, settings={**self.settings, **settings})

    def for_score(self, split: str) -> Self:
        """Return the spec of a validation, in which truncated completions that training masks count 0, as in a
        leaderboard score.
        """
        masked = self.settings.get("truncated") == "mask"
        return self.with_split(split).with_settings(truncated=None if masked else self.settings.get("truncated"))

    # --- made of it

    def setup(self) -> EnvSetup:
        """Return the environment without episodes. Raises what `EnvSetup` raises."""
        return EnvSetup(self.name, {**self.settings, "split": self.split})

    def vector(self, groups: int, group_size: int = 1) -> "ReasoningVectorEnv":
        """Return a vector environment with slots for `groups` groups. Raises what `ReasoningVectorEnv` raises."""
        from kgym.envs.vector import ReasoningVectorEnv  # noqa: PLC0415  (Gymnasium, which a setup does not need)

        return ReasoningVectorEnv(
            self.name, num_envs=groups * group_size, group_size=group_size, split=self.split, **self.settings
        )

    def task(self) -> Task:
        """Return only the task; the data of its problems may be missing. Raises what `make_task` raises."""
        return make_task(self.name, self.own_settings())

    def own_verifier(self) -> str:
        """Return the name of the verifier that the environment has for the split. Raises what `make_task` raises."""
        return verifier_of(self.task(), self.split)

    def own_settings(self) -> dict[str, Any]:
        """Return the environment's own settings. Raises UnknownName for an unknown setting."""
        return split_settings(self.name, self.settings)[1]

    def common_settings(self) -> EnvOptions:
        """Return the settings that every environment takes. Raises ConfigError for a value that a setting does not
        take.
        """
        common, _ = split_settings(self.name, self.settings)
        return validated(EnvOptions, {**common, "split": self.split}, registry().key("environment", self.name))

    def facts(self) -> dict[str, Any]:
        """Return what a score depends on, other than the policy and its sampling; see `EnvSetup.facts`."""
        return self.setup().facts()

    @property
    def max_tokens(self) -> int:
        """Token budget of a completion: the setting, or the environment's own."""
        given: int | None = self.settings.get("max_tokens")
        return self.task().max_tokens if given is None else given
