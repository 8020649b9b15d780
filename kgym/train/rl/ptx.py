"""PPO-ptx: each optimizer step of reinforcement learning also raises the likelihood of texts that the policy should not
forget.

    L = L of the algorithm - coef * mean over the completion tokens of some examples of lp

Works with every algorithm. The examples of an optimizer step are a function of the seed and its number, so a resumed
run sees the same.

Source: Ouyang et al. 2022 (InstructGPT), arXiv:2203.02155, equation 2, whose gamma is `coef`. In the paper the texts
are from pre-training; here they are worked solutions of the environment, or a file of prompts and completions.
"""

import math
import random
from collections.abc import Callable
from pathlib import Path

from kgym.config import RunConfig
from kgym.envs.mixture import members
from kgym.seeding import derive_seed
from kgym.train.policy import TrainedPolicy
from kgym.train.supervised.examples import Example, Examples, read_examples, solved_examples
from kgym.train.supervised.rows import shuffled
from kgym.train.supervised.sft import add_likelihood


def pretraining_examples(config: RunConfig) -> Examples | None:
    """Return the examples that `ptx` names; None if it is off. Those of several environments are mixed by their
    weights.

    Raises DataError for a file without examples.
    """
    if not config.ptx.coef:
        return None
    seed = derive_seed(config.seed, "ptx")
    if config.ptx.data is not None:
        return shuffled(read_examples(Path(config.ptx.data)), seed=seed)
    environments = members(config)
    if len(environments) == 1:
        return solved_examples(environments[0].spec.setup(), seed=seed)
    parts = [solved_examples(member.spec.setup(), seed=derive_seed(seed, member.label)) for member in environments]
    weights = [member.weight for member in environments]

    def example(n: int) -> Example:
        rng = random.Random(derive_seed(seed, "environment", n))  # noqa: S311  (not a secret)
        (part,) = rng.choices(parts, weights)
        return part(n)

    return example


def pretraining_term(
    policy: TrainedPolicy, examples: Examples, *, coef: float, batch_size: int, first: int
) -> Callable[[int], dict[str, float]]:
    """Return a function that adds the gradient of the term for the n-th optimizer step of an update.

    `first` is the number of the update's first optimizer step within the run. The function returns the loss, without
    coefficient, as `ptx/loss_nats`, and raises FloatingPointError if it is not finite.
    """

    def add(n: int) -> dict[str, float]:
        start = (first + n) * batch_size
        batch = [examples(number) for number in range(start, start + batch_size)]
        loss_nats = add_likelihood(policy, batch, coef)["train/loss_nats"]
        if not math.isfinite(loss_nats):
            raise FloatingPointError(f"the loss of the examples of ptx is {loss_nats}")
        return {"ptx/loss_nats": loss_nats}

    return add
