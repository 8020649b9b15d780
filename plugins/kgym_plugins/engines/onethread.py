"""Decoding of small models on one thread.

A step of a small model is many operations of 10 to 200 microseconds. If torch divides each of them among its threads,
they wait for each other after every one, which takes longer than the work. Two threads with half of the rows each wait
for Python's lock between any two operations, which takes as long; `docs/engines.md` has figures. So one thread does all
of a step. Several processes are faster, each with an engine: see the engine `ray`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import ParamSpec, TypeVar

import torch
from transformers import PreTrainedModel

P = ParamSpec("P")
T = TypeVar("T")

MOST_WEIGHTS = 32 << 20
"""Bytes of the weights of a small model; its step reads them from the processor's cache."""


def is_small(model: PreTrainedModel) -> bool:
    """Whether a model is decoded on one thread."""
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return model.device.type == "cpu" and weights <= MOST_WEIGHTS


class OneThread:
    """Calls functions on a separate thread, in which torch uses one thread; the number of the others is not changed."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="kgym-decode")
        before = torch.get_num_threads()
        self._pool.submit(_alone).result()
        torch.set_num_threads(before)  # for threads that call torch for the first time later

    def __call__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns, or raise what it raises."""
        future = self._pool.submit(work, *args, **kwargs)
        try:
            return future.result()
        finally:
            wait([future])  # also if the user has interrupted: it works on the batch


def _alone() -> None:
    torch.get_num_threads()  # the first call of torch in a thread takes the number that was set last in any
    torch.set_num_threads(1)
