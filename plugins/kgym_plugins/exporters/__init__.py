"""The exporters that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import ExporterInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_register_exporters() -> Iterator[ExporterInfo]:
    """Yield the exporters that come with kgym."""
    yield from ()
