"""Runs vLLM's own weight transfer by `ipc` on a CPU: what CUDA does (handles of memory, names of GPUs) is replaced, the
rest is vLLM's.

Run by a Python that has vLLM: `PYTHON ipc_on_a_cpu.py WORKER.py MODEL WEIGHTS.safetensors` prints greedy tokens as
JSON, before and after the weights of the file have come in two messages.
"""

import importlib.util
import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import vllm.distributed.weight_transfer.ipc_engine as ipc
from safetensors.torch import load_file

_, path, model, file = sys.argv
spec = importlib.util.spec_from_file_location(
    "vllm_worker", path
)  # by its path: `ray` beside it is not the package ray
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
TENSORS = load_file(file)
N_ARGUMENTS = 15
"""Of `torch.multiprocessing.reductions.rebuild_cuda_tensor`; the device is number 6."""


def rebuilt(name: str, *rest: Any) -> torch.Tensor:
    """Stand for CUDA: the handle of a tensor is its name."""
    assert len(rest) == N_ARGUMENTS - 1
    return TENSORS[name]


ipc.rebuild_cuda_tensor = rebuilt
torch.cuda.get_device_properties = lambda device: SimpleNamespace(uuid="the-gpu")
torch.accelerator.synchronize = lambda *device: None


def tokens(worker: Any) -> list[int]:
    """Return a greedy completion."""
    request = {
        "id": "one",
        "ids": [5, 6, 7, 8],
        "max_tokens": 16,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "seed": 0,
    }
    worker.do_submit([request | {"end_ids": [], "watched": False}])
    ((_, ids, _, _),) = worker.do_poll(None)
    return ids


def message(names: list[str]) -> dict[str, Any]:
    """Return what `kgym_plugins.engines.vllm_ipc` sends of these tensors."""
    return {
        "names": names,
        "dtype_names": [str(TENSORS[name].dtype).removeprefix("torch.") for name in names],
        "shapes": [list(TENSORS[name].shape) for name in names],
        "ipc_handles": [{"the-gpu": (name, *[None] * (N_ARGUMENTS - 1))} for name in names],
    }


made = worker.Worker(socket.socketpair()[0], str(Path(__file__).parents[2] / "kgym/models/checksums.py"))
arguments = {"dtype": "float32", "enforce_eager": True, "skip_tokenizer_init": True, "enable_chunked_prefill": False}
made._make(model, arguments | {"logprobs_mode": "processed_logprobs", "weight_transfer_config": {"backend": "ipc"}})
before = tokens(made)
made.do_sleep()
made.do_start_update()
names = sorted(TENSORS)
made.do_update(message(names[: len(names) // 2]))
made.do_update(message(names[len(names) // 2 :]))
made.do_finish_update()
made.do_wake()
print(json.dumps([before, tokens(made)]))
