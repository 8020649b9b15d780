"""Lanes: batches of one engine that are decoded side by side, each on its own thread.

A step of a small model is many operations of 10 to 200 microseconds. When torch divides each of them among its threads,
they wait for each other after every one, which takes longer than the work. In a lane a thread does all of a step for
its part of the rows, and the lanes wait for each other once a step. (torch does not hold Python's lock while it
computes.)
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier
from typing import TypeVar

import torch
from transformers import PreTrainedModel

A = TypeVar("A")
B = TypeVar("B")

MOST_WEIGHTS = 32 << 20
"""Bytes of the weights of a model that is decoded in lanes: each lane reads all of them in each step, from the
processor's cache.
"""
MOST_LANES = 4
"""Above this the threads wait for Python's lock."""
LEAST_ROWS = 8
"""Rows of a lane, at the least."""


def lanes_of(model: PreTrainedModel, max_batch: int) -> int:
    """Return how many lanes a model is decoded in."""
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    if model.device.type != "cpu" or weights > MOST_WEIGHTS:
        return 1
    return max(1, min(torch.get_num_threads(), MOST_LANES, max_batch // LEAST_ROWS))


class Lanes:
    """The threads."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._pool = ThreadPoolExecutor(n, thread_name_prefix="kgym-lane") if n > 1 else None
        if self._pool is not None:
            before, all_here = torch.get_num_threads(), Barrier(n)

            def alone(_: int) -> None:
                torch.get_num_threads()  # the first call of torch in a thread takes the number that was set last in any
                torch.set_num_threads(1)
                all_here.wait()

            list(self._pool.map(alone, range(n)))
            torch.set_num_threads(before)

    def each(self, work: Callable[[A], B], items: Sequence[A]) -> list[B]:
        """Do this to each of at most n items, side by side."""
        if self._pool is None or len(items) == 1:
            return [work(item) for item in items]
        futures = [self._pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            wait(futures)  # none works on if another has failed, or the user has interrupted
