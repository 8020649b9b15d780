"""The next command to type: how to score a new model on the environment that it was trained on."""

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from kgym.envs.spec import EnvSpec
    from kgym.types import Sampling

PROBLEMS = 500
"""Number of problems of a generated split, which has no end."""


def how_to_score(
    model: str,
    spec: "EnvSpec",
    *,
    problems: int = PROBLEMS,
    template: Mapping[str, Any] | None = None,
    sampling: "Sampling | None" = None,
) -> str:
    """Return the `kgym eval` command for a benchmark of this environment and split, otherwise for the split itself with
    the environment's settings.

    `template` are variables of the chat template. Values of `sampling` that are defaults of `kgym eval` are left out.
    """
    from kgym.errors import KgymError
    from kgym.hookspecs import BenchmarkInfo
    from kgym.registry import registry

    settings = _settings(spec)
    asked = [f"engine.template.{name}={json.dumps(value)}" for name, value in (template or {}).items()]
    drawn = list(map(shlex.quote, sampling_words(sampling))) if sampling is not None else []
    start = f"kgym eval --model {shlex.quote(model)} --bench"
    for name, info in registry().infos("benchmark").items():
        if isinstance(info, BenchmarkInfo) and (info.env, info.split) == (spec.name, spec.split) and not settings:
            return " ".join([start, name, *drawn, *(["--set", *map(shlex.quote, asked)] if asked else [])])
    words = [start, f"{spec.name}:{spec.split}"]
    try:
        endless = spec.setup().source.size is None
    except KgymError:  # data that the user has not added yet: eval will say so
        endless = False
    words += ["--problems", str(problems)] if endless else []
    words += drawn
    words += ["--set", *map(shlex.quote, settings + asked)] if settings or asked else []
    return " ".join(words)


def sampling_words(sampling: "Sampling") -> list[str]:
    """Return the options of `kgym eval` for a sampling, without default values."""
    from kgym.types import Sampling

    default = Sampling()
    words = [word for text in sampling.stop for word in ("--stop", text)]
    for name in ("loop_tokens", "temperature", "top_p", "top_k"):
        if (value := getattr(sampling, name)) != getattr(default, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _settings(spec: "EnvSpec") -> list[str]:
    """Return the settings for `--set`, without default values: a run stores all of its options."""
    from kgym.envs.setup import EnvOptions
    from kgym.errors import KgymError
    from kgym.limits import PoolLimits
    from kgym.registry import registry

    options = dict(spec.settings)
    named = [f"verifier={name}"] if (name := options.pop("verifier", None)) else []
    verifier, limits = options.pop("verifier_options", {}), options.pop("verifier_limits", {})
    with suppress(KgymError):  # the command that uses the settings reports what is wrong
        options = _not_default(EnvOptions, _not_default(registry().options_model("environment", spec.name), options))
        verifier = _not_default(registry().options_model("verifier", name or spec.own_verifier()), verifier)
    limits = _not_default(PoolLimits, limits)
    return [
        *(f"env.{name}={value}" for name, value in options.items()),
        *named,
        *(f"verifier.{name}={value}" for name, value in verifier.items()),
        *(f"verifier.limits.{name}={value}" for name, value in limits.items()),
    ]


def _not_default(model: "type[BaseModel]", options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out options with their default values."""
    fields = model.model_fields
    defaults = {
        key: field.get_default(call_default_factory=True) for key, field in fields.items() if not field.is_required()
    }
    return {key: value for key, value in options.items() if key not in defaults or value != defaults[key]}
