"""What the numbers of a run depend on outside its configuration: the files of its models, and what its components are from."""

import hashlib
import inspect
from pathlib import Path

from kgym.config import RunConfig
from kgym.models.names import file_sha256, model_fingerprint, resolve_model
from kgym.registry import registry
from kgym.train.rl.components import chosen


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
