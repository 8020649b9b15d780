"""Weights in memory that two processes share.

One process allocates a block without a name and writes into it; the other maps it by its descriptor and reads. Each
side copies the weights once, and no file remains, however the processes end.
"""

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kgym.models.weights import TensorWeights

ALIGNMENT = 64


@dataclass(frozen=True)
class Place:
    """Where a tensor is in the block."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Layout:
    """Where each tensor is. Tied weights have one place."""

    places: tuple[Place, ...]
    n_bytes: int

    @classmethod
    def of(cls, named: Sequence[tuple[str, Tensor]]) -> "Layout":
        """Lay tensors out one after the other."""
        places: list[Place] = []
        offsets: dict[tuple[object, ...], int] = {}
        end = 0
        for name, tensor in named:
            key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
            if key not in offsets or not tensor.numel():
                offsets[key] = end
                end += -(-tensor.numel() * tensor.element_size() // ALIGNMENT) * ALIGNMENT
            places.append(Place(name, tensor.dtype, tuple(tensor.shape), offsets[key]))
        return cls(tuple(places), max(end, ALIGNMENT))


def shared(layout: Layout, fd: int) -> TensorWeights:
    """Return tensors over the block that a descriptor names; the descriptor may be closed."""
    block = mmap.mmap(fd, layout.n_bytes)
    return TensorWeights({place.name: _tensor(place, block) for place in layout.places})


def _tensor(place: Place, block: mmap.mmap) -> Tensor:
    n = torch.Size(place.shape).numel()
    if not n:
        return torch.empty(place.shape, dtype=place.dtype)
    return torch.frombuffer(block, dtype=place.dtype, count=n, offset=place.offset).view(place.shape)


def allocate(n_bytes: int) -> int:
    """Return the descriptor of a new block, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("kgym-weights")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, n_bytes)
    return fd
