"""What makes a resumed run the same run: the facts outside its configuration that its numbers depend on.

A changed fact (data, prompt, verifier, budgets, another model at the same path) ends the command before anything is read or written.
A changed version of a package or of a plugin is only said: it need not move a number.
"""

import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgym.config import RunConfig
from kgym.errors import ConfigError
from kgym.models.names import file_sha256, model_fingerprint, resolve_model
from kgym.registry import registry
from kgym.score.comparability import changes
from kgym.train.components import chosen

FACTS = ("env", "validation", "benches", "fingerprints")
"""Keys of the manifest that may not change."""
VERSIONS = ("versions", "components", "checkout")
"""Keys of the manifest whose changes are said."""


def fingerprints(config: RunConfig, *, critic: bool) -> dict[str, str]:
    """Return those of models and files that the configuration names, by key: {"model": "9f2c...", "ptx.data": "41d0..."}.

    `critic` says whether the algorithm has one. A verifier's own are among the facts of the environment.
    """
    found = {"model": model_fingerprint(resolve_model(config.model))}
    if critic and config.critic.model is not None:
        found["critic.model"] = model_fingerprint(resolve_model(config.critic.model))
    if config.ptx.coef and config.ptx.data is not None:
        found["ptx.data"] = file_sha256(Path(config.ptx.data))
    for kind, name, options, place in chosen(config):
        if kind not in ("verifier", "tracker"):
            own = registry().options(kind, name, options).fingerprints()
            found |= {f"{place}.{key}": value for key, value in own.items()}
    return found


def component_versions(config: RunConfig) -> dict[str, str]:
    """Return what each component comes from: {"algorithm mirror": "kgym 0.1.0"}; of a plain file the sha256 of its source."""
    return {f"{kind} {name}": _version(kind, name) for kind, name, _, _ in chosen(config)}


def _version(kind: str, name: str) -> str:
    record = registry().provider(kind, name)
    if record.distribution:
        return f"{record.distribution} {record.version}"
    file = inspect.getsourcefile(inspect.unwrap(registry().target(kind, name)))
    return f"{record.name} {hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]}" if file else record.name


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
    return f"since the run began, {'; '.join(changed.values())}: figures may differ from those of one go" if changed else ""
