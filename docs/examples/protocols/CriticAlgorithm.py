"""An algorithm with a critic: its plan asks for one, and it has the critic's loss."""

import torch
from torch import Tensor

import kgym
from kgym.types import LossOutput, PackedBatch, Totals


def value_loss(batch: PackedBatch, values: Tensor) -> LossOutput:
    """Half the squared error to the reward of the episode, mean over the trained tokens."""
    wanted_T = batch.rewards[batch.episode_ids]
    error_T = (values - wanted_T).square() * batch.mask
    return LossOutput(0.5 * error_T.sum() / batch.totals.tokens)


assert kgym.make_algorithm("ppo").plan.needs_values
batch = PackedBatch(
    input_ids=torch.arange(4),
    episode_ids=torch.tensor([0, 0, 1, 1]),
    mask=torch.tensor([False, True, False, True]),
    old_logprobs=torch.zeros(4),
    rewards=torch.tensor([1.0, 0.0]),
    group_ids=torch.tensor([0, 0]),
    totals=Totals(tokens=2, episodes=2, groups=1),
)
assert value_loss(batch, torch.tensor([0.0, 0.5, 0.0, 0.5])).loss == 0.125
