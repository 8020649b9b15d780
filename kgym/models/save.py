"""From a model to a Hugging Face folder, with weights of a chosen type; `load.py` does the reverse."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kgym.models.names import CONFIG
from kgym.models.placement import DTYPES
from kgym.models.weights import identity, whole
from kgym.world import join


@torch.no_grad()
def save_model(
    model: PreTrainedModel, folder: Path, *, dtype: torch.dtype, weight: Callable[[nn.Parameter], Tensor] | None = None
) -> None:
    """Write a folder that `from_pretrained` and vLLM load, with its weights, and the type that its configuration names,
    in `dtype`.

    `weight` returns the tensor to write for a parameter, by default the parameter itself. Every rank calls it, and rank
    0 writes.
    """
    world = join()
    if world.size == 1 and weight is None and {parameter.dtype for parameter in model.parameters()} == {dtype}:
        model.save_pretrained(folder)
        return
    cast: dict[object, Tensor] = {}  # weights that are tied stay one tensor
    state = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        key = identity(tensor)
        if key not in cast:
            value = whole(
                weight(tensor) if weight is not None and isinstance(tensor, nn.Parameter) else tensor.detach()
            )
            cast[key] = (
                (value.to(dtype) if value.is_floating_point() else value).cpu() if world.first else value.new_empty(0)
            )
        state[name] = cast[key]
    if world.first:
        model.save_pretrained(folder, state_dict=state)
        _name_dtype(folder / CONFIG, str(dtype).removeprefix("torch."))


def _name_dtype(file: Path, dtype: str) -> None:
    """Write a type of the weights into a configuration and those of its parts; transformers writes the model's own
    type.
    """
    config = json.loads(file.read_text(encoding="utf-8"))
    _replace(config, dtype)
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _replace(config: dict[str, Any], dtype: str) -> None:
    for key, value in config.items():
        if isinstance(value, dict):
            _replace(value, dtype)
        elif key in ("dtype", "torch_dtype") and value in DTYPES:
            config[key] = dtype
