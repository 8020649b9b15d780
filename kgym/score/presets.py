"""Published protocols of evaluation: how often, how hot, how long and in which words others ask.

    kgym eval --bench math500 --preset r1

The records come from plugins (`kgym_components`). A preset fills in what the command leaves open, so an explicit option
always wins. What it fills in is part of the request that a run folder keeps and, but for the number of samples, of the
comparability hash; its name is not: who sets the same values has the same hash.
"""

from typing import Any, cast

from kgym.errors import UnknownName
from kgym.hookspecs import PresetInfo
from kgym.registry import registry

SMALL = 100
"""Problems up to which a benchmark counts as small, and gets the larger number of samples."""


def presets() -> dict[str, PresetInfo]:
    """Return what there is, by name."""
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
    """Return how many answers each of so many problems gets."""
    return preset.samples if n_problems <= SMALL or preset.samples_large is None else preset.samples_large
