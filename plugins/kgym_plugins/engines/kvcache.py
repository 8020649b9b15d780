"""Keys and values of a batch whose rows come and go.

transformers' own dynamic cache copies everything for each new token; this one has room to grow, and rows can be dropped and added. Rows are
padded on the left, so the newest tokens of all rows stand in the same column and a step writes one column. Keys are rotated by the
position of their token before they come here, so the column of a token is of no account.

Dimension key:  B rows   H key-value heads   L columns   D size of a head
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64
"""Columns that a layer has spare after it grew, at the least."""


class _Layer(DynamicLayer):
    """One layer; `keys` and `values` are (B, H, L, D) views of buffers that have room behind them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Put new columns behind the old ones and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        old, new = self.keys.shape[2], self.keys.shape[2] + key_states.shape[2]
        if self.buffers is None or new > self.buffers[0].shape[2]:
            self.buffers = (_with_room(self.keys, new), _with_room(self.values, new))
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, old:new] = states
        self.keys, self.values = (buffer[:, :, :new] for buffer in self.buffers)
        return self.keys, self.values

    def replace(self, keys: Tensor, values: Tensor) -> None:
        """Hold other rows or columns; room is made when the next column comes."""
        self.keys, self.values, self.buffers = keys, values, None


def _with_room(states: Tensor, columns: int) -> Tensor:
    """Copy to the front of a larger buffer; half as much again, so that all copies of an answer cost a few times its length."""
    B, H, L, D = states.shape
    buffer = states.new_empty((B, H, columns + max(ROOM, columns // 2), D))
    buffer[:, :, :L] = states
    return buffer


class RowCache(Cache):
    """The cache that a model's forward pass is given."""

    layers: list[_Layer]

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=_Layer)

    def select(self, rows: Tensor, first_column: int = 0) -> None:
        """Keep these rows, in this order and perhaps several times, and drop the columns before `first_column`."""
        for layer in self.layers:
            layer.replace(layer.keys[:, :, first_column:].index_select(0, rows), layer.values[:, :, first_column:].index_select(0, rows))

    def join(self, other: "RowCache") -> None:
        """Put the rows of `other` below these; the shorter side is padded on the left with zeros, which the attention mask hides."""
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            columns = max(mine.keys.shape[2], theirs.keys.shape[2])
            keys, values = (
                torch.cat([pad(states, (0, 0, columns - states.shape[2], 0)) for states in pair])
                for pair in ((mine.keys, theirs.keys), (mine.values, theirs.values))
            )
            mine.replace(keys, values)
