"""Checks that the weights of a model folder are complete and finite. One tensor is in memory at a time."""

import json
from pathlib import Path

from kgym.errors import ConfigError
from kgym.files import reading
from kgym.models.names import ADAPTER, ADAPTER_WEIGHTS

ONE_FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
"""The index of a model in several files: {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors", ...}}.
"""


def check_weight_files(folder: Path) -> list[str]:
    """Return the names of the weight files of a folder that save_pretrained or peft wrote.

    Raises ConfigError if one is missing or damaged, or if a weight in it is not finite.
    """
    names = _names(folder)
    for name in names:
        if not (folder / name).is_file():
            raise ConfigError(f"{folder} lacks the weights {name}; write the model again, or use another folder")
        _check(folder / name)
    return names


def _names(folder: Path) -> list[str]:
    if (folder / ADAPTER).is_file():
        return [ADAPTER_WEIGHTS]
    if not (folder / INDEX).is_file():
        return [ONE_FILE]
    with reading(folder / INDEX, remedy="write the checkpoint again"):
        return sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))


def _check(file: Path) -> None:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415  (with torch)

    try:
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118  (not a mapping)
                tensor = weights.get_tensor(name)
                if tensor.is_floating_point() and not bool(tensor.float().isfinite().all()):
                    raise ConfigError(f"{file}: the weights {name} are not finite; take an earlier checkpoint")
    except SafetensorError as error:
        raise ConfigError(f"{file} is damaged ({error}); take an earlier checkpoint") from error
