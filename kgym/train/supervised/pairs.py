"""Batches of comparisons for losses on pairs: each answer passes the model once, however many pairs it stands in.

Dimension key:  P pairs
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kgym.train.supervised.comparisons import Comparison, Comparisons, Pairs
from kgym.train.supervised.fit import Row, fitting, microbatches
from kgym.types import LossOutput


@dataclass(frozen=True)
class Item:
    """A comparison as tokens. It is never cut, so all pairs of a prompt are in one micro-batch, as InstructGPT has it."""

    rows: tuple[Row, ...]
    """One for each answer."""
    pairs: Pairs
    weight: float
    """Of each pair in the loss: 1 / (pairs of this prompt * prompts of the batch), so that the losses of micro-batches add up."""


def batch_of(comparisons: Comparisons, step: int, batch_size: int) -> list[Comparison]:
    """Return the comparisons of a step, counted from 1."""
    return [comparisons(n) for n in range((step - 1) * batch_size, step * batch_size)]


def items_of(batch: Sequence[Comparison], encode: Callable[[Comparison, str], Row]) -> list[Item]:
    """Encode the comparisons of a batch. One that has an answer that does not fit into the context is left out."""
    kept = fitting(batch, lambda comparison: (comparison, tuple(encode(comparison, answer) for answer in comparison.answers)))
    return [Item(rows, comparison.pairs, 1.0 / (len(comparison.pairs) * len(kept))) for comparison, rows in kept]


def index_pairs(micro: Sequence[Item]) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each pair the row of the better answer, that of the worse one, and the weight, (P,) each."""
    better, worse, weights = [], [], []
    start = 0
    for item in micro:
        better += [start + i for i, _ in item.pairs]
        worse += [start + j for _, j in item.pairs]
        weights += [item.weight] * len(item.pairs)
        start += len(item.rows)
    return torch.tensor(better), torch.tensor(worse), torch.tensor(weights)


def add_up(loss: Callable[[Sequence[Item]], LossOutput], parts: Iterable[Sequence[Item]], *, backward: bool) -> dict[str, float]:
    """Return the metrics of a batch, `loss_nats` and `tokens` among them; add its gradient if asked to."""
    metrics: dict[str, float] = {"loss_nats": 0.0}
    n_tokens = 0
    for micro in parts:
        output = loss(micro)
        if backward:
            output.loss.backward()
        for key, value in ({"loss_nats": output.loss.item()} | output.metrics).items():
            metrics[key] = metrics.get(key, 0.0) + value
        n_tokens += sum(len(prompt) + len(answer) for item in micro for prompt, answer in item.rows)
    return metrics | {"tokens": n_tokens}


@torch.no_grad()
def measured(loss: Callable[[Sequence[Item]], LossOutput], items: Sequence[Item], *, microbatch_tokens: int) -> dict[str, float]:
    """Return the metrics of comparisons that were held out, as `held_out/...`; {} if there are none."""
    if not items:
        return {}
    metrics = add_up(loss, microbatches(items, microbatch_tokens, lambda item: item.rows), backward=False)
    return {f"held_out/{key.removeprefix('preference/')}": value for key, value in metrics.items() if key != "tokens"}
