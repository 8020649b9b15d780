"""`manifest.json` of a run folder, of training and of evaluation, and what other commands read from it.

Other programs write files of that name too, so the shape is checked when a file is read: a manifest that is returned
has the fields below, even if an older version wrote it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from kgym.config import VerifierConfig
from kgym.envs.spec import EnvSpec
from kgym.files import read_table, reading
from kgym.options import conform
from kgym.spelling import older_spelling

KIND = "eval"
"""Value of `manifest["kind"]` in the folder of an evaluation."""
SUPERVISED = ("sft", "dpo", "rm")
"""Values of `manifest["kind"]` in the folder of a run on examples."""


class _Named(BaseModel):
    name: str


class _Env(_Named):
    split: str
    options: dict[str, Any]


class _Rollout(BaseModel):
    problems_per_step: int
    group_size: int


class _Train(BaseModel):
    steps: int
    lr: float
    max_grad_norm: float


class _Config(BaseModel):
    model: str
    seed: int
    algo: _Named
    rollout: _Rollout
    train: _Train


class _Spec(_Named):
    split: str
    settings: dict[str, Any]


class _TrainManifest(BaseModel):
    config: _Config
    specs: dict[str, _Spec]


class _SupervisedConfig(BaseModel):
    model: str
    seed: int
    train: _Train


class _SupervisedManifest(BaseModel):
    config: _SupervisedConfig
    specs: dict[str, _Spec]


class _Request(BaseModel):
    model: str
    env_id: str
    split: str
    truncated: str


class _EvalManifest(BaseModel):
    benchmark: str
    request: _Request
    spec: _Spec


def kind_of(manifest: Mapping[str, Any]) -> str:
    """Return what a run is: `train`, `sft`, `dpo`, `rm` or `eval`."""
    kind = manifest.get("kind", "train")
    return kind if isinstance(kind, str) else "train"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run folder.

    Raises FileNotFoundError or NotADirectoryError if it is missing, DataError if it is damaged or another program's.
    """
    path = folder / "manifest.json"
    remedy = "without it kgym cannot know what the run was; start a new one"
    manifest = read_table(path, remedy=remedy)
    with reading(path, remedy=remedy):
        if manifest.get("kind") == KIND:
            manifest = _with_spec(manifest)
            conform(manifest, _EvalManifest)
        elif manifest.get("kind") in SUPERVISED:
            conform(manifest, _SupervisedManifest)
        else:
            manifest = _with_specs(manifest)
            conform(manifest, _TrainManifest)
    return manifest


def specs_of(manifest: Mapping[str, Any]) -> dict[str, EnvSpec]:
    """Return the environments of a run, by their labels: those trained on, or the one of an evaluation."""
    found = {manifest["spec"]["name"]: manifest["spec"]} if manifest.get("kind") == KIND else manifest["specs"]
    return {label: EnvSpec.from_json(values) for label, values in found.items()}


def adapter_of(manifest: Mapping[str, Any]) -> str:
    """Return the adapter that a training trained, such as `LoRA of rank 16`; "" if it trained all weights, as older
    versions always did.
    """
    rank = manifest["config"]["train"].get("lora", {}).get("rank", 0)
    return f"LoRA of rank {rank}" if rank else ""


def labelled_specs(manifest: Mapping[str, Any]) -> dict[str, EnvSpec]:
    """Return the environments of a run by the labels of its rows and figures; a single environment has ""."""
    specs = specs_of(manifest)
    several = bool(manifest.get("config", {}).get("envs"))
    return specs if several or not specs else {"": next(iter(specs.values()))}


def _with_spec(manifest: dict[str, Any]) -> dict[str, Any]:
    """Add the spec, which older evaluations did not store."""
    if "spec" in manifest or not isinstance(manifest.get("env_options"), Mapping):
        return manifest
    request = conform(manifest["request"], _Request)
    options = {key: value for key, value in manifest["env_options"].items() if key != "verifier_options"}
    spec = EnvSpec.of(request.env_id, request.split, options)
    judged = {key: manifest["request"][key] for key in ("verifier", "verifier_options") if key in manifest["request"]}
    return manifest | {"spec": spec.with_settings(truncated=request.truncated, **judged).to_json()}


def _with_specs(manifest: dict[str, Any]) -> dict[str, Any]:
    """Add the specs, which older trainings did not store, and convert the configuration to its present keys."""
    if "specs" in manifest or not isinstance(manifest.get("config"), Mapping):
        return manifest
    config = older_spelling(manifest["config"])
    env = conform(config["env"], _Env)
    spec = EnvSpec.of(env.name, env.split, env.options, conform(config.get("verifier") or {}, VerifierConfig))
    facts = manifest.get("env")
    if isinstance(facts, Mapping) and facts.get("truncated") == "zero" and env.options.get("truncated") == "mask":
        # in older versions the algorithm itself left truncated completions out of the loss
        manifest = manifest | {"env": {**facts, "truncated": "mask"}}
    return manifest | {"config": config, "specs": {env.name: spec.to_json()}}
