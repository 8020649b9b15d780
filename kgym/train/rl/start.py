"""The policy as it is when it gets a batch, before the first optimizer step: `old_logprobs` and the entropies.

Dimension key:  T tokens of the pack
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from kgym.algorithms.episodes import masked
from kgym.train.policy import TrainedPolicy
from kgym.types import PackedBatch


class Start:
    """The log-probabilities and entropies of a batch before its update: from a separate pass (`fill_in`), or
    micro-batch by micro-batch from the first pass of training.
    """

    def __init__(self, policy: TrainedPolicy, batch: PackedBatch, *, temperature: float) -> None:
        self._policy = policy
        self._batch = batch
        self._temperature = temperature
        self.known = False
        """Whether a separate pass has been made."""
        self.logprobs_T = torch.zeros_like(batch.old_logprobs)
        self.entropy_T = torch.zeros_like(batch.old_logprobs)

    def fill_in(self) -> Tensor:
        """Make the pass, unless it has been made, and return the log-probabilities, (T,).

        Raises FloatingPointError if one is not finite.
        """
        if not self.known:
            self.logprobs_T, self.entropy_T = self._policy.frozen_logprobs(self._batch, temperature=self._temperature)
            _check(self.logprobs_T)
            self.known = True
        return self.logprobs_T

    def take(self, micro: PackedBatch, places: Tensor, logprobs_T: Tensor, entropy_T: Tensor, weight: float) -> Tensor:
        """Take the results of a first pass over a micro-batch, unless it has no weight, and return its
        log-probabilities without gradient.

        Raises FloatingPointError if one is not finite.
        """
        old_T = masked(micro, logprobs_T.detach())
        _check(old_T)
        if weight:
            self.logprobs_T[places], self.entropy_T[places] = old_T, masked(micro, entropy_T)
        return old_T

    def gather(self) -> None:
        """Combine what the ranks have taken."""
        self._policy.world.add_up(self.logprobs_T)
        self._policy.world.add_up(self.entropy_T)


def on_demand(batch: PackedBatch, old_logprobs: Callable[[], Tensor]) -> PackedBatch:
    """Return the batch with `old_logprobs` that are computed when they are first read."""
    found = _OnDemand(**{field.name: getattr(batch, field.name) for field in fields(batch)})
    vars(found)["_compute"] = old_logprobs
    return found


class _OnDemand(PackedBatch):
    def __getattribute__(self, name: str) -> Any:
        if name == "old_logprobs":
            own = object.__getattribute__(self, "__dict__")
            if (compute := own.pop("_compute", None)) is not None:
                own["old_logprobs"] = compute()
        return object.__getattribute__(self, name)


def _check(logprobs_T: Tensor) -> None:
    if not bool(logprobs_T.isfinite().all()):
        raise FloatingPointError(f"a log-probability of the policy is {logprobs_T[~logprobs_T.isfinite()][0].item()}")
