"""Weights on their way to the engine, and the checks that they have arrived.

    handover = Handover(version, weights, trainer.told(...))      by the trainer, before its weights change again
    gap = handover.to(engine)                                     where the engine is used, perhaps in another thread

After each load three things are checked, and the run ends at the first that is wrong:

    1. the version that the engine says it has
    2. checksums of its tensors, to the bit, where it reads them back (`kgym.types.ShowsWeights`)
    3. its log-probabilities of the canary against the trainer's (`canary.py`), up to rounding

An update changes log-probabilities little, so the third check alone would hardly notice an engine that is one update
late. So a run begins with a drill: the engine is given very different weights (version `DRILL`), is compared with the
trainer computing with the same ones, and then gets its own weights again. A tensor that is never loaded shows in the
first comparison; anything that the engine keeps (a tensor, all weights of the load before, keys and values of a prefix)
shows in the second, for any learning rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kgym.blame import blaming, label_of
from kgym.errors import RunError
from kgym.models.weights import WatchedWeights
from kgym.rollout.canary import Canary, gap_of
from kgym.types import Engine, HeldTensor, ShowsWeights, Weights

ROUNDING_NATS = {("float32", "cpu"): 1e-4, ("float32", "cuda"): 0.01}
"""Largest mean gap of a canary that may be rounding, by the coarsest type that engine or trainer computes in and by the
device; in bfloat16, and where the engine does not tell its type, `COARSE_NATS`. Measured on CPUs: 5e-6 and 0.1."""
COARSE_NATS, COARSE_LONG_NATS = 0.3, 0.1
"""The second is for the canary of a start, over so many tokens that rounding averages out."""
DRILL = 1 << 30
"""Version of the other weights: not a version of any run, as engines may identify caches and adapters by it."""
SHOWN = 3
"""Number of tensors that a message names."""
CAUSES = (
    "The engine keeps older weights, leaves a tensor out, or uses keys and values that older weights have made (a "
    "stale prefix cache): fix the engine, then continue the run with --resume"
)


@dataclass(frozen=True)
class Expected:
    """What the trainer has computed with the weights of a version."""

    canary: Canary
    logprobs: Tensor
    """(M, V) float32, on the CPU: the log-probability of each token at each place of the canary."""
    types: Mapping[str, str]
    """Types of the tensors that the engine reads back, by their names, as `types_of` returned them."""
    bound_nats: float
    """Bound of the mean gap."""


@dataclass(frozen=True)
class Handover:
    """The weights of a version."""

    version: int
    weights: Weights
    expected: Expected | None = None
    """If None, the weights are not checked."""

    @property
    def _load(self) -> str:
        return (
            "the load of other weights, with which a run begins"
            if self.version == DRILL
            else f"the load of version {self.version}"
        )

    def copied(self) -> "Handover":
        """Return a handover whose weights later optimizer steps do not change."""
        return replace(self, weights=self.weights.copied())

    def to(self, engine: Engine, *, wake: bool = False) -> float | None:
        """Load the weights and return the mean gap of the canary, in nats; None without one.

        With `wake`, the engine loads the weights before it wakes, as it needs memory for its cache only after that.
        Raises RunError if the engine does not have the weights afterwards, and what loading raises.
        """
        expected = self.expected
        weights = self.weights if expected is None else WatchedWeights(self.weights, expected.types)
        with blaming("engine", engine):
            engine.load(self.version, weights)
            if wake:
                engine.wake()
        if expected is None:
            return None
        assert isinstance(weights, WatchedWeights)
        if engine.version != self.version:
            raise RunError(f"{label_of('engine', engine)}: after {self._load} it reports version {engine.version}")
        self._compare(engine, weights, expected.types)
        return self._ask(engine, expected)

    def _compare(self, engine: Engine, weights: WatchedWeights, types: Mapping[str, str]) -> None:
        """Raise RunError if a tensor of the engine is not the trainer's."""
        if not types:
            return
        held = _held_by(engine)
        if types.keys() - weights.checksums.keys():
            for _ in weights.named():  # the engine has not read all of them
                pass
        known = [tensor for tensor in held if weights.checksums.keys() >= set(tensor.names)]
        other = [tensor for tensor in known if tensor.checksum != _sum(tensor, weights)]
        if other:
            names = [" + ".join(tensor.names) for tensor in other]
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise RunError(
                f"{label_of('engine', engine)}: after {self._load}, {len(other)} of {len(known)} tensors are not "
                f"those of the trainer: {', '.join(names[:SHOWN])}{more} (the first has the checksum "
                f"{other[0].checksum:016x} in the engine, {_sum(other[0], weights):016x} in the trainer). {CAUSES}"
            )

    def _ask(self, engine: Engine, expected: Expected) -> float | None:
        """Measure the gap of the canary. Raises RunError if it is too large."""
        gap = gap_of(expected.canary.ask(engine), expected.logprobs)
        if gap is None:
            return None
        if not gap.nats <= expected.bound_nats:
            raise RunError(
                f"{label_of('engine', engine)}: after {self._load} the mean log-probability of {gap.n_tokens} canary "
                f"tokens is {gap.engine:.6g} in the engine and {gap.trainer:.6g} in the trainer; token by token they "
                f"differ by {gap.nats:.3g} nats on average, more than "
                f"rollout.max_canary_gap_nats={expected.bound_nats:g}. "
                f"{CAUSES}"
            )
        return gap.nats


def bound_for(types: Mapping[str, str], trainer: torch.dtype, device: torch.device, *, long: bool) -> float:
    """Return the largest gap that may be rounding: `types` are those of the engine's tensors, {} if it does not report
    them.
    """
    names = set(types.values()) or {"unknown"}
    names = {name for name in names if name == "unknown" or getattr(torch, name).is_floating_point}
    exact = names == {"float32"} and trainer == torch.float32
    return (
        ROUNDING_NATS["float32", "cpu" if device.type == "cpu" else "cuda"]
        if exact
        else COARSE_LONG_NATS
        if long
        else COARSE_NATS
    )


def types_of(engine: Engine) -> dict[str, str]:
    """Return the types of the tensors that an engine reads back, by their names; {} if it reads none back."""
    return {name: tensor.dtype for tensor in _held_by(engine) for name in tensor.names}


def _held_by(engine: Engine) -> Sequence[HeldTensor]:
    if not isinstance(engine, ShowsWeights):
        return ()
    with blaming("engine", engine):
        return engine.held()


def _sum(tensor: HeldTensor, weights: WatchedWeights) -> int:
    return sum(weights.checksums[name] for name in tensor.names) % (1 << 64)
