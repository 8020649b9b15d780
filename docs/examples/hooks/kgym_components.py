"""All components of a plugin in one function: two benchmarks and a preset."""

from collections.abc import Iterator

from kgym.hookspecs import BenchmarkInfo, Component, PresetInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield records of any kinds, in any order."""
    for split, problems in (("validation", 100), ("train", 50)):
        yield BenchmarkInfo(
            name=f"sums-{split}",
            env="arithmetic",
            split=split,
            problems=problems,
            samples=4,
            summary=f"sums of {split}",
        )
    yield PresetInfo(
        name="cold",
        source="our notes",
        samples=1,
        temperature=0.0,
        summary="one greedy completion",
    )
