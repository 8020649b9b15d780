"""Batches of comparisons for losses on pairs: each completion passes the model once, however many pairs it is in.

The completions of a prompt are a group that no micro-batch cuts, so that all pairs of a prompt are in one, as in
InstructGPT.

Dimension key:  P pairs   E rows
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from kgym.train.policy import TrainedPolicy
from kgym.train.supervised.comparisons import Comparison
from kgym.train.supervised.rows import Row, fitting, pack_rows
from kgym.types import LossOutput, PackedBatch


class PairRows(NamedTuple):
    """Pairs of rows of a pack."""

    better: Tensor
    """(P,) int64, the row of the better completion"""
    worse: Tensor
    """(P,) int64, that of the worse one"""
    weights: Tensor
    """(P,) float32, 1 / (pairs of this prompt * prompts of the batch), so that the losses of micro-batches add up"""

    def means(self, values_E: Tensor) -> tuple[float, float]:
        """Return the weighted sums of a value of the better rows and of the worse ones."""
        better, worse = ((self.weights * values_E.detach()[rows]).sum() for rows in (self.better, self.worse))
        return float(better), float(worse)


@dataclass(frozen=True)
class PairBatch:
    """Comparisons as tokens, one group each."""

    pack: PackedBatch
    pairs: PairRows
    n_comparisons: int

    def within(self, micro: PackedBatch, places: Tensor) -> PairRows:
        """Return the pairs of a micro-batch, their rows counted within it; `places` as in `policy.microbatches`."""
        rows_E = torch.unique_consecutive(self.pack.episode_ids[places])
        here_E = torch.full((self.pack.n_episodes,), -1, device=rows_E.device)
        here_E[rows_E] = torch.arange(micro.n_episodes, device=rows_E.device)
        kept_P = here_E[self.pairs.better] >= 0
        return PairRows(here_E[self.pairs.better[kept_P]], here_E[self.pairs.worse[kept_P]], self.pairs.weights[kept_P])


def pair_batch(
    comparisons: Sequence[Comparison], encode: Callable[[Comparison, str], Row], device: torch.device
) -> PairBatch | None:
    """Encode comparisons; None if none is left. A comparison with a completion that does not fit into the context is
    left out.
    """
    kept = fitting(
        comparisons, lambda comparison: (comparison, [encode(comparison, answer) for answer in comparison.answers])
    )
    if not kept:
        return None
    rows: list[Row] = []
    better, worse, weights, groups = [], [], [], []
    for number, (comparison, own) in enumerate(kept):
        better += [len(rows) + i for i, _ in comparison.pairs]
        worse += [len(rows) + j for _, j in comparison.pairs]
        weights += [1.0 / (len(comparison.pairs) * len(kept))] * len(comparison.pairs)
        groups += [number] * len(own)
        rows += own
    pairs = PairRows(*(torch.tensor(values, device=device) for values in (better, worse, weights)))
    return PairBatch(pack_rows(rows, device, groups=groups), pairs, len(kept))


def add_up(
    policy: TrainedPolicy, batch: PairBatch, loss: Callable[[PackedBatch, PairRows], LossOutput], *, backward: bool
) -> dict[str, float]:
    """Return the metrics of a batch, `train/loss_nats` and `data/tokens` among them; add its gradient if asked to.

    `loss` returns the loss of a micro-batch, weighted by the pairs' weights, and its metrics, which add up over
    micro-batches.
    """
    metrics: dict[str, float] = {"train/loss_nats": 0.0}
    for micro, places, weight in policy.microbatches(batch.pack, whole_groups=True):
        output = loss(micro, batch.within(micro, places))
        if backward:
            (output.loss * weight).backward()
        for key, value in ({"train/loss_nats": output.loss.item()} | output.metrics).items():
            metrics[key] = metrics.get(key, 0.0) + value * weight
    return policy.world.sums(metrics) | {"data/tokens": batch.pack.n_tokens}


def as_held_out(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of comparisons that were held out, as `held_out/...`."""
    return {f"held_out/{key.partition('/')[2]}": value for key, value in metrics.items() if key != "data/tokens"}
