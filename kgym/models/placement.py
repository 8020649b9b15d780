"""The device and the dtype of a model, as users write them: `auto`, `cuda:1`, `bfloat16`."""

import torch

from kgym.errors import ConfigError
from kgym.world import local_rank, n_local_ranks

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def placement(device: str, dtype: str) -> tuple[str, torch.dtype]:
    """Return the device as torch names it, and the type of the weights.

    The device `auto` is the GPU if there is one; with several ranks on a machine, each rank has its own. The dtype
    `auto` is float32 on the CPU and bfloat16 elsewhere. Raises ConfigError for a dtype that is none of `DTYPES`, and
    for a GPU that does not exist or belongs to another rank.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    _hold_that_it_exists(device)
    if n_local_ranks() > 1 and device.startswith("cuda"):
        device = _own_gpu(device)
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    if dtype not in DTYPES:
        raise ConfigError(f"dtype={dtype!r} must be one of auto, {', '.join(DTYPES)}")
    return device, DTYPES[dtype]


def _hold_that_it_exists(device: str) -> None:
    try:
        known = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device={device}: torch knows no such device; use auto, cpu or cuda") from None
    n_gpus = torch.cuda.device_count()
    if known.type == "cuda" and (known.index or 0) >= n_gpus:
        raise ConfigError(
            f"device={device}: torch finds {n_gpus or 'no'} GPU{'s' * (n_gpus != 1)} here; use auto or cpu"
        )


def _own_gpu(device: str) -> str:
    """Return the GPU of this rank."""
    n_ranks, n_gpus = n_local_ranks(), torch.cuda.device_count()
    if device != "cuda":
        raise ConfigError(
            f"device={device}: each of the {n_ranks} ranks of this machine needs its own GPU; use cuda or auto"
        )
    if n_ranks > n_gpus:
        raise ConfigError(
            f"this machine has {n_ranks} ranks and {n_gpus} GPUs; start one rank for each GPU, or set device=cpu"
        )
    return f"cuda:{local_rank()}"
