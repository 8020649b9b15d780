"""Fingerprints of the files outside its configuration that a run's numbers depend on: those of its models."""

from pathlib import Path

from kgym.config import RunConfig
from kgym.models.names import file_sha256, model_fingerprint, resolve_model
from kgym.registry import registry
from kgym.train.components import own_fingerprints
from kgym.train.rl.components import chosen
from kgym.types import UpdatePlan


def fingerprints(config: RunConfig, plan: UpdatePlan) -> dict[str, str]:
    """Return the fingerprints of the models and files that the configuration names, by key: {"model": "9f2c...",
    "ptx.data": "41d0..."}.

    `plan` says whether the algorithm has a critic, or its own reference. A verifier's fingerprints are among the facts
    of the environment.
    """
    found = {"model": model_fingerprint(resolve_model(config.model))}
    if plan.reference is not None:
        found["reference"] = model_fingerprint(resolve_model(plan.reference))
    if plan.needs_values and config.critic.model is not None:
        found["critic.model"] = model_fingerprint(resolve_model(config.critic.model))
    if config.ptx.coef and config.ptx.data is not None:
        found["ptx.data"] = file_sha256(Path(config.ptx.data))
    for kind, name, options, key in chosen(config):
        if (
            key.rpartition(".")[2] == "audit"
        ):  # the verifier of the rewards is among the facts of its environment, and this one is not
            own = registry().options(kind, name, options).fingerprints()
            found |= {f"{key}.{part}": value for part, value in own.items()}
    return found | own_fingerprints(chosen(config))
