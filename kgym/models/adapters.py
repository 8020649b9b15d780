"""LoRA adapters in the format of peft: W becomes W + scale * B @ A, for the matrices of some linear layers.

DIR/  adapter_config.json  adapter_model.safetensors  (base_model.json)  tokenizer...

Reading an adapter does not need peft. `kgym.train.lora` trains one.

Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.

Dimension key:  O outputs of a layer   I inputs   R rank
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from kgym.errors import ConfigError
from kgym.models.names import ADAPTER, ADAPTER_WEIGHTS

PREFIX = "base_model.model."
"""Prefix of the names of modules in peft's files."""
NOT_READ = (
    "use_dora", "use_qalora", "use_bdlora", "bias", "lora_bias", "modules_to_save", "trainable_token_indices",
    "target_parameters", "layer_replication", "fan_in_fan_out", "alpha_pattern", "kasa_config", "monteclora_config",
    "arrow_config", "alora_invocation_tokens",
)  # fmt: skip
"""Options of peft with which an adapter is not plain LoRA, unless they are off."""
PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Values of `init_lora_weights` that leave the base model as it is; the others (pissa, olora ...) change it."""


def merged(weight_OI: Tensor, a_RI: Tensor, b_OR: Tensor, scale: float) -> Tensor:
    """Return W + scale * B @ A as a new tensor in the type of W, summed in float32; nothing is changed in place."""
    wide, device = torch.promote_types(weight_OI.dtype, torch.float32), weight_OI.device
    total = torch.addmm(weight_OI.to(wide), b_OR.to(device, wide), a_RI.to(device, wide), alpha=scale)
    return total.to(weight_OI.dtype)


@torch.no_grad()
def merge_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Add the adapter of a folder to the weights of a model, in place.

    Raises ConfigError for an adapter that cannot be added to this model.
    """
    config = _config(folder)
    for name, pair in read_adapter(folder).items():
        weight = _weight(model, name)
        if weight is None:
            raise ConfigError(
                f"{folder}: its base model has no linear layer {name}; the adapter belongs to another model"
            )
        if weight.shape != (pair["B"].shape[0], pair["A"].shape[1]) or len(pair["A"]) != pair["B"].shape[1]:
            raise ConfigError(
                f"{folder}: the adapter of {name} does not fit {tuple(weight.shape)}; it belongs to another model"
            )
        if weight is model.get_input_embeddings().weight:
            raise ConfigError(
                f"{folder} changes {name}, which this model uses as its embedding too; merge this adapter with peft"
            )
        weight.copy_(merged(weight, pair["A"], pair["B"], _scale(config, len(pair["A"]))))


def read_adapter(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Return {module: {"A": (R, I), "B": (O, R)}}.

    Raises ConfigError if the file is damaged or contains anything other than LoRA.
    """
    file = folder / ADAPTER_WEIGHTS
    try:
        tensors = load_file(file)
    except Exception as error:  # safetensors raises its own types, and those of the file system
        raise ConfigError(f"{file} is damaged: {str(error).splitlines()[0]}; use another checkpoint") from error
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.removeprefix(PREFIX).rpartition(".lora_")
        if part not in ("A.weight", "B.weight") or tensor.ndim != 2:
            raise ConfigError(
                f"{file}: {key} is not a LoRA matrix; merge this adapter with peft and name the new folder"
            )
        pairs.setdefault(name, {})[part[0]] = tensor
    if lacking := [name for name, pair in pairs.items() if len(pair) != 2]:
        raise ConfigError(
            f"{file} is damaged: one of the two matrices of {lacking[0]} is missing; use another checkpoint"
        )
    return pairs


def _weight(model: nn.Module, name: str) -> Tensor | None:
    try:
        layer = model.get_submodule(name)
    except AttributeError:
        return None
    return layer.weight if isinstance(layer, nn.Linear) else None


def _config(folder: Path) -> Mapping[str, Any]:
    file = folder / ADAPTER
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        kind = config.get("peft_type")
        finite = math.isfinite(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file} is damaged ({type(error).__name__}); use another checkpoint") from error
    if not finite:
        raise ConfigError(f"{file} is damaged: lora_alpha is not finite; use another checkpoint")
    if kind != "LORA":
        raise ConfigError(
            f"{folder} contains an adapter of the type {kind}; kgym reads LORA only: merge it with peft and name the "
            "new folder"
        )
    for key in NOT_READ:
        if (value := config.get(key)) and value != "none":
            raise ConfigError(
                f"{file}: {key} is {value}, which kgym does not read; merge this adapter with peft and name the new "
                "folder"
            )
    if (start := config.get("init_lora_weights")) not in PLAIN_STARTS:
        raise ConfigError(
            f"{file}: init_lora_weights is {start}, which changes the base model; merge this adapter with peft"
        )
    found: Mapping[str, Any] = config
    return found


def _scale(config: Mapping[str, Any], rank: int) -> float:
    """Return the factor of B @ A."""
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)
