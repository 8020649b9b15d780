"""Direct preference optimization: a policy learns from pairs of completions, relative to a frozen reference, without
rewards or sampling.

    L = mean over prompts of the mean over their pairs of -log sigmoid(beta [(lp - ref)(chosen) - (lp - ref)(rejected)])

lp and ref are sums over the tokens of a completion, end token included. The reference is the model that training starts
from.

Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7. With K completions of a prompt, its pairs count together as
one, as in InstructGPT.

Dimension key:  E rows of a micro-batch   P pairs
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kgym.algorithms.episodes import mean_per_episode, sum_per_episode
from kgym.algorithms.preference import dpo_loss
from kgym.supervised_config import DPOConfig, DPOSection
from kgym.train.policy import TrainedPolicy
from kgym.train.profiling import phase
from kgym.train.supervised.comparisons import Comparison, PreferenceData, batch_of
from kgym.train.supervised.pairs import PairBatch, PairRows, add_up, as_held_out, pair_batch
from kgym.train.supervised.rows import encode_row, too_long
from kgym.train.supervised.sources import preferences_of
from kgym.types import LossOutput, PackedBatch


class DPO:
    """The part of `kgym dpo`. `data` and `facts`, which identify it, replace those that the configuration names."""

    def __init__(
        self, config: DPOConfig, data: PreferenceData | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.config = config
        if data is None:
            data, facts = preferences_of(config)
        self.data = data
        self.facts = facts or {}

    def load(self, folder: str, checkpoint: Path | None) -> TrainedPolicy:
        """See `Part`."""
        self.policy = TrainedPolicy.load(folder, self.config.train, checkpoint=checkpoint, seed=self.config.seed)
        self.policy.keep_reference(folder)
        return self.policy

    def add_gradient(self, step: int) -> dict[str, float]:
        """See `Part`."""
        with phase("pack"):
            asked = batch_of(self.data.train, step, self.config.dpo.batch_size)
            batch = self._encoded(asked)
        if batch is None:
            return {"train/loss_nats": 0.0, "data/tokens": 0} | too_long(len(asked), 0)
        return self._metrics(batch, backward=True) | too_long(len(asked), batch.n_comparisons)

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        """See `Part`."""
        batch = self._encoded(self.data.held_out)
        return {} if batch is None else as_held_out(self._metrics(batch, backward=False))

    def save(self, folder: Path) -> None:
        """See `Part`: it has nothing but the policy."""

    def summary(self) -> dict[str, Any]:
        """See `Part`."""
        return {}

    def _encoded(self, comparisons: Sequence[Comparison]) -> PairBatch | None:
        policy = self.policy
        return pair_batch(comparisons, lambda one, answer: encode_row(policy.bare, one.prompt, answer), policy.device)

    def _metrics(self, batch: PairBatch, *, backward: bool) -> dict[str, float]:
        batch = replace(batch, pack=replace(batch.pack, ref_logprobs=self.policy.ref_logprobs(batch.pack)))

        def loss(micro: PackedBatch, pairs: PairRows) -> LossOutput:
            return preference_loss(micro, self.policy.logprobs(micro)[0], pairs, self.config.dpo)

        return add_up(self.policy, batch, loss, backward=backward)


def preference_loss(micro: PackedBatch, logprobs_T: Tensor, pairs: PairRows, options: DPOSection) -> LossOutput:
    """Return the loss of some prompts, weighted, and its metrics, which add up over micro-batches; `micro` has its
    `ref_logprobs`.
    """
    assert micro.ref_logprobs is not None
    of_answers = mean_per_episode if options.length_normalize else sum_per_episode
    lp_E, ref_E = of_answers(micro, logprobs_T), of_answers(micro, micro.ref_logprobs)
    better_P, worse_P, weights_P = pairs
    output = dpo_loss(
        lp_E[better_P],
        lp_E[worse_P],
        ref_E[better_P],
        ref_E[worse_P],
        beta=options.beta,
        label_smoothing=options.label_smoothing,
        weights=weights_P,
    )
    chosen, rejected = pairs.means(lp_E)
    metrics = {"preference/chosen_logprob_nats": chosen, "preference/rejected_logprob_nats": rejected}
    return LossOutput(output.loss, output.metrics | metrics)
