"""Algorithms: what they ask of the trainer and what they return to it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kgym.types.batches import PackedBatch

if TYPE_CHECKING:  # torch is imported only where something is computed with it
    from torch import Tensor


@dataclass(frozen=True)
class LossOutput:
    """A loss to differentiate, and metrics of it."""

    loss: "Tensor"
    """() scalar; the losses of the micro-batches of a batch sum to the loss of the batch."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Metrics by name (`policy/clip_frac`), divided by the totals of the batch, so that they too sum over
    micro-batches.
    """


@dataclass(frozen=True)
class UpdatePlan:
    """What an algorithm asks of the trainer for one batch."""

    inner_steps: int = 1
    """Passes over the batch, one or more optimizer steps each."""
    minibatches: int = 1
    """Optimizer steps in a pass; groups are kept whole."""
    reset_optimizer: bool = False
    """Start each batch with a fresh optimizer state."""
    needs_reference: bool = False
    """Fill in `ref_logprobs`."""
    reference: str | None = None
    """The reference model, as `--model` takes it; it needs the policy's tokenizer. None is the model that the run
    starts from.
    """
    needs_values: bool = False
    """Keep a critic: fill in `old_values`, and train it with `CriticAlgorithm.value_loss`."""
    needs_greedy: bool = False
    """Also sample a greedy completion of each problem, and fill in `greedy_rewards`."""
    min_group_size: int = 2
    """Attempts at a problem that a gradient needs at least: 1 for algorithms that do not compare attempts with each
    other.
    """
    max_rounds: int = 1
    """Rounds of rollouts for a batch, at most. With more than one, groups whose scores are all equal, which teach
    nothing, are replaced by attempts at other problems until the batch is full or the rounds are used up.
    """


class Algorithm(Protocol):
    """Turns rewards into a gradient. Constructed as `target(options)`.

    It works on the packed batch and not on groups, since advantages may need arrays that only the batch has (values,
    reference log-probabilities).
    """

    @property
    def plan(self) -> UpdatePlan:
        """What the trainer has to do for the algorithm."""

    def advantages(self, batch: PackedBatch) -> "Tensor":
        """Return the advantage of each token, (T,), 0 where the mask is 0. Called once for the whole batch, without
        gradient.
        """

    def loss(self, batch: PackedBatch, logprobs: "Tensor") -> LossOutput:
        """Return the loss of a micro-batch; `logprobs` is (T,) with gradient, `batch.advantages` is filled in."""


class CriticAlgorithm(Algorithm, Protocol):
    """An algorithm whose plan has `needs_values`."""

    def value_loss(self, batch: PackedBatch, values: "Tensor") -> LossOutput:
        """Return the loss of the critic on a micro-batch; `values` is (T,) with gradient, `batch.old_values` is
        filled in.
        """
