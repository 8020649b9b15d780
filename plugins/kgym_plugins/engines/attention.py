"""Attention that also returns the weight of its keys, so that results over several sets of keys can be added.

Dimension key:  N sets of keys   H key-value heads   M queries of each   L keys of a set   D size of a head
"""

import torch
from torch import Tensor


def attention(
    query_NHMD: Tensor, key_NHLD: Tensor, value_NHLD: Tensor, mask_N11L: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Return the output of the queries, (N, H, M, D), and the logarithm of the sum of the exponentials of their scores,
    (N, H, M) float32.

    The mask is added to the scores. These are the kernels of `scaled_dot_product_attention`, which does not return the
    sum. The one for CUDA has not been run.
    """
    mask = None if mask_N11L is None else mask_N11L.expand(*query_NHMD.shape[:3], -1)
    if query_NHMD.is_cuda:
        found, weight, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            query_NHMD, key_NHLD, value_NHLD, mask, True, scale=scale
        )
        return found, weight[:, :, : query_NHMD.shape[2]]  # the kernel pads it
    found, weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query_NHMD, key_NHLD, value_NHLD, attn_mask=mask, scale=scale
    )
    return found, weight


def added(found: tuple[Tensor, Tensor], more: tuple[Tensor, Tensor]) -> Tensor:
    """Return the attention over both sets of keys."""
    share = (more[1] - found[1]).sigmoid_()[..., None]
    return torch.lerp(found[0], more[0], share.to(found[0].dtype))
