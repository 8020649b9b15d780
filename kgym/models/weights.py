"""Weights on their way from a policy to an engine: `kgym.types.Weights`.

engine.load(step, ModelWeights(policy.model))

`WatchedWeights` and `OtherWeights` are for the guards of `kgym.rollout.handover`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kgym.models.checksums import checksum
from kgym.types import HeldTensor, Weights

SHIFT = 0.02
"""Difference between the elements of an adapter and those of its other version."""


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor that is cut over ranks in one piece; all ranks call this for the same tensors in the same
    order.
    """
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor: all of it, unless it is cut over ranks."""
    part = getattr(tensor, "to_local", None)
    return tensor if part is None else part()


def cut_as(tensor: Tensor, part: Tensor) -> Tensor:
    """Return `part`, which belongs to this rank's part of `tensor`, as a tensor that is cut over
    ranks like `tensor`.
    """
    if local(tensor) is tensor:
        return part
    from torch.distributed.tensor import DTensor  # noqa: PLC0415

    assert isinstance(tensor, DTensor)
    return DTensor.from_local(
        part, tensor.device_mesh, tensor.placements, run_check=False, shape=tensor.shape, stride=tensor.stride()
    )


def identity(tensor: Tensor) -> object:
    """Return a key that is the same for tensors that are one, such as tied weights; valid while the tensors exist."""
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
        """Yield the name and the tensor of every entry of the state dict, those that are cut over ranks put together
        one by one.
        """
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


def held(model: nn.Module) -> list[HeldTensor]:
    """Return what an engine that samples from `model` must show of it; see `kgym.types.ShowsWeights`."""
    sums: dict[object, int] = {}
    found = []
    for name, tensor in model.state_dict().items():
        key = identity(tensor)
        if key not in sums:
            sums[key] = checksum(tensor)
        found.append(HeldTensor((name,), str(tensor.dtype).removeprefix("torch."), sums[key]))
    return found


class WatchedWeights:
    """Weights with a checksum of each tensor, computed when the tensor is read for the last time, so that no further
    read is needed.
    """

    def __init__(self, weights: Weights, dtypes: Mapping[str, str]) -> None:
        """`dtypes` has the types in which tensors are to be compared, by their names; others have no checksum."""
        self._weights = weights
        self._dtypes = dtypes
        self.checksums: dict[str, int] = {}

    @property
    def adapter(self) -> Mapping[str, Any] | None:
        """See `kgym.types.Weights`."""
        return self._weights.adapter

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """See `kgym.types.Weights`."""
        for name, tensor in self._weights.named():
            if name in self._dtypes:
                self.checksums[name] = checksum(tensor.detach().to(getattr(torch, self._dtypes[name])))
            yield name, tensor

    def copied(self) -> Weights:
        """See `kgym.types.Weights`."""
        return self._weights.copied()


@dataclass(frozen=True)
class OtherWeights:
    """Very different weights of the same names and shapes, made tensor by tensor as they are read: see `other`."""

    weights: Weights

    @property
    def adapter(self) -> Mapping[str, Any] | None:
        """See `kgym.types.Weights`."""
        return self.weights.adapter

    @torch.no_grad()
    def named(self) -> Iterator[tuple[str, Tensor]]:
        """See `kgym.types.Weights`."""
        for name, tensor in self.weights.named():
            yield name, other(tensor, adapter=self.adapter is not None) if tensor.is_floating_point() else tensor

    def copied(self) -> Weights:
        """See `kgym.types.Weights`."""
        return TensorWeights(dict(self.named()))


def other(tensor: Tensor, *, adapter: bool) -> Tensor:
    """Return a tensor of other weights: the negative, which can be undone exactly; for an adapter, which begins with
    zeros, a shifted one.
    """
    return tensor + SHIFT if adapter else -tensor
