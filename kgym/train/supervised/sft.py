"""Supervised fine-tuning: teach a policy to continue a prompt with a worked solution, before rewards take over.

The loss is the mean over a batch's completion tokens, end token included, of -log p; prompt tokens do not count in the
loss.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kgym.algorithms.episodes import masked
from kgym.supervised_config import SFTConfig
from kgym.train.policy import TrainedPolicy
from kgym.train.profiling import phase
from kgym.train.supervised.examples import Example, Examples, Sampled, encoded
from kgym.train.supervised.rows import fitting, pack_rows, too_long
from kgym.train.supervised.sources import examples_of


class SFT:
    """The part of `kgym sft`. `examples`, and `facts` that identify them, replace those of the configuration."""

    def __init__(
        self, config: SFTConfig, examples: Examples | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.config = config
        if examples is None:
            examples, facts = examples_of(config)
        self.examples = examples
        self.facts = facts or {}

    def load(self, folder: str, checkpoint: Path | None) -> TrainedPolicy:
        """See `Part`."""
        self.policy = TrainedPolicy.load(folder, self.config.train, checkpoint=checkpoint, seed=self.config.seed)
        return self.policy

    def add_gradient(self, step: int) -> dict[str, float]:
        """See `Part`."""
        size = self.config.sft.batch_size
        with phase("pack"):
            batch = [self.examples(n) for n in range((step - 1) * size, step * size)]
        return add_likelihood(self.policy, batch)

    def held_out(self) -> dict[str, float]:
        """See `Part`: nothing is held out."""
        return {}

    def save(self, folder: Path) -> None:
        """See `Part`: it has nothing but the policy."""

    def summary(self) -> dict[str, Any]:
        """See `Part`."""
        return {}


def add_likelihood(policy: TrainedPolicy, batch: Sequence[Example | Sampled], coef: float = 1.0) -> dict[str, float]:
    """Add the gradient of coef * the loss of a batch; return the loss in nats a completion token, and the tokens read.

    Examples that do not fit into the context are left out, and their number is returned as `data/too_long`.
    """
    rows = fitting(batch, lambda example: encoded(policy.bare, example))
    left_out = too_long(len(batch), len(rows))
    if not rows:
        return {"train/loss_nats": 0.0, "data/tokens": 0} | left_out
    packed = pack_rows(rows, policy.device)
    loss = 0.0
    for micro, _, weight in policy.microbatches(packed):
        logprobs_T, _ = policy.logprobs(micro)
        micro_loss = -masked(micro, logprobs_T).sum() / micro.totals.tokens
        (coef * weight * micro_loss).backward()
        loss += weight * micro_loss.item()
    return policy.world.sums({"train/loss_nats": loss}) | {"data/tokens": packed.n_tokens} | left_out
