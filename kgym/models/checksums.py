"""Checksums of weights, so that two processes can compare their weights without sending them.

    checksum(torch.cat([q, k])) == (checksum(q) + checksum(k)) % 2**64

The bits of every element are mixed, and the results are added up. So one changed bit changes the sum, fused or
transposed tensors of an engine have the sum of their parts, and padding with zeros adds nothing. Checksums do not
notice elements that change places; log-probabilities do.

This file imports torch alone: workers that have no kgym load it by its path.
"""

import torch
from torch import Tensor

CHUNK = 1 << 20
"""Number of elements that are mixed at once; they fit into the cache of a CPU."""
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int32}
"""Types that read the bits of an element, by its size in bytes; eight bytes are read as two elements."""


@torch.no_grad()
def checksum(tensor: Tensor) -> int:
    """Return the checksum of the elements of a tensor, 0 to 2**64 - 1, wherever it is.

    >>> checksum(torch.zeros(3)), checksum(torch.ones(2)) == 2 * checksum(torch.ones(1))
    (0, True)
    """
    bits_N = tensor.detach().contiguous().flatten().view(BITS[tensor.element_size()])
    total = torch.zeros((), dtype=torch.int64, device=tensor.device)
    for part in bits_N.split(CHUNK):
        # steps of MurmurHash3's finalizer (Austin Appleby, public domain); products of int32 wrap around
        mixed = part.to(torch.int32, copy=True)
        mixed *= -2048144789  # 0x85EBCA6B
        mixed ^= mixed >> 13
        mixed *= -1028477387  # 0xC2B2AE35
        mixed ^= mixed >> 16
        total += mixed.sum(dtype=torch.int64)
    return int(total) % (1 << 64)
