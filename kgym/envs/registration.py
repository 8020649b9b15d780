"""Tell Gymnasium about the environments of all plugins, so that `gymnasium.make("kgym/aime-v1")` finds them.

Only names are registered, never problems: `gymnasium.make` copies what it is given.

Gymnasium is imported by the functions: its import calls `register_envs` (see `kgym._gymnasium`), which has to be there
by then.
"""

from typing import TYPE_CHECKING

from kgym.hookspecs import EnvInfo
from kgym.registry import registry

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

ENTRY_POINT = "kgym.envs.env:ReasoningEnv"
VECTOR_ENTRY_POINT = "kgym.envs.vector:ReasoningVectorEnv"


def register_envs() -> None:
    """Register every environment that a plugin offers, in every version, and forget those that are offered no more.

    May be called again at any time. A name that something other than kgym has registered is left alone.
    """
    import gymnasium  # noqa: PLC0415

    offered = {info.id: info for info, _ in registry().offers(EnvInfo.kind) if isinstance(info, EnvInfo)}
    for known, spec in list(gymnasium.registry.items()):
        if spec.entry_point == ENTRY_POINT and known not in offered:
            del gymnasium.registry[known]
    for info in offered.values():
        register_env(info, info.id)


def register_env(info: EnvInfo, name: str) -> "EnvSpec":
    """Register one environment under its id, unless it is there, and return what `gymnasium.make` takes.

    `name` is what the registry of plugins finds it by. Make it of the spec and not of the id if that may hold a colon,
    as a name with a plugin's prefix does: Gymnasium would take what is before it for a module.
    """
    import gymnasium  # noqa: PLC0415

    if info.id not in gymnasium.registry:
        gymnasium.register(
            id=info.id,
            entry_point=ENTRY_POINT,
            vector_entry_point=VECTOR_ENTRY_POINT,
            kwargs={"task": name},
            order_enforce=False,  # the environment says itself, and as an EnvError, what was called too early
        )
    return gymnasium.registry[info.id]
