"""Weights on their way from a policy to an engine: `kgym.types.Weights`.

engine.load(step, ModelWeights(policy.model))
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


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
        """Yield the name and the tensor of every entry of the state dict."""
        yield from self.model.state_dict().items()

    @torch.no_grad()
    def copied(self) -> TensorWeights:
        """Return a snapshot, which later optimizer steps do not change; weights that are tied stay one tensor."""
        copies: dict[tuple[object, ...], Tensor] = {}
        tensors = {}
        for name, tensor in self.named():
            key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
            if key not in copies:
                copies[key] = tensor.clone()
            tensors[name] = copies[key]
        return TensorWeights(tensors)
