"""A family of environments: `kgym train --env sums:3` is `arithmetic` at difficulty 3."""

from collections.abc import Iterator, Sequence

from kgym.envs.task import Task
from kgym.errors import UnknownName
from kgym.hookspecs import Component, EnvFamilyInfo, hookimpl
from kgym.options import Options
from kgym_envs.arithmetic import Arithmetic, ArithmeticOptions

kgym_api = 1


class Sums:
    """Follows `kgym.envs.task.EnvFamily`."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def members(self) -> Sequence[str]:
        """Return what may come after the prefix."""
        return [str(level) for level in range(1, 10)]

    def task(self, member: str) -> type[Task]:
        """Return the class of an environment, which has the options of `arithmetic`."""
        if member not in self.members():
            raise UnknownName.near(
                "environment", f"sums:{member}", [f"sums:{known}" for known in self.members()]
            )

        class Level(Arithmetic):
            def __init__(self, options: ArithmeticOptions) -> None:
                super().__init__(options.model_copy(update={"difficulty": int(member)}))

        return Level


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield EnvFamilyInfo(
        name="sums",
        target=f"{__name__}:Sums",
        summary="arithmetic at a difficulty",
        member="DIFFICULTY",
    )
