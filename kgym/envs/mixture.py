"""The environments of a run: the one of `env`, or those of `envs`, each with its share, sampler and verifier."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from kgym.config import AuditConfig, RunConfig, SamplerConfig, VerifierConfig
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, UnknownName


@dataclass(frozen=True)
class Member:
    """An environment of a run."""

    label: str
    """Its name in metrics and folders; "" for the only environment of a run."""
    spec: EnvSpec
    verifier: VerifierConfig
    sampler: SamplerConfig
    weight: float = 1.0
    audit: AuditConfig | None = None

    @property
    def title(self) -> str:
        """Its name in messages: the label, or the name of the only environment."""
        return self.label or self.spec.name

    @property
    def key(self) -> str:
        """The key of its options in the configuration."""
        return f"envs.{self.label}" if self.label else "env"

    def named(self) -> AbstractContextManager[None]:
        """Make a ConfigError about an option name the key of this environment."""
        return naming(self.key)


@contextmanager
def naming(key: str, section: str = "env") -> Iterator[None]:
    """Make a ConfigError name the key of an environment, `envs.words.max_tokens` instead of `env.max_tokens`, or of
    another section.
    """
    try:
        yield
    except ConfigError as error:
        text = re.sub(rf"(?<![\w.-]){section}\.", f"{key}.", str(error))
        raise (UnknownName if isinstance(error, UnknownName) else ConfigError)(text) from None


def members(config: RunConfig) -> list[Member]:
    """Return the environments of a run, in the order of the configuration.

    Raises ConfigError for an option of an environment that is a key of its verifier.
    """
    if not config.envs:
        return [
            Member(
                "", EnvSpec.of_config(config.env, config.verifier), config.verifier, config.sampler, audit=config.audit
            )
        ]
    found = []
    for label, env in config.envs.items():
        verifier = env.verifier or config.verifier
        with naming(f"envs.{label}"):
            spec = EnvSpec.of(env.name, env.split, env.options, verifier)
        found.append(
            Member(label, spec, verifier, env.sampler or config.sampler, env.weight, env.audit or config.audit)
        )
    return found
