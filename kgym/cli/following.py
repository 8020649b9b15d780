"""The command to type next: how to score what was just trained, on what it was trained for."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

PROBLEMS = 500
"""Of a generated split, which has no end."""


def how_to_score(
    model: str,
    env: str,
    split: str,
    options: Mapping[str, Any],
    verifier: Mapping[str, Any] | None = None,
    *,
    problems: int = PROBLEMS,
    template: Mapping[str, Any] | None = None,
    stop: Sequence[str] = (),
) -> str:
    """Return the `kgym eval` of a benchmark of this environment and split, else of the split itself with the environment's options.

    `verifier` are options of the environment's own verifier, `template` variables of the chat template, `stop` texts that end an answer.
    """
    from kgym.envs.setup import EnvSetup, make_task, split_settings
    from kgym.errors import KgymError
    from kgym.hookspecs import BenchmarkInfo
    from kgym.registry import registry

    try:
        judge = make_task(env, split_settings(env, options)[1]).verifier
        options, verifier = _not_default("environment", env, options), _not_default("verifier", judge, verifier or {})
    except KgymError:  # what is wrong is said by what uses it
        verifier = verifier or {}
    settings = [f"env.{name}={value}" for name, value in options.items()]
    settings += [f"verifier.{name}={value}" for name, value in verifier.items()]
    asked = [f"engine.template.{name}={json.dumps(value)}" for name, value in (template or {}).items()]
    stops = [word for text in stop for word in ("--stop", shlex.quote(text))]
    start = f"kgym eval --model {shlex.quote(model)} --bench"
    for name, info in registry().infos("benchmark").items():
        if isinstance(info, BenchmarkInfo) and (info.env, info.split) == (env, split) and not settings:
            return " ".join([start, name, *stops, *(["--set", *map(shlex.quote, asked)] if asked else [])])
    words = [start, f"{env}:{split}"]
    try:
        endless = EnvSetup(env, {**options, "split": split}).source.size is None
    except KgymError:  # data that the user has not brought yet: eval will say so
        endless = False
    words += ["--problems", str(problems)] if endless else []
    words += stops
    words += ["--set", *map(shlex.quote, settings + asked)] if settings or asked else []
    return " ".join(words)


def _not_default(kind: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out options that are what they are by default: a run keeps all of them."""
    from kgym.registry import registry

    fields = registry().options_model(kind, name).model_fields
    defaults = {key: field.get_default(call_default_factory=True) for key, field in fields.items() if not field.is_required()}
    return {key: value for key, value in options.items() if key not in defaults or value != defaults[key]}
