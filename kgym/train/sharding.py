"""A model cut over the ranks by FSDP2, and its conversion to and from files that do not depend on ranks.

    shard(model, device)                     each decoder layer and the rest: a rank keeps a slice of every weight
    whole_state(optimizer)                   the state dict as one process would have it; every rank calls it
    load_whole_state(optimizer, state)       each rank takes its slices: on any number of ranks, also on one

Gradients are summed over ranks, not averaged: micro-batches carry the totals of their batch, so their losses add up to
its loss whichever rank computes them. Checkpoints have whole tensors: those of PyTorch's distributed checkpoints name
their parts in a pickle, and nothing that kgym reads is unpickled. Rank 0 needs memory for the weights and the optimizer
state of the whole model while it writes.

With one rank, all of this works as without ranks.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kgym.errors import ConfigError
from kgym.models.load import broken_weight
from kgym.models.weights import whole
from kgym.world import join


def shard(model: nn.Module, device: torch.device, compute: torch.dtype = torch.float32) -> None:
    """Cut a model, which is in main memory or on `device`, over the ranks and move it to `device`; do nothing with one
    rank.

    `model` is the module that a forward pass calls. Its matrices are multiplied in `compute` on a GPU; gradients are
    summed in float32.
    """
    world = join()
    if world.size == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard  # noqa: PLC0415

    if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
        raise ConfigError(
            f"several ranks need PyTorch 2.9 or newer, and this is {torch.__version__}; update it, or use one rank"
        )
    mesh = init_device_mesh(device.type, (world.size,))
    mixed = device.type != "cpu" and compute != torch.float32
    precision = MixedPrecisionPolicy(compute, torch.float32) if mixed else MixedPrecisionPolicy()
    for module in (*_layers(model), model):
        fully_shard(module, mesh=mesh, mp_policy=precision, reshard_after_forward=True)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo cannot multiply before it sums


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers that transformers marks to be kept in one piece."""
    kinds = {name for module in model.modules() for name in getattr(module, "_no_split_modules", None) or ()}
    for module in model.modules():
        if type(module).__name__ in kinds and any(True for _ in module.parameters()):
            yield module


def device_of_start(device: str) -> str:
    """Return the device on which to load weights that are then cut over ranks: a GPU need not hold all of them."""
    return "cpu" if join().size > 1 else device


def anyones_broken_weight(model: nn.Module, dtype: torch.dtype = torch.float32) -> str | None:
    """Return the name of a weight that is not finite on some rank, or would not be in `dtype`; None if there is
    none.
    """
    return next((name for name in join().gather(broken_weight(model, dtype)) if name is not None), None)


@torch.no_grad()
def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict: that of several ranks in main memory on rank 0, and {} on the others. Every rank calls
    it.
    """
    if join().size == 1:
        return model.state_dict()
    state = {}
    for name, tensor in model.state_dict().items():
        value = whole(tensor)
        if join().first:
            state[name] = value.cpu()
    return state


def load_whole_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load what `whole_weights` returned on rank 0."""
    current = model.state_dict()
    model.load_state_dict({name: _slice(value, current[name]) for name, value in state.items()})


def whole_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state dict of an optimizer, with whole tensors in main memory on rank 0; every rank calls it."""
    state = optimizer.state_dict()
    if join().size == 1:
        return state
    first = join().first
    entries: dict[Any, dict[str, Any]] = {}
    for number, entry in state["state"].items():
        values = {name: whole(value) if isinstance(value, Tensor) else value for name, value in entry.items()}
        entries[number] = (
            {name: value.cpu() if isinstance(value, Tensor) else value for name, value in values.items()}
            if first
            else {}
        )
    return state | {"state": entries}


def load_whole_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load what `whole_state` returned on rank 0."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    entries = {
        number: {name: _slice(value, parameters[number]) for name, value in entry.items()}
        for number, entry in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": entries})


def _slice(value: Any, parameter: Tensor) -> Any:
    """Return a tensor cut as its parameter is; a value of another shape, such as a number of steps, is the same on
    every rank.
    """
    if join().size == 1 or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor  # noqa: PLC0415

    if not isinstance(parameter, DTensor):
        return value
    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
    )
