"""Benchmarks by name: a registered benchmark, or any split of any environment as `ENV:SPLIT`."""

import re

from kgym.errors import ConfigError, UnknownName
from kgym.hookspecs import BenchmarkInfo
from kgym.registry import registry


def resolve_bench(name: str) -> BenchmarkInfo:
    """Return a benchmark. `ENV:SPLIT` is all problems of the split, one completion each; the environment itself is
    looked up later.

    Raises UnknownName for a name that has no colon and is not registered.
    """
    known = registry().infos("benchmark")
    if name in known:
        found = known[name]
        assert isinstance(found, BenchmarkInfo)
        return found
    env, colon, split = name.rpartition(":")  # the last colon: environments of a plugin may have their own prefix
    if not colon and name in registry().infos("environment"):
        raise UnknownName(
            f"no benchmark named {name!r}, which is an environment; say which split of it, as in {name}:validation"
        )
    if not colon:
        raise UnknownName.near("benchmark", name, [*known, "ENV:SPLIT"])
    if not env or not split:
        raise ConfigError(f"benchmark {name!r}: ENV:SPLIT needs an environment and a split, such as aime:validation")
    return BenchmarkInfo(name=name, env=env, split=split)


def bench_slug(name: str) -> str:
    """Return a benchmark's name as it is written in names of metrics and folders.

    >>> bench_slug("aime:2024")
    'aime-2024'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
