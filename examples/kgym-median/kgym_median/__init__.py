"""kgym_median: an algorithm for kgym."""

from collections.abc import Iterator

from kgym.hookspecs import AlgorithmInfo, Component, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield what this plugin offers."""
    yield AlgorithmInfo(
        name="median",
        target="kgym_median.algorithm:Median",
        summary="REINFORCE with the median of the group as its baseline",
    )
