"""Where a model is computed and in which numbers, as people write it: `auto`, `cuda:1`, `bfloat16`."""

import torch

from kgym.errors import ConfigError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def placement(device: str, dtype: str) -> tuple[str, torch.dtype]:
    """Return the device as torch names it, and the type of the weights.

    The device `auto` is the GPU if there is one; the dtype `auto` is float32 on the CPU and bfloat16 elsewhere.
    Raises ConfigError for a dtype that is none of `DTYPES`.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    if dtype not in DTYPES:
        raise ConfigError(f"dtype={dtype!r} is none of auto, {', '.join(DTYPES)}")
    return device, DTYPES[dtype]
