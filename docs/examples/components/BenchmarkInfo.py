"""A benchmark: a name for an environment, a split, a number of problems and samples."""

from collections.abc import Iterator

from kgym.hookspecs import BenchmarkInfo, Component, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield BenchmarkInfo(
        name="sums",
        env="arithmetic",
        split="validation",
        problems=100,
        samples=4,
        summary="a hundred sums",
    )
