"""The samplers that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import SamplerInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_register_samplers() -> Iterator[SamplerInfo]:
    """Yield the samplers that come with kgym."""
    yield from ()
