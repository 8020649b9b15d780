"""Reward-model training: a scalar head on a language model learns which of two answers is better.

    L = mean over prompts of 1 / C(K, 2) * sum over pairs of -log sigmoid(score(better) - score(worse))

The loss does not see a constant, so afterwards a bias is chosen that brings the mean score of demonstrations to 0.

Source: Ouyang et al. 2022 (InstructGPT), arXiv:2203.02155, section 3.5, equation 1.

Dimension key:  B rows of a micro-batch   L tokens of the longest row   P pairs
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from kgym.algorithms.preference import pairwise_loss
from kgym.errors import RunError
from kgym.models.reward_model import RewardModel, load_reward_model
from kgym.options import RunSteps
from kgym.train.supervised.comparisons import Comparison, PreferenceData
from kgym.train.supervised.fit import Row, SupervisedOptions, TooLong, fit, microbatches, pad
from kgym.train.supervised.pairs import Item, add_up, batch_of, index_pairs, items_of, measured
from kgym.types import LossOutput


class RMOptions(SupervisedOptions):
    """Training of a reward model."""

    steps: int = Field(300, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(16, ge=1)
    """Prompts a step, each with all of its pairs."""
    lr: float = Field(5e-4, gt=0)
    """Learning rate of AdamW after the warm-up; the default suits a model of a million parameters, a billion needs about 1e-5."""
    warmup_steps: RunSteps = 20
    """Steps over which the learning rate rises from 0: a number, or, below 1, a share of the run."""
    prompt: str = Field("{question}", min_length=1)
    """The user's message that the reward model reads: `{question}`, and `{gold}` if it is to see the right answer."""
    demonstrations: int = Field(64, ge=1)
    """Best answers whose mean score becomes 0."""


def scores_loss(rewarder: RewardModel, micro: Sequence[Item]) -> LossOutput:
    """Return the loss of some prompts, weighted by their items' weights, and its metrics, which add up over micro-batches."""
    device = rewarder.model.device
    input_ids_BL, attention_BL, _ = pad([row for item in micro for row in item.rows], device)
    scores_B = rewarder.head(input_ids_BL, attention_BL)
    better_P, worse_P, weights_P = (tensor.to(device) for tensor in index_pairs(micro))
    output = pairwise_loss(scores_B[better_P], scores_B[worse_P], weights=weights_P)
    held_B = scores_B.detach()
    metrics = {
        "preference/chosen_score_mean": float((weights_P * held_B[better_P]).sum()),
        "preference/rejected_score_mean": float((weights_P * held_B[worse_P]).sum()),
    }
    return LossOutput(output.loss, output.metrics | metrics)


def train_reward_model(
    base: str | Path,
    data: PreferenceData,
    out: Path,
    options: RMOptions,
    *,
    dtype: str = "auto",
    device: str = "auto",
    resume: bool = False,
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> dict[str, Any]:
    """Put a scalar head on the model of the folder `base`, train both on preferences and write the folder `out`; see `supervised.fit`.

    What is returned has the bias, and the same metrics over the comparisons held out, as `held_out/...`, if there are any.
    """

    def load(folder: str) -> RewardModel:
        return load_reward_model(folder, dtype=dtype, device=device, new_head=True).read_as(prompt=options.prompt, bias=0.0)

    def encoded(rewarder: RewardModel, batch: Sequence[Comparison]) -> list[Item]:
        return items_of(batch, lambda comparison, answer: _row(rewarder, comparison, answer))

    def step(rewarder: RewardModel, number: int) -> dict[str, float]:
        items = encoded(rewarder, batch_of(data.train, number, options.batch_size))
        parts = microbatches(items, options.microbatch_tokens, lambda item: item.rows)
        return add_up(lambda micro: scores_loss(rewarder, micro), parts, backward=True)

    def finish(rewarder: RewardModel, folder: Path) -> dict[str, Any]:
        demonstrations = (data.train(n) for n in range(options.demonstrations))
        scores = rewarder.scores([(one.question, one.gold, one.best) for one in demonstrations])
        known = [score for score in scores if score is not None]
        if not known or not math.isfinite(sum(known)):
            raise RunError(
                f"the mean score of the demonstrations is not a number: of {len(scores)}, {len(known)} fit into the model's context"
            )
        bias = sum(known) / len(known)
        rewarder.read_as(bias=bias).save_reading(folder)
        items = encoded(rewarder, data.held_out)
        return {"bias": bias} | measured(lambda micro: scores_loss(rewarder, micro), items, microbatch_tokens=options.microbatch_tokens)

    known = {"dtype": dtype} | ({"prompt_sha256": data.prompt_sha256} if data.prompt_sha256 else {})
    return fit(
        base, out, options, load=load, backward=step, data=data.fingerprint, facts=known, resume=resume, finish=finish, report=report
    )


def _row(rewarder: RewardModel, comparison: Comparison, answer: str) -> Row:
    row = rewarder.row(comparison.question, comparison.gold, answer)
    n_tokens = len(row[0]) + len(row[1])
    if rewarder.context is not None and n_tokens > rewarder.context:
        raise TooLong.of(n_tokens, rewarder.context, comparison.question)
    return row
