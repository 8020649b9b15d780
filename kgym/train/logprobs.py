"""How likely a policy finds tokens: the log-probabilities that training differentiates.

Dimension key:  B rows   L tokens of the longest row   N = B * L   V vocabulary
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK_ELEMENTS = 1 << 25
"""Number of logits that are held in float32 at once: 128 MiB. A vocabulary of 150,000 over a long pack would otherwise
be copied whole, twice.
"""


def token_logprobs(
    model: nn.Module, input_ids: Tensor, attention_mask: Tensor, *, temperature: float = 1.0, with_entropy: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return log p(token t | tokens before t) and, if asked for, the entropy of the distribution that token t was drawn
    from, in nats.

    All of shape (B, L) and float32 for any type of the weights; 0 for the first token of a row and for padding.
    `input_ids` and `attention_mask` (1 for tokens, 0 for padding) are padded on the right, where a causal model does
    not look, so that attention runs without a mask. The entropy has no gradient. At temperature 0, which is greedy, the
    distribution is the untempered one.

    Raises ValueError if a row is padded anywhere else.
    """
    mask_BL = attention_mask.bool()
    if bool((mask_BL[:, 1:] & ~mask_BL[:, :-1]).any()):
        raise ValueError("attention_mask has padding in front of a token; pad the rows on the right")
    logits_BLV = model(input_ids=input_ids, use_cache=False).logits
    targets_BL = torch.cat([input_ids[:, 1:], input_ids[:, :1]], dim=1)  # what is in the last column is dropped below
    logprobs_N, entropy_N = _gather(
        logits_BLV.flatten(0, 1), targets_BL.flatten(), temperature or 1.0, with_entropy=with_entropy
    )
    logprobs_BL = _shift(logprobs_N.view_as(mask_BL), mask_BL)
    return logprobs_BL, None if entropy_N is None else _shift(entropy_N.view_as(mask_BL), mask_BL)


def _shift(values_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Move the values computed at token t to token t + 1, which they describe."""
    shifted_BL = torch.cat([torch.zeros_like(values_BL[:, :1]), values_BL[:, :-1]], dim=1)
    return shifted_BL.masked_fill(~mask_BL, 0.0)


def _gather(
    logits_NV: Tensor, targets_N: Tensor, temperature: float, *, with_entropy: bool
) -> tuple[Tensor, Tensor | None]:
    """Look the targets up in log-softmax(logits / temperature), a chunk of rows at a time; the backward pass
    computes a chunk again.
    """
    return head_logprobs(
        _identity,
        logits_NV,
        targets_N,
        vocabulary=logits_NV.shape[1],
        temperature=temperature,
        with_entropy=with_entropy,
    )


def _identity(logits_NV: Tensor) -> Tensor:
    return logits_NV


def head_logprobs(
    head: Callable[[Tensor], Tensor],
    hidden_NH: Tensor,
    targets_N: Tensor,
    *,
    vocabulary: int,
    temperature: float,
    with_entropy: bool,
) -> tuple[Tensor, Tensor | None]:
    """Return the log-probabilities of the targets, (N,), and the entropies if asked for, under the logits that `head`
    makes of hidden states.

    Only the logits of one chunk of rows exist at a time, and are computed again in the backward pass; a single chunk is
    kept.
    """
    rows = max(1, CHUNK_ELEMENTS // vocabulary)
    if rows >= hidden_NH.shape[0]:
        return lookup(head(hidden_NH), targets_N, temperature, with_entropy=with_entropy)
    parts = [
        checkpoint(
            _chunk, head, hidden, targets, temperature, with_entropy, use_reentrant=False, preserve_rng_state=False
        )
        for hidden, targets in zip(hidden_NH.split(rows), targets_N.split(rows), strict=True)
    ]
    logprobs_N = torch.cat([logprobs for logprobs, _ in parts])
    return logprobs_N, torch.cat([entropy for _, entropy in parts]) if with_entropy else None


def _chunk(
    head: Callable[[Tensor], Tensor], hidden_NH: Tensor, targets_N: Tensor, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor | None]:
    return lookup(head(hidden_NH), targets_N, temperature, with_entropy=with_entropy)


def lookup(
    logits_NV: Tensor, targets_N: Tensor, temperature: float, *, with_entropy: bool
) -> tuple[Tensor, Tensor | None]:
    """Look the targets up in log-softmax(logits / temperature); the entropies have no gradient."""
    scaled_NV = logits_NV.float() / temperature
    logprobs_N = scaled_NV.gather(1, targets_N[:, None]).squeeze(1) - scaled_NV.logsumexp(1)
    if not with_entropy:
        return logprobs_N, None
    with torch.no_grad():
        return logprobs_N, torch.special.entr(scaled_NV.softmax(1)).sum(1)  # entr gives 0 for 0 log 0, the formula NaN
