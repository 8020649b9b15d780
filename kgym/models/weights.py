"""Weights on their way from a policy to an engine: `kgym.types.Weights`.

engine.load(step, ModelWeights(policy.model))
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor that is cut over ranks in one piece; every rank asks for the same ones in the same order."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor: all of it, unless it is cut over ranks."""
    part = getattr(tensor, "to_local", None)
    return tensor if part is None else part()


def cut_as(tensor: Tensor, part: Tensor) -> Tensor:
    """Return `part`, which is of this rank's part of `tensor`, as what is cut over ranks as that is."""
    if local(tensor) is tensor:
        return part
    from torch.distributed.tensor import DTensor  # noqa: PLC0415

    assert isinstance(tensor, DTensor)
    return DTensor.from_local(part, tensor.device_mesh, tensor.placements, run_check=False, shape=tensor.shape, stride=tensor.stride())


def identity(tensor: Tensor) -> object:
    """Return what tensors that are there at the same time share if they are one, as weights that are tied are."""
    if local(tensor) is not tensor:
        return id(tensor)
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


@dataclass(frozen=True)
class TensorWeights:
    """Named tensors, of a whole model, or, with its configuration, of an adapter."""

    tensors: Mapping[str, Tensor]
    adapter: Mapping[str, Any] | None = None

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the tensor of each."""
        yield from self.tensors.items()

    def copied(self) -> "TensorWeights":
        """Return itself: a snapshot already."""
        return self


@dataclass(frozen=True)
class ModelWeights:
    """The weights of a model as they are when they are read: no copy."""

    model: nn.Module
    adapter: ClassVar[None] = None

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the tensor of every entry of the state dict, those that are cut over ranks put together one by one."""
        for name, tensor in self.model.state_dict().items():
            yield name, whole(tensor)

    @torch.no_grad()
    def copied(self) -> TensorWeights:
        """Return a snapshot, which later optimizer steps do not change; weights that are tied stay one tensor."""
        copies: dict[object, Tensor] = {}
        tensors = {}
        for name, parameter in self.model.state_dict(keep_vars=True).items():
            key = identity(parameter)
            if key not in copies:
                copies[key] = whole(parameter.detach()).clone()
            tensors[name] = copies[key]
        return TensorWeights(tensors)
