"""What training and scoring build environments with, by any name that the registry of plugins knows; Gymnasium's registry is not asked."""

from typing import Any

from kgym.envs.setup import make_task
from kgym.envs.vector import ReasoningVectorEnv

__all__ = ["make_task", "make_vector"]


def make_vector(name: str, *, split: str = "train", num_envs: int = 1, group_size: int = 1, **settings: Any) -> ReasoningVectorEnv:
    """Return many environments as one; `settings` are those of `kgym.envs.setup.EnvOptions` and the task's own.

    Raises ConfigError if the groups do not fill the slots, and what `EnvSetup` raises.
    """
    return ReasoningVectorEnv(name, num_envs=num_envs, group_size=group_size, split=split, **settings)
