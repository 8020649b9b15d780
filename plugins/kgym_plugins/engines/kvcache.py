"""Keys and values of a batch whose rows are added and removed.

transformers' own dynamic cache copies everything for each new token; this one has room to grow, and rows can be dropped
and added. Rows are padded on the left, so the newest tokens of all rows are in the same column and a step writes one
column. Keys are rotated by the position of their token before they come here, so the column of a token does not matter.

Dimension key:  B rows   H key-value heads   L columns   D size of a head
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
"""Types of layers, as a configuration names them, whose only state is keys and values."""
ROUNDING = 0.05
"""Largest difference of two computations of the same logits that counts as rounding, as a share of their range;
bfloat16 needs about 0.01.
"""
ROOM = 64
"""Fewest spare columns of a layer after it grew."""


def room(columns: int) -> int:
    """Return the columns of a new buffer for `columns`."""
    return columns + max(ROOM, columns // 2)


class _Layer(DynamicLayer):
    """One layer; `keys` and `values` are (B, H, L, D) views of buffers that have room after them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append new columns to the old ones and return all of them."""
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
    """Copy to the front of a buffer that is half as large again, so that all copies of a completion cost a few times
    its length.
    """
    B, H, L, D = states.shape
    buffer = states.new_empty((B, H, room(columns), D))
    buffer[:, :, :L] = states
    return buffer


class RowCache(Cache):
    """The cache that a model's forward pass is given."""

    layers: list[_Layer]

    def __init__(self, attention: Tensor) -> None:
        """Begin without columns; `attention` has the columns that are read first, (B, L) int64, 0 for padding."""
        super().__init__(layer_class_to_replicate=_Layer)
        self.attention = attention

    def select(self, rows: Tensor, first_column: int = 0) -> None:
        """Keep these rows, in this order and perhaps several times, and drop the columns before `first_column`."""
        for layer in self.layers:
            layer.replace(
                layer.keys[:, :, first_column:].index_select(0, rows),
                layer.values[:, :, first_column:].index_select(0, rows),
            )
        self.attention = self.attention[rows, first_column:]

    @classmethod
    def of(cls, rows: Sequence[Sequence[tuple[Tensor, Tensor]]], attention: Tensor) -> "RowCache":
        """Return the cache of rows that were taken out of others; the shorter ones are padded on the left with zeros.

        `attention` has also the columns that are to be read.
        """
        cache, columns = cls(attention), max(row[0][0].shape[2] for row in rows)
        for pairs in zip(*rows, strict=True):  # of one layer
            keys, values = (
                torch.cat([pad(states, (0, 0, columns - states.shape[2], 0)) for states in side])
                for side in zip(*pairs, strict=True)
            )
            layer = _Layer()
            layer.lazy_initialization(keys, values)
            layer.replace(keys, values)
            cache.layers.append(layer)
        return cache

    def taken(self, row: int, n_columns: int) -> list[tuple[Tensor, Tensor]]:
        """Copy the newest columns of a row, of each layer."""
        return [
            (layer.keys[row : row + 1, :, -n_columns:].clone(), layer.values[row : row + 1, :, -n_columns:].clone())
            for layer in self.layers
        ]

    def join(self, other: "RowCache") -> None:
        """Append the rows of `other` to these; the shorter side is padded on the left with zeros, which the attention
        mask hides.
        """
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            columns = max(mine.keys.shape[2], theirs.keys.shape[2])
            keys, values = (
                torch.cat([pad(states, (0, 0, columns - states.shape[2], 0)) for states in pair])
                for pair in ((mine.keys, theirs.keys), (mine.values, theirs.values))
            )
            mine.replace(keys, values)
        masks = (self.attention, other.attention)
        columns = max(mask.shape[1] for mask in masks)
        self.attention = torch.cat([pad(mask, (columns - mask.shape[1], 0)) for mask in masks])


# --- whether a model can continue from such a cache -------------------------------------------------------------------


def other_state(config: PreTrainedConfig) -> str | None:
    """Say why a model of this configuration keeps more than keys and values; None if nothing in it shows that."""
    kinds = sorted(set(getattr(config.get_text_config(), "layer_types", None) or ()) - ATTENTION)
    if kinds:
        return f"it has layers of the type {', '.join(kinds)}"
    found = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    for kind in found if isinstance(found, tuple) else (found,):
        if getattr(kind, "_is_stateful", False):
            return f"a {kind.__name__} keeps a state other than keys and values"
    return None


@torch.inference_mode()
def why_not_continued(model: PreTrainedModel) -> str | None:
    """Say why a model does not compute from keys and values what it computes from all tokens; None if it does.

    Two tokens are read and then a third, and the logits are compared with those of three at once. Models do not declare
    reliably what they support, and one that reads in both directions or drops a state would silently sample wrong
    texts.
    """
    name, cache = type(model).__name__, empty_cache(model)
    try:
        ids_L = arbitrary_ids(model, 3)
        last_logits(model, ids_L[:2], cache)
        continued_V = last_logits(model, ids_L[2:], cache)
        whole_V = last_logits(model, ids_L, empty_cache(model))
    except Exception as error:  # the type depends on the architecture
        said = " ".join(str(error).split()) or type(error).__name__
        return f"a {name} does not work with a cache of keys and values ({said})"
    if not cache.layers or not all(layer.is_initialized for layer in cache.layers):
        return f"a {name} has layers that keep no keys and values"
    finite_V = whole_V[whole_V.isfinite()]  # minus infinity may exclude a token
    if finite_V.numel() and (continued_V - whole_V).abs().nan_to_num().max() > ROUNDING * (
        finite_V.max() - finite_V.min()
    ):
        return f"a {name} computes other logits from keys and values than from the whole text"
    return None


def arbitrary_ids(model: PreTrainedModel, n: int) -> Tensor:
    """Return ordinary tokens, (n,): from the middle of the vocabulary, as the first ones are special."""
    n_rows = model.get_input_embeddings().weight.shape[0]
    return (torch.arange(n, device=model.device) + n_rows // 2) % n_rows


def empty_cache(model: PreTrainedModel) -> RowCache:
    """Return the cache of one row that has no tokens yet."""
    return RowCache(torch.ones((1, 0), dtype=torch.long, device=model.device))


def last_logits(model: PreTrainedModel, ids_L: Tensor, cache: RowCache) -> Tensor:
    """Read more tokens of one row and return the logits of the next, (V,)."""
    start = cache.attention.shape[1]
    cache.attention = pad(cache.attention, (0, len(ids_L)), value=1)
    output = model(
        input_ids=ids_L[None],
        attention_mask=cache.attention,
        position_ids=torch.arange(start, start + len(ids_L), device=model.device)[None],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits_V: Tensor = output.logits[0, -1].float()
    return logits_V
