"""Weights from one process to another on the same GPU, as the backend `ipc` of vLLM's weight transfer takes them.

This side copies no tensor: the other one maps the memory of the trainer's tensors (CUDA IPC) and copies from there. The
messages are those of vLLM 0.30 to 0.33 (`IPCWeightTransferUpdateInfo`, not packed), several for one update.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor

from kgym.errors import EngineError

CHUNK_BYTES = 1 << 30
"""Most bytes in memory at a time of tensors that are made as they are read, such as those of a merged adapter."""


def updates(named: Iterable[tuple[str, Tensor]], chunk_bytes: int = CHUNK_BYTES) -> Iterator[dict[str, Any]]:
    """Yield one message after the other; the tensors of a message live until the next one is asked for.

    Raises EngineError for a tensor that is not on a GPU.
    """
    chunk: list[tuple[str, Tensor]] = []
    n_bytes = 0
    for name, tensor in named:
        if tensor.device.type != "cuda":
            raise EngineError(f"engine.transfer=ipc: {name} is on {tensor.device}; set engine.transfer=memory")
        chunk.append((name, tensor.detach().contiguous()))
        n_bytes += chunk[-1][1].nbytes
        if n_bytes >= chunk_bytes:
            yield _message(chunk)
            chunk, n_bytes = [], 0
    if chunk:
        yield _message(chunk)


def _message(chunk: list[tuple[str, Tensor]]) -> dict[str, Any]:
    torch.cuda.synchronize(chunk[0][1].device)  # the other side must read finished tensors
    return {
        "names": [name for name, _ in chunk],
        "dtype_names": [str(tensor.dtype).removeprefix("torch.") for _, tensor in chunk],
        "shapes": [list(tensor.shape) for _, tensor in chunk],
        "ipc_handles": [{_uuid(tensor.device): reduce_tensor(tensor)[1]} for _, tensor in chunk],
    }


def _uuid(device: torch.device) -> str:
    return str(torch.cuda.get_device_properties(device).uuid)
