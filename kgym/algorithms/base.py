"""What all algorithms share: the options of the update, the public call on plain tensors, and a record for the table in
the docs.

An algorithm is one file with an `Options` class and a class with `advantages` and `loss` (see `kgym.types.Algorithm`),
written with the functions of this package; copy the nearest one. Nothing here knows how a loss is made.

Dimension key:  T tokens of the pack   E episodes
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from kgym.algorithms.aggregation import Aggregation, aggregate, mean_over_tokens
from kgym.algorithms.batch import count
from kgym.algorithms.kl import Estimator, kl_to_reference
from kgym.algorithms.mismatch import Correction, Level, Rule, mismatch_metrics, mismatch_weights
from kgym.options import Options
from kgym.types import LossOutput, PackedBatch, UpdatePlan

Rows = Tensor | Sequence[Any]
"""One row an episode: an (E, T) tensor, a list of (T_j,) tensors, or nested lists of numbers, `[E][T_j]`."""


class AlgorithmOptions(Options):
    """Options of the update, for every algorithm."""

    inner_steps: int = Field(1, ge=1)
    """Passes over each batch. In the first optimizer step on fresh data every ratio is 1: clips and proximal terms
    need more.
    """
    minibatches: int = Field(1, ge=1)
    """Optimizer steps in a pass; groups are kept whole."""
    reset_optimizer: bool = False
    """Start each batch with a fresh optimizer state, as Kimi k1.5 does."""
    max_rounds: int = Field(1, ge=1)
    """Rounds of rollouts for a batch. With more than one, groups whose completions are all correct or all wrong are
    replaced until the batch is full or the rounds are used up: DAPO's dynamic sampling.
    """
    mismatch: Correction = "truncate"
    """Rule for a weight exp(old - engine) above `mismatch_cap`: `truncate` cuts it to the cap, `mask` leaves the token
    out. `off`: no weights.
    """
    mismatch_level: Level = "token"
    """What each weight covers. `token`: each token by itself. `geometric`: the geometric mean over the tokens of a
    completion, for all of them; it does not grow with the length. `sequence`: their product, for all of them.
    """
    mismatch_cap: float = Field(2.0, gt=0, allow_inf_nan=False)
    """Largest weight; the C of truncated importance sampling."""
    mismatch_floor: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Smallest weight, less than `mismatch_cap`; 0 is none. IcePop masks weights outside 0.5 to 5."""
    mismatch_below: Rule | None = None
    """Rule for a weight below `mismatch_floor`; by default that of `mismatch`."""

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        if self.mismatch_floor >= self.mismatch_cap:
            raise ValueError(
                f"mismatch_floor={self.mismatch_floor} is not less than mismatch_cap={self.mismatch_cap}; lower it"
            )
        if self.mismatch_below is not None and not self.mismatch_floor:
            raise ValueError(
                f"mismatch_below={self.mismatch_below} needs a bound; set mismatch_floor above 0, or leave it out"
            )
        return self


class TokenLossOptions(AlgorithmOptions):
    """Further options of an algorithm with one loss a token."""

    aggregation: Aggregation = "token_mean"
    """How token losses become one loss: how much each token weighs."""
    max_tokens: int = Field(1024, ge=1)
    """The constant length of `seq_mean_token_sum_norm`; it scales the loss and does nothing else."""


@dataclass(frozen=True)
class Facts:
    """One row of the table in `docs/algorithms.md`."""

    advantage: str
    ratio: str
    clip: str
    aggregation: str
    kl: str
    reference: str
    """The policy that the update stays close to."""
    source: str


