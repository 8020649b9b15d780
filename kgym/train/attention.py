"""Attention over packed tokens: registered with transformers, which calls it in every layer of a model that names it.

The rows are passed on as an argument of the model, `kgym_rows`, so that a layer that is computed again in the backward
pass gets the same ones. A call without rows comes from other code, with its own rows, and is ordinary attention.

Dimension key:  N packed tokens   R places of all rows   B rows   Q queries of a row   K keys of a row
                D width of a head   H heads of the queries (keys and values may have fewer)
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from kgym.train.layout import Bucket, Rows, collect, spread

NAME = "kgym"

PASSIVE = {
    "is_causal",
    "position_ids",
    "output_attentions",
    "output_hidden_states",
    "use_cache",
    "cache_position",
    "return_dict",
}
"""Arguments of attention that change nothing here; a model that passes any other argument, not None, cannot be packed.
"""


BLOCK = 512
"""Queries of a row that attend at once where a mask of all pairs with their keys is made."""


LONG = 4096
"""Keys of a row from which cuDNN may attend on a GPU: it makes a plan for every new shape, which takes longer than the
attention of short rows, and the rows of each batch have other shapes. On an H100 that was nine tenths of a training
step of `nano`.
"""
OTHERS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class CannotPack(Exception):
    """A model attends in a way that packed rows do not have."""


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    kgym_rows: Rows | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attend, (1, heads, N, D) -> (1, N, heads, D), as functions of transformers do. Raises CannotPack for what rows
    do not have.
    """
    if kgym_rows is None:
        return _unpacked(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, softcap=softcap, **more
        )
    unknown = sorted(name for name, given in more.items() if given is not None and name not in PASSIVE)
    if unknown or not getattr(module, "is_causal", True) or more.get("is_causal") is False or dropout:
        raise CannotPack(f"its attention has {unknown[0] if unknown else 'dropout, or looks ahead'}")
    rows = kgym_rows
    rows.windows[getattr(module, "layer_idx", len(rows.windows))] = sliding_window
    query_R, key_R, value_R = (
        spread(states.squeeze(0).transpose(0, 1), where)
        for states, where in ((query, rows.queries), (key, rows.keys), (value, rows.keys))
    )
    found, from_query, from_key = [], 0, 0
    for bucket in rows.buckets:
        n_queries, n_keys = bucket.n_rows * bucket.n_queries, bucket.n_rows * bucket.n_keys
        with kernels(bucket.n_keys, query.device):
            out = _attend(
                bucket,
                _as_rows(query_R[from_query : from_query + n_queries], bucket.n_rows),
                _as_rows(key_R[from_key : from_key + n_keys], bucket.n_rows),
                _as_rows(value_R[from_key : from_key + n_keys], bucket.n_rows),
                scaling=scaling,
                window=sliding_window,
                softcap=softcap,
            )
        found.append(out.transpose(1, 2).flatten(0, 1))
        from_query, from_key = from_query + n_queries, from_key + n_keys
    return collect(torch.cat(found) if len(found) > 1 else found[0], rows.queries)[None], None


def kernels(n_keys: int, device: torch.device) -> AbstractContextManager[None]:
    """Exclude cuDNN where its plans take longer than they save."""
    return sdpa_kernel(OTHERS) if device.type == "cuda" and n_keys < LONG else nullcontext()


def _as_rows(states: Tensor, n_rows: int) -> Tensor:
    """Return (places, H, D) as (B, H, places of a row, D)."""
    return states.unflatten(0, (n_rows, -1)).transpose(1, 2)


def _attend(
    bucket: Bucket,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """Attend within the rows of a bucket, (B, H, Q, D)."""
    if bucket.query_positions is not None:
        if window is not None and window >= bucket.n_keys:
            window = None
        return _masked(query, key, value, bucket.mask(window), scaling=scaling, softcap=softcap)
    if softcap is None and (window is None or window >= bucket.n_keys):
        return scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
        )
    return _banded(query, key, value, window or bucket.n_keys, scaling=scaling, softcap=softcap)


def _banded(
    query: Tensor, key: Tensor, value: Tensor, window: int, *, scaling: float | None, softcap: float | None
) -> Tensor:
    """Attend causally to the `window` newest keys, a block of queries at a time, so that no mask of all pairs is
    made.
    """
    n, block = query.shape[2], max(window, BLOCK) if softcap is None else BLOCK
    found = []
    for start in range(0, n, block):
        stop, first = min(start + block, n), max(0, start - window + 1)
        ago = torch.arange(start, stop, device=query.device)[:, None] - torch.arange(first, stop, device=query.device)
        seen = (ago >= 0) & (ago < window)
        found.append(
            _masked(
                query[:, :, start:stop],
                key[:, :, first:stop],
                value[:, :, first:stop],
                seen,
                scaling=scaling,
                softcap=softcap,
            )
        )
    return torch.cat(found, dim=2)


def _masked(
    query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, *, scaling: float | None, softcap: float | None
) -> Tensor:
    """Attend where `seen` is true; if `seen` is not boolean, add it to the scores."""
    grouped = query.shape[1] // key.shape[1]
    if softcap is None and query.device.type == "cpu":
        return scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scaling, enable_gqa=grouped > 1)
    key, value = (states.repeat_interleave(grouped, dim=1) if grouped > 1 else states for states in (key, value))
    if softcap is None:  # GPU kernels with a mask do not support grouped heads
        return scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scaling)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = (scores / softcap).tanh() * softcap
    if seen is not None:
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min) if seen.dtype == torch.bool else scores + seen
    return scores.softmax(-1, dtype=torch.float32).to(value.dtype) @ value


def _unpacked(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attend as the function `sdpa` of transformers does, which has no softcap."""
    if softcap is None:
        sdpa = AttentionInterface()["sdpa"]
        with kernels(key.shape[2], key.device):
            found: tuple[Tensor, None] = sdpa(
                module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **more
            )
        return found
    if attention_mask is None and query.shape[2] > 1:
        places = torch.arange(query.shape[2], device=query.device)
        attention_mask = places[:, None] >= places
    return _masked(query, key, value, attention_mask, scaling=scaling, softcap=softcap).transpose(
        1, 2
    ).contiguous(), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
