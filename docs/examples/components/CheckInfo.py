"""A check of `kgym plugins doctor`: the disk has room for a run."""

import shutil
from collections.abc import Iterator

from kgym.hookspecs import CheckInfo, Component, hookimpl

kgym_api = 1


def disk() -> list[str]:
    """Return what is wrong, a line each; an empty list if all is well."""
    free = shutil.disk_usage(".").free / 2**30
    return [] if free > 0.1 else [f"only {free:.2f} GiB are free here; a run needs 0.1"]


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield CheckInfo(name="disk", target=f"{__name__}:disk", summary="room for a run")
