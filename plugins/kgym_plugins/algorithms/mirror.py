"""Online policy mirror descent: a proximal step around the policy that sampled, by regression instead of a ratio.

Each batch asks for max E[r] - tau KL(policy || old policy). Its solution satisfies r - tau log Z = tau log(policy /
old) for every completion, and the squared difference of the two sides is the loss; it is valid off-policy. With D the
log-ratio of a whole completion,

    L = 1 / (2 tau) * mean over completions of (r - tau log Z - tau D)^2
    grad L = -mean (r - tau log Z - tau D) grad log p(completion)

The group mean of the rewards stands for tau log Z. It needs no critic, clipping or standard deviation: a correct
completion among wrong ones pulls as hard as a wrong one among correct ones pulls back. The old policy is the reference,
so no other one is kept.

Source: Kimi k1.5, arXiv:2501.12599, section 2.3.2, equations 2 and 3.
"""

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from kgym.algorithms.aggregation import mean_over_answers
from kgym.algorithms.base import AlgorithmBase, AlgorithmOptions, Facts
from kgym.algorithms.baselines import group_logmeanexp, group_mean
from kgym.algorithms.episodes import mean_per_episode, sum_per_episode, to_tokens
from kgym.algorithms.ratios import log_ratios
from kgym.types import LossOutput, PackedBatch


class MirrorOptions(AlgorithmOptions):
    """Kimi k1.5's online policy mirror descent."""

    tau: float = Field(0.1, gt=0)
    """Pull towards the policy that sampled; the paper's tau. A smaller value trusts the rewards more."""
    inner_steps: int = Field(2, ge=1)
    """Passes over each batch. With one optimizer step, on fresh data, D is 0 and this is plain policy gradient with
    a mean baseline.
    """
    log_partition: Literal["mean", "logmeanexp"] = "mean"
    """Estimate of tau log Z: the group mean of the rewards, or tau log mean exp(r / tau), which tends to it for
    large tau.
    """
    length_normalize: bool = False
    """Take the mean over a completion's tokens for D instead of the sum, which grows with length. Not in the paper."""
    method: Literal["loss", "k1.5"] = "loss"
    """`loss`: the paper's loss alone. `k1.5`: also a fresh optimizer for each batch, the length penalty, and a
    curriculum that is followed by prioritized sampling. Each of these can still be set by its own key.
    """


class Mirror(AlgorithmBase):
    """See the module."""

    Options = MirrorOptions
    facts = Facts(
        advantage="r - group mean (or - tau log mean exp(r / tau))",
        ratio="completion, in logs",
        clip="none: squared loss",
        aggregation="mean over completions",
        kl="squared log-ratio, tau / 2",
        reference="policy at the start of the batch",
        source="Kimi k1.5, arXiv:2501.12599, section 2.3.2",
    )

    def recipe(self, max_tokens: int) -> dict[str, Any]:
        """Return the parts of the paper's method around its loss: sections 2.3.2 (fresh optimizer), 2.3.3 and 2.3.4."""
        if self.options.method == "loss":
            return {}
        return {
            "algo.options.reset_optimizer": True,
            "shapers.length_penalty": {},
            "sampler": {"name": "curriculum", "options": {"then": "prioritized"}},
        }

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return r - tau log Z of its completion for each token, (T,)."""
        o = self.options
        baseline_E = group_mean(batch) if o.log_partition == "mean" else group_logmeanexp(batch, o.tau)
        return to_tokens(batch, batch.rewards - baseline_E).to(batch.rewards.dtype)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the squared surrogate; `logprobs` is (T,)."""
        assert batch.advantages is not None
        o = self.options
        log_ratios_T = log_ratios(batch, logprobs)
        D_E = mean_per_episode(batch, log_ratios_T) if o.length_normalize else sum_per_episode(batch, log_ratios_T)
        residual_E = mean_per_episode(batch, batch.advantages) - o.tau * D_E
        weight_E = mean_per_episode(batch, self.mismatch_weights(batch))  # 0 for a completion that does not count
        loss = mean_over_answers(batch, weight_E * residual_E.square() / (2 * o.tau))
        return self.output(batch, logprobs, loss)
