"""The identity of a resumed run: the facts outside its configuration that its numbers depend on.

A changed fact (data, prompt, verifier, budgets, another model at the same path) ends the command before anything is
read or written. A changed version of a package or of a plugin is only reported: it need not change a number.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgym.errors import ConfigError
from kgym.score.comparability import changes

FACTS = ("env", "validation", "benches", "fingerprints")
"""Keys of the manifest that may not change."""
VERSIONS = ("versions", "components", "checkout")
"""Keys of the manifest whose changes are reported."""


def refuse_changes(run: Path, manifest: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Raise ConfigError if a fact has changed since the manifest was written, with both values and what to do.

    Facts that the manifest of an older version lacks are not compared.
    """
    then, now = ({key: found[key] for key in FACTS if key in found} for found in (manifest, facts))
    changed = changes(then, now)
    if changed:
        remedies = list(dict.fromkeys(filter(None, map(_remedy, changed)))) or ["restore what it was"]
        raise ConfigError(
            f"{run} cannot be resumed as the same run, because since it began {'; '.join(changed.values())}: "
            f"{' and '.join(remedies)}, or begin another run with --run"
        )


def _remedy(key: str) -> str:
    if key.endswith("data_sha256"):
        return "restore the old data (kgym data add NAME FILE --replace)"
    if "fingerprints." in key:
        return "put the old files of the model back" if "model" in key else "put the old file back"
    return ""


def changed_versions(manifest: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Say which packages and plugins have another version than the manifest has; "" if none."""
    then, now = ({key: found[key] for key in VERSIONS if key in found} for found in (manifest, facts))
    changed = changes(then, now)
    return (
        f"since the run began, {'; '.join(changed.values())}: figures may differ from those of an uninterrupted run"
        if changed
        else ""
    )
