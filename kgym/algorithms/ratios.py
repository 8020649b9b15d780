"""The probability of a completion's tokens now, divided by that at the start of the batch.

Dimension key:  T tokens of the pack   E episodes
"""

from torch import Tensor

from kgym.algorithms.episodes import masked, mean_per_episode
from kgym.types import PackedBatch

MAX_LOG_RATIO = 20.0
"""exp() of a larger number would overflow in half precision and dominate a batch in any other; such a token has no
gradient.
"""


def log_ratios(batch: PackedBatch, logprobs: Tensor) -> Tensor:
    """Return logprobs - old_logprobs, (T,); 0 where the mask is 0."""
    return masked(batch, logprobs - batch.old_logprobs)


def token_ratios(batch: PackedBatch, logprobs: Tensor) -> Tensor:
    """Return exp(logprobs - old_logprobs), (T,); 1 where the mask is 0. Schulman et al. 2017, arXiv:1707.06347,
    section 3.
    """
    return log_ratios(batch, logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()


def sequence_ratios(batch: PackedBatch, logprobs: Tensor) -> Tensor:
    """Return the geometric mean of each completion's token ratios, (E,). Zheng et al. 2025 (GSPO), arXiv:2507.18071,
    equation 7.
    """
    return mean_per_episode(batch, log_ratios(batch, logprobs)).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
