"""The benchmarks that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import BenchmarkInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_register_benchmarks() -> Iterator[BenchmarkInfo]:
    """Yield the benchmarks that come with kgym."""
    yield BenchmarkInfo(
        name="aime-style",
        env="aime",
        split="validation",
        problems=500,
        samples=4,
        summary="500 generated AIME-style problems that no one trains on",
    )
