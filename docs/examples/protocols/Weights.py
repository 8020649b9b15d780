"""Weights on their way to an engine: here those of a module of torch."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from kgym.types import Weights


class ModuleWeights:
    """Follows `kgym.types.Weights`."""

    adapter: Mapping[str, Any] | None = None  # a whole model, not a LoRA adapter

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = tensors

    def named(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every entry of the state dict."""
        yield from self.tensors.items()

    def copied(self) -> "ModuleWeights":
        """Return a snapshot that later optimizer steps do not change."""
        return ModuleWeights({name: tensor.detach().clone() for name, tensor in self.tensors.items()})


layer = torch.nn.Linear(2, 1)
weights: Weights = ModuleWeights(layer.state_dict())
before = weights.copied()
with torch.no_grad():
    layer.weight += 1
assert not torch.equal(dict(weights.named())["weight"], dict(before.named())["weight"])
