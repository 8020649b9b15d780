"""A benchmark: a name for an environment, a split, a number of problems and samples."""

from kgym.hookspecs import BenchmarkInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_register_benchmarks():
    """Yield the benchmarks of this plugin."""
    yield BenchmarkInfo(name="sums", env="arithmetic", split="validation", problems=100, samples=4, summary="a hundred sums")
