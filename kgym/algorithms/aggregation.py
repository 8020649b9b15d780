"""From one loss a token to one loss a batch: how much each token weighs.

    token_mean              sum over the tokens of the batch / their number: long completions weigh more
                            (DAPO, arXiv:2503.14476, section 3.3)
    seq_mean_token_mean     mean over completions of the mean over their tokens: every completion weighs the same (GRPO)
    seq_mean_token_sum      mean over completions of the sum over their tokens (REINFORCE, RLOO)
    seq_mean_token_sum_norm the same / a constant length (Dr. GRPO, arXiv:2503.20783)

All divide by `batch.totals`, which are those of the whole batch, so the losses of micro-batches SUM to the loss of the
batch. A completion without a masked-in token counts neither in the numerator nor in the denominator.
"""

from typing import Literal

from torch import Tensor

from kgym.algorithms.episodes import masked, mean_per_episode, sum_per_episode
from kgym.types import PackedBatch

Aggregation = Literal["token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "seq_mean_token_sum_norm"]


def mean_over_answers(batch: PackedBatch, values_E: Tensor) -> Tensor:
    """Return the sum of `values_E`, which is 0 for completions that do not count, over the number of completions in the
    whole batch, ().
    """
    return values_E.sum() / max(batch.totals.episodes, 1)


def mean_over_tokens(batch: PackedBatch, values_T: Tensor) -> Tensor:
    """Return the sum over masked-in tokens / their number in the whole batch, ()."""
    return masked(batch, values_T).sum() / max(batch.totals.tokens, 1)


def aggregate(batch: PackedBatch, values_T: Tensor, how: Aggregation, max_tokens: int = 1) -> Tensor:
    """Return the scalar that `how` makes of `values_T`; `max_tokens` is the constant of `seq_mean_token_sum_norm`."""
    if how == "token_mean":
        return mean_over_tokens(batch, values_T)
    if how == "seq_mean_token_mean":
        return mean_over_answers(batch, mean_per_episode(batch, values_T))
    total = mean_over_answers(batch, sum_per_episode(batch, values_T))
    return total / max_tokens if how == "seq_mean_token_sum_norm" else total
