"""The command to type next: how to score what was just trained, on what it was trained for."""

import shlex
from collections.abc import Mapping
from typing import Any

PROBLEMS = 500
"""Of a generated split, which has no end."""


def how_to_score(
    model: str, env: str, split: str, options: Mapping[str, Any], verifier: Mapping[str, Any] | None = None, *, problems: int = PROBLEMS
) -> str:
    """Return the `kgym eval` of a benchmark of this environment and split, else of the split itself with the environment's options.

    `verifier` are options of the environment's own verifier.
    """
    from kgym.envs.setup import EnvSetup
    from kgym.errors import KgymError
    from kgym.hookspecs import BenchmarkInfo
    from kgym.registry import registry

    settings = [f"env.{name}={value}" for name, value in options.items()]
    settings += [f"verifier.{name}={value}" for name, value in (verifier or {}).items()]
    start = f"kgym eval --model {shlex.quote(model)} --bench"
    for name, info in registry().infos("benchmark").items():
        if isinstance(info, BenchmarkInfo) and (info.env, info.split) == (env, split) and not settings:
            return f"{start} {name}"
    words = [start, f"{env}:{split}"]
    try:
        endless = EnvSetup(env, {**options, "split": split}).source.size is None
    except KgymError:  # data that the user has not brought yet: eval will say so
        endless = False
    words += ["--problems", str(problems)] if endless else []
    words += ["--set", *map(shlex.quote, settings)] if settings else []
    return " ".join(words)
