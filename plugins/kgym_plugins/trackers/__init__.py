"""The trackers that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import TrackerInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_register_trackers() -> Iterator[TrackerInfo]:
    """Yield the trackers that come with kgym."""
    yield from ()
