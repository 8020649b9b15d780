"""Linear layers for few rows at a time.

A product of few rows with a large matrix reads the matrix once and computes little. MKL, the library that torch calls
for it on x86 processors, changes the layout of much of the matrix each time. oneDNN, which torch also contains, takes a
matrix that was laid out before: `pack`. Measured on one thread, for 2 to 64 rows: 1.1 to 2.9 times as fast from 512 x
512 weights on, slower below. Packed weights are a copy, which has to be made again after the weights have changed.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

LEAST = 512 * 512
"""Fewest weights of a matrix that is packed."""
ROWS = 64
"""Number of rows for which oneDNN chooses the layout: that layout also suits fewer rows, while the layout for one row
suits only one.
"""


def packs(n_weights: int, device: str, dtype: torch.dtype) -> bool:
    """Whether a matrix with `n_weights` is packed."""
    if n_weights < LEAST or torch.device(device).type != "cpu" or dtype != torch.float32:
        return False
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return known and torch.backends.mkl.is_available()  # other processors have other libraries, which were not measured


class Linear:
    """A linear layer; its weights are the module's own, unless they are packed."""

    def __init__(self, module: nn.Linear) -> None:
        self.weight: Tensor = module.weight
        self.bias: Tensor | None = module.bias
        self._packed: Tensor | None = None

    def pack(self) -> None:
        """Lay out a copy of the weights, if that makes products faster."""
        if packs(self.weight.numel(), self.weight.device.type, self.weight.dtype):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, ROWS)

    def unpack(self) -> None:
        """Free the copy."""
        self._packed = None

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to rows."""
        if self._packed is None:
            return linear(x, self.weight, self.bias)
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        return found

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """Return the residual stream with its result."""
        if self._packed is not None:
            return self(x).add_(residual)
        if self.bias is not None:
            residual = residual + self.bias
        return torch.addmm(residual, x, self.weight.t())
