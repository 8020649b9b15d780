"""An experiment: a table of claims that `kgym reproduce` runs and judges. Here it is kgym's own."""

from collections.abc import Iterator
from pathlib import Path

import kgym_plugins.benchmarks
from kgym.hookspecs import Component, ExperimentInfo, hookimpl

kgym_api = 1


def table() -> Path:
    """Return the TOML file."""
    return Path(kgym_plugins.benchmarks.__file__).with_name("k15.toml")


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield ExperimentInfo(
        name="again",
        target=f"{__name__}:table",
        summary="the claims of Kimi k1.5, by another name",
    )
