"""The shapers that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import ShaperInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_register_shapers() -> Iterator[ShaperInfo]:
    """Yield the shapers that come with kgym."""
    yield from ()
