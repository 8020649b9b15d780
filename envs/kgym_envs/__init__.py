"""The environments that come with kgym, one folder each."""

from collections.abc import Iterator

from kgym.hookspecs import EnvInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_register_envs() -> Iterator[EnvInfo]:
    """Yield the environments that come with kgym."""
    yield EnvInfo(name="aime", target="kgym_envs.aime.task:Aime", summary="competition problems with an integer answer from 0 to 999")
    yield EnvInfo(
        name="arithmetic", target="kgym_envs.arithmetic:Arithmetic", summary="sums, differences and products; the smallest example"
    )
