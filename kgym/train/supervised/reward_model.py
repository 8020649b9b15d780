"""Reward-model training: a scalar head on a language model learns which of two completions is better.

    L = mean over prompts of 1 / C(K, 2) * sum over pairs of -log sigmoid(score(better) - score(worse))

The loss does not depend on a constant offset, so each checkpoint has a bias that moves the mean score of demonstrations
to 0. A score is the head's output at the last token of a row, so the rows are padded and have their own forward pass.

Source: Ouyang et al. 2022 (InstructGPT), arXiv:2203.02155, section 3.5, equation 1.

Dimension key:  E rows of a micro-batch   L tokens of the longest row   P pairs
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kgym.algorithms.preference import pairwise_loss
from kgym.errors import RunError
from kgym.models.reward_model import RewardModel, load_reward_model
from kgym.supervised_config import RMConfig
from kgym.train.policy import TrainedPolicy
from kgym.train.precision import Precision
from kgym.train.profiling import phase
from kgym.train.sharding import device_of_start
from kgym.train.supervised.comparisons import Comparison, PreferenceData, batch_of
from kgym.train.supervised.pairs import PairBatch, PairRows, add_up, as_held_out, pair_batch
from kgym.train.supervised.rows import Row, checked_row, too_long
from kgym.train.supervised.sources import preferences_of
from kgym.types import LossOutput, PackedBatch


class RewardModeling:
    """The part of `kgym rm`. `data` and `facts`, which identify it, replace those that the configuration names."""

    def __init__(
        self, config: RMConfig, data: PreferenceData | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.config = config
        if data is None:
            data, facts = preferences_of(config)
        self.data = data
        self.facts = facts or {}

    def load(self, folder: str, checkpoint: Path | None) -> TrainedPolicy:
        """See `Part`: a language model gets a new head, and a checkpoint has one already."""
        train = self.config.train
        found = load_reward_model(
            str(checkpoint or folder),
            dtype=Precision.of(train).weights,
            device=device_of_start(train.device),
            new_head=True,
        )
        self.bias = found.reading.bias
        self.rewarder = found.read_as(prompt=self.config.rm.prompt, bias=0.0)
        self.policy = TrainedPolicy(self.rewarder, train)
        return self.policy

    def add_gradient(self, step: int) -> dict[str, float]:
        """See `Part`."""
        with phase("pack"):
            asked = batch_of(self.data.train, step, self.config.rm.batch_size)
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
        """See `Part`: what the reward model reads, and the bias."""
        self.bias = self._mean_of_demonstrations()
        if self.policy.world.first:
            self.rewarder.read_as(bias=self.bias).save_reading(folder)

    def summary(self) -> dict[str, Any]:
        """See `Part`."""
        return {"bias": self.bias}

    def _encoded(self, comparisons: Sequence[Comparison]) -> PairBatch | None:
        return pair_batch(comparisons, self._row, self.policy.device)

    def _row(self, comparison: Comparison, answer: str) -> Row:
        return checked_row(
            self.rewarder, self.rewarder.row(comparison.question, comparison.gold, answer), comparison.question
        )

    def _metrics(self, batch: PairBatch, *, backward: bool) -> dict[str, float]:
        def loss(micro: PackedBatch, pairs: PairRows) -> LossOutput:
            with self.policy.autocast():
                scores_E = row_scores(self.rewarder, micro)
            return scores_loss(scores_E, pairs)

        return add_up(self.policy, batch, loss, backward=backward)

    def _mean_of_demonstrations(self) -> float:
        """Return the mean score of the best completions. Raises RunError if there is none."""
        demonstrations = (self.data.train(n) for n in range(self.config.rm.demonstrations))
        scores = self.rewarder.scores([(one.question, one.gold, one.best) for one in demonstrations])
        known = [score for score in scores if score is not None]
        if not known or not math.isfinite(sum(known)):
            raise RunError(
                f"the mean score of the demonstrations is not a number: {len(known)} of {len(scores)} fit into the "
                "model's context"
            )
        return sum(known) / len(known)


def row_scores(rewarder: RewardModel, micro: PackedBatch) -> Tensor:
    """Return the score of each row of a micro-batch, without bias, (E,) float32 with gradient."""
    lengths_E = torch.bincount(micro.episode_ids, minlength=micro.n_episodes)
    rows = list(torch.split(micro.input_ids, lengths_E.tolist()))
    input_ids_EL = pad_sequence(rows, batch_first=True, padding_value=rewarder.model.config.pad_token_id)
    attention_EL = (torch.arange(input_ids_EL.shape[1], device=lengths_E.device) < lengths_E[:, None]).to(torch.int64)
    return rewarder.head(input_ids_EL, attention_EL)


def scores_loss(scores_E: Tensor, pairs: PairRows) -> LossOutput:
    """Return the loss of some prompts, weighted, and its metrics, which add up over micro-batches."""
    better_P, worse_P, weights_P = pairs
    output = pairwise_loss(scores_E[better_P], scores_E[worse_P], weights=weights_P)
    chosen, rejected = pairs.means(scores_E)
    metrics = {"preference/chosen_score_mean": chosen, "preference/rejected_score_mean": rejected}
    return LossOutput(output.loss, output.metrics | metrics)
