"""The public one-liners; `import kgym` offers them as its own, and `kgym.verify.one` beside them."""

from typing import TYPE_CHECKING, Any, cast

from kgym.hookspecs import EnvInfo
from kgym.registry import registry
from kgym.types import Algorithm

if TYPE_CHECKING:
    from gymnasium import Env


def make(env_id: str, **options: Any) -> "Env[Any, Any]":
    """Return `gymnasium.make(env_id, **options)`; a short name (`aime`) stands for the newest version.

    Raises UnknownName for a name that no plugin offers, MissingData if the user has to bring the data of the split.
    """
    import gymnasium  # noqa: PLC0415  (loads numpy)

    from kgym.envs.registration import register_env, register_envs  # noqa: PLC0415

    register_envs()  # again: plugins may have been loaded anew
    info = cast(EnvInfo, registry().info("environment", env_id))
    return gymnasium.make(register_env(info, env_id), **options)  # of the record: Gymnasium takes no id with a colon


def make_algorithm(name: str, **options: Any) -> Algorithm:
    """Return an algorithm. Its `loss_on` takes plain tensors, so that a loss can be looked at without a trainer.

    Raises UnknownName for the name or an option, ConfigError for a value that the option does not take.
    """
    algorithm: Algorithm = registry().create("algorithm", name, options)
    return algorithm
