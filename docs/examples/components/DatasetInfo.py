"""What is known of a data set that users add with `kgym data add sums24`."""

from collections.abc import Iterator

from kgym.hookspecs import Component, DatasetInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield DatasetInfo(
        name="sums24",
        hub=("acme/sums-2024",),
        problems=100,
        max_answer=999,
        summary="a hundred sums of 2024",
    )
