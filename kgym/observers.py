"""Keep observers from changing a run: each observer gets its own copies, and the global random state is restored after
it.

Token ids and log-probabilities are tuples in immutable segments, so they are shared and not copied.
"""

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kgym.types import Episode, Group


def copied(value: Any) -> Any:
    """Return a copy of an observer's argument; changes to the copy do not change the original.

    Containers, groups and episodes are copied at every depth. Everything else is immutable and shared, except the
    exception of `kgym_exception`, which cannot be copied.
    """
    if isinstance(value, Group):
        return Group(value.problem, [copied(episode) for episode in value.episodes], list(value.rewards))
    if isinstance(value, Episode):
        return replace(value, pieces=list(value.pieces))
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(map(copied, value))
    return value


@contextmanager
def same_random_state() -> Iterator[None]:
    """Restore the global random state of `random`, numpy and torch at the end, since components of other packages may
    draw from it.
    """
    restore: list[Callable[[], object]] = []
    state = random.getstate()
    restore.append(lambda: random.setstate(state))
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy_state = numpy.random.get_state()
        restore.append(lambda: numpy.random.set_state(numpy_state))
    if (torch := sys.modules.get("torch")) is not None:
        torch_state = torch.get_rng_state()
        restore.append(lambda: torch.set_rng_state(torch_state))
        if torch.cuda.is_initialized():
            cuda_states = torch.cuda.get_rng_state_all()
            restore.append(lambda: torch.cuda.set_rng_state_all(cuda_states))
    try:
        yield
    finally:
        for put_back in restore:
            put_back()
