"""A plugin of components that return numbers which are not finite, from the second step on: `-p breaking`."""

import math

from kgym.hookspecs import AlgorithmInfo, ShaperInfo, hookimpl
from kgym.options import Options
from kgym.types import LossOutput, UpdatePlan

kgym_api = 1


class BreakingShaper:
    """Returns a reward that is none."""

    Options = Options

    def __init__(self, options):
        pass

    def __call__(self, group, rewards, step):
        return rewards if step == 1 else [math.nan, *rewards[1:]]


class BreakingAlgorithm:
    """REINFORCE, but for the batch in which it breaks."""

    Options = Options
    where = "advantages"

    def __init__(self, options):
        self.plan = UpdatePlan(min_group_size=1)
        self.n_batches = 0

    def _break(self, where, tensor):
        return tensor * math.inf if self.n_batches > 1 and where == self.where else tensor

    def advantages(self, batch):
        self.n_batches += 1
        return self._break("advantages", batch.mask.float())

    def loss(self, batch, logprobs):
        return LossOutput(self._break("loss", -(batch.advantages * logprobs * batch.mask).sum() / batch.totals.tokens))


class BreakingLoss(BreakingAlgorithm):
    """Breaks in its loss."""

    where = "loss"


@hookimpl
def kgym_components():
    yield ShaperInfo(name="breaking", target="breaking:BreakingShaper", summary="NaN from the second step on")
    yield AlgorithmInfo(name="breaking", target="breaking:BreakingAlgorithm", summary="infinite advantages")
    yield AlgorithmInfo(name="breaking-loss", target="breaking:BreakingLoss", summary="an infinite loss")