class AlgorithmBase:
    """A plan made of the options, `loss_on`, and the metrics of every loss. Subclasses write `advantages` and
    `loss`.
    """

    Options: ClassVar[type[AlgorithmOptions]] = AlgorithmOptions
    facts: ClassVar[Facts]
    min_group_size: ClassVar[int] = 2
    """1 for algorithms that do not compare the attempts at a problem with each other."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @property
    def plan(self) -> UpdatePlan:
        """Return what the trainer has to do for the algorithm."""
        return UpdatePlan(
            inner_steps=self.options.inner_steps,
            minibatches=self.options.minibatches,
            reset_optimizer=self.options.reset_optimizer,
            needs_reference=getattr(self.options, "kl_coef", 0.0) > 0,
            min_group_size=self.min_group_size,
            max_rounds=self.options.max_rounds,
        )

    def recipe(self, max_tokens: int) -> dict[str, Any]:
        """Return settings of a run that belong to the algorithm, by key (`train.lr`), for completions of at most
        `max_tokens`.

        In a run with several environments, `max_tokens` is the largest of their budgets. The settings replace the
        defaults; the user's settings replace them. Options of components are named in full (`algo.options.tau`); those
        of `env` are for each environment of the run.
        """
        return {}

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the advantage of each token, (T,)."""
        raise NotImplementedError(f"{type(self).__name__} has no advantages()")

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the loss of a micro-batch."""
        raise NotImplementedError(f"{type(self).__name__} has no loss()")

    def mismatch_weights(self, batch: PackedBatch) -> Tensor:
        """Return the engine-mismatch weight of each token as in the options, (T,), without gradient."""
        options = self.options
        return mismatch_weights(
            batch,
            options.mismatch,
            options.mismatch_level,
            options.mismatch_cap,
            floor=options.mismatch_floor,
            below=options.mismatch_below,
        )

    def kl_penalty(self, batch: PackedBatch, logprobs: Tensor, estimator: Estimator = "k3") -> Tensor:
        """Return kl_coef * KL(policy || reference) for each token, (T,); 0 if kl_coef is, and then no reference is
        needed.
        """
        if not self.options.kl_coef:
            return torch.zeros_like(logprobs)
        return self.options.kl_coef * kl_to_reference(batch, logprobs, estimator)

    def aggregate(self, batch: PackedBatch, loss_T: Tensor) -> Tensor:
        """Return the loss that the options make of token losses, ()."""
        return aggregate(batch, loss_T, self.options.aggregation, self.options.max_tokens)

    def output(self, batch: PackedBatch, logprobs: Tensor, loss: Tensor, **metrics_T: Tensor) -> LossOutput:
        """Return `loss` with the figures of every algorithm, and the mean over tokens of `metrics_T` as
        `policy/NAME`.
        """
        if batch.ref_logprobs is not None:
            metrics_T["kl_reference_nats"] = kl_to_reference(batch, logprobs.detach(), "k3")
        metrics = {
            f"policy/{name}": float(mean_over_tokens(batch, value_T.to(logprobs.dtype)))
            for name, value_T in metrics_T.items()
        }
        weights_T, options = self.mismatch_weights(batch), self.options
        return LossOutput(
            loss, metrics | mismatch_metrics(batch, weights_T, options.mismatch_cap, options.mismatch_floor)
        )

    def loss_on(
        self,
        logprobs: Rows,
        old_logprobs: Rows,
        *,
        rewards: Tensor | Sequence[float],
        group_ids: Tensor | Sequence[int],
        mask: Rows | None = None,
        engine_logprobs: Rows | None = None,
        ref_logprobs: Rows | None = None,
        values: Rows | None = None,
        old_values: Rows | None = None,
        greedy_rewards: Tensor | Sequence[float] | None = None,
    ) -> LossOutput:
        """Return the loss of one whole batch, from plain tensors or lists; no trainer, model or tokenizer is needed.

        The seven tables have one row an episode and one entry for each completion token: (E, T) tensors, padded where
        `mask` is 0, or ragged lists `[E][T_j]`. `rewards`, `group_ids` and `greedy_rewards` have E entries.
        Differentiable in `logprobs` (and `values`, if the algorithm has a critic), whose dtype is that of the result;
        lists of numbers are taken as float64.

        Without `ref_logprobs` a KL term is left out. Without `old_values` they are `values`, or 0.

        Raises ValueError if the shapes do not agree.
        """
        algorithm = self if ref_logprobs is not None else self._without_reference()
        tables = {
            "old_logprobs": old_logprobs,
            "mask": mask,
            "engine_logprobs": engine_logprobs,
            "ref_logprobs": ref_logprobs,
            "old_values": old_values,
        }
        sizes = [len(row) for row in logprobs]
        logprobs_T = _lay("logprobs", logprobs, sizes)
        values_T = None if values is None else _lay("values", values, sizes, logprobs_T)
        batch = _batch(logprobs_T, sizes, tables, rewards, group_ids)
        if values_T is not None and batch.old_values is None:
            batch = replace(batch, old_values=values_T.detach())
        if greedy_rewards is not None:
            greedy_E = torch.as_tensor(greedy_rewards, dtype=batch.rewards.dtype, device=batch.rewards.device)
            batch = replace(batch, greedy_rewards=greedy_E)
        with torch.no_grad():
            batch = replace(batch, advantages=algorithm.advantages(batch))
        return algorithm.full_loss(batch, logprobs_T, values_T)

    def full_loss(self, batch: PackedBatch, logprobs: Tensor, values: Tensor | None) -> LossOutput:
        """Return the loss of policy and critic together; an algorithm without a critic ignores `values`, (T,)."""
        return self.loss(batch, logprobs)

    def _without_reference(self) -> Self:
        if getattr(self.options, "kl_coef", 0.0) == 0:
            return self
        return type(self)(self.options.model_copy(update={"kl_coef": 0.0}))


def _batch(
    logprobs_T: Tensor,
    sizes: list[int],
    tables: dict[str, Rows | None],
    rewards: Tensor | Sequence[float],
    groups: Tensor | Sequence[int],
) -> PackedBatch:
    """Lay the tables end to end in a batch without advantages, of the dtype and on the device of `logprobs_T`."""
    device = logprobs_T.device
    flat = {name: _lay(name, rows, sizes, logprobs_T).detach() for name, rows in tables.items() if rows is not None}
    mask = flat.pop("mask", torch.ones_like(logprobs_T)) != 0
    episode_ids = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes, dtype=torch.int64)).to(device)
    rewards_E = torch.as_tensor(rewards, dtype=logprobs_T.dtype, device=device)
    group_ids_E = torch.as_tensor(groups, dtype=torch.int64, device=device)
    if rewards_E.shape != (len(sizes),) or group_ids_E.shape != (len(sizes),):
        raise ValueError(
            f"rewards {tuple(rewards_E.shape)} and group_ids {tuple(group_ids_E.shape)} need one entry for each of "
            f"{len(sizes)} rows"
        )
    return PackedBatch(
        input_ids=torch.zeros(logprobs_T.shape, dtype=torch.int64, device=device),
        episode_ids=episode_ids,
        mask=mask,
        rewards=rewards_E,
        group_ids=group_ids_E,
        totals=count(mask, episode_ids, group_ids_E),
        **flat,
    )


def _lay(name: str, rows: Rows, sizes: list[int], like: Tensor | None = None) -> Tensor:
    """Lay the rows end to end, (T,); `like` gives dtype and device, otherwise they are the rows' own (float64 for
    numbers).
    """
    if [len(row) for row in rows] != sizes:
        raise ValueError(f"{name} has rows of {[len(row) for row in rows]} tokens, logprobs has {sizes}")
    if isinstance(rows, Tensor):
        flat = rows.reshape(-1)
    elif any(isinstance(row, Tensor) for row in rows):
        flat = torch.cat([torch.as_tensor(row) for row in rows])
    else:
        flat = torch.tensor([float(value) for row in rows for value in row], dtype=torch.float64)
    return flat if like is None else flat.to(like)
