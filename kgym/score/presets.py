"""Published protocols of evaluation: samples, sampling temperature, token budget and prompt that others use.

    kgym eval --bench math500 --preset r1

The records come from plugins (`kgym_components`). A preset sets what the command leaves open, so an explicit option
always wins. What it sets is part of the request that a run folder keeps and, except for the number of samples, of the
comparability hash. Its name is not part of the hash: the same values set by hand have the same hash.
"""

from typing import Any, cast

from kgym.errors import UnknownName
from kgym.hookspecs import PresetInfo
from kgym.registry import registry

SMALL = 100
"""Number of problems up to which a benchmark counts as small and gets the larger number of samples."""


def presets() -> dict[str, PresetInfo]:
    """Return all presets by name."""
    return cast(dict[str, PresetInfo], registry().infos(PresetInfo.kind))


def preset_of(name: str) -> PresetInfo:
    """Return a preset. Raises UnknownName for one that does not exist."""
    if name not in (known := presets()):
        raise UnknownName.near("preset", name, [*known, "list"])
    return known[name]


def stated_options(preset: PresetInfo) -> dict[str, Any]:
    """Return the sampling, budget and verifier that a preset states, under the names of the options of `kgym eval`."""
    stated = {
        name: getattr(preset, name) for name in ("temperature", "top_p", "top_k", "max_tokens", "verifier", "stop")
    }
    return {name: value for name, value in stated.items() if value is not None}


def stated_env(preset: PresetInfo) -> dict[str, str]:
    """Return the options of the environment that a preset states."""
    return {name: value for name, value in (("prompt", preset.prompt), ("system", preset.system)) if value is not None}


def samples_of(preset: PresetInfo, n_problems: int) -> int:
    """Return how many completions each problem of a benchmark with `n_problems` gets."""
    return preset.samples if n_problems <= SMALL or preset.samples_large is None else preset.samples_large
