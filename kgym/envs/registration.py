"""Register the environments of all plugins with Gymnasium, so that `gymnasium.make("kgym/aime-v1")` finds them.

Only names are registered, never problems, since `gymnasium.make` copies its arguments.

The functions import Gymnasium, and the module does not: the import of Gymnasium calls `register_envs` (see
`kgym._gymnasium`), which has to be defined by then.
"""

from typing import TYPE_CHECKING

from kgym.hookspecs import EnvInfo
from kgym.registry import registry

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

ENTRY_POINT = "kgym.envs.env:ReasoningEnv"
VECTOR_ENTRY_POINT = "kgym.envs.vector:ReasoningVectorEnv"


def register_envs() -> None:
    """Register every environment that a plugin offers, in every version, and remove those that are no longer offered.

    May be called again at any time. Names that another package has registered are left alone.
    """
    import gymnasium  # noqa: PLC0415

    offered = {info.id: info for info, _ in registry().offers(EnvInfo.kind) if isinstance(info, EnvInfo)}
    for known, spec in list(gymnasium.registry.items()):
        if spec.entry_point == ENTRY_POINT and known not in offered:
            del gymnasium.registry[known]
    for info in offered.values():
        register_env(info, info.id)


def register_env(info: EnvInfo, name: str) -> "EnvSpec":
    """Register one environment under its id, if it is not registered yet, and return its spec for `gymnasium.make`.

    `name` is its name in the registry of plugins. Pass the spec and not the id to `gymnasium.make` if the id may have a
    colon, as names with the prefix of a family have: Gymnasium would take the part before it for a module.
    """
    import gymnasium  # noqa: PLC0415

    if info.id not in gymnasium.registry:
        gymnasium.register(
            id=info.id,
            entry_point=ENTRY_POINT,
            vector_entry_point=VECTOR_ENTRY_POINT,
            kwargs={"task": name},
            order_enforce=False,  # the environment itself raises an EnvError for a call that is too early
        )
    return gymnasium.registry[info.id]
