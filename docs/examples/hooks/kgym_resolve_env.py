"""Environments behind a prefix: `kgym train --env level:3` is `arithmetic` at difficulty 3."""

from kgym.hookspecs import EnvInfo, hookimpl
from kgym_envs.arithmetic import Arithmetic, ArithmeticOptions

kgym_api = 1


class Level3(Arithmetic):
    """`arithmetic` at a fixed difficulty."""

    def __init__(self, options: ArithmeticOptions) -> None:
        super().__init__(options.model_copy(update={"difficulty": 3}))


@hookimpl
def kgym_resolve_env(name: str) -> EnvInfo | None:
    """Return the environment, or None for the names of others."""
    if name == "level:3":
        return EnvInfo(
            name=name,
            namespace="demo",
            target=f"{__name__}:Level3",
            summary="sums of five digits",
        )
    return None
