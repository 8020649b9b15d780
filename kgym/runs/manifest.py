"""`manifest.json` of a run folder, of training and of evaluation, and what other commands take from it.

Other programs write files of that name too, so the shape is checked when one is read: a manifest that is returned has what is below.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from kgym.files import read_table, reading
from kgym.options import conform

KIND = "eval"
"""What `manifest["kind"]` says in the folder of an evaluation; that of a training has no kind."""


class _Named(BaseModel):
    name: str


class _Env(_Named):
    split: str
    options: dict[str, Any]


class _Rollout(BaseModel):
    problems_per_step: int
    group_size: int
    truncated: str


class _Train(BaseModel):
    steps: int
    lr: float
    max_grad_norm: float


class _Config(BaseModel):
    model: str
    seed: int
    env: _Env
    algo: _Named
    rollout: _Rollout
    train: _Train


class _TrainManifest(BaseModel):
    config: _Config


class _Request(BaseModel):
    model: str
    env_id: str
    split: str
    truncated: str


class _EvalManifest(BaseModel):
    benchmark: str
    request: _Request
    env_options: dict[str, Any]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run folder.

    Raises FileNotFoundError or NotADirectoryError if there is none, DataError if it is damaged or another program's.
    """
    path = folder / "manifest.json"
    remedy = "without it nobody knows what the run was; begin another"
    manifest = read_table(path, remedy=remedy)
    with reading(path, remedy=remedy):
        conform(manifest, _EvalManifest if manifest.get("kind") == KIND else _TrainManifest)
    return manifest
