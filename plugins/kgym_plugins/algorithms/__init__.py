"""The algorithms that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import AlgorithmInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_register_algorithms() -> Iterator[AlgorithmInfo]:
    """Yield the algorithms that come with kgym."""
    yield from ()
