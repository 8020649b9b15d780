"""On-policy distillation: the student samples, and each of its tokens is rewarded by the teacher's log-probability
relative to its own.

    A_t = log teacher(token) - log old(token),    cut to +-max_advantage
    L   = -mean over tokens of ratio_t A_t

A_t estimates minus the reverse KL of a token from one sample, so the loss lowers KL(student || teacher) on the texts
that the student writes itself. The rewards of the environment are not used, and one completion of each problem is
enough.

With a short budget (`env.max_tokens`) it also turns a long model into a short one: a method of long2short that Kimi
k1.5 does not use.

Source: Agarwal et al. 2023 (GKD), arXiv:2306.13649, section 3; Gu et al. 2023 (MiniLLM), arXiv:2306.08543, equation 2.
"""

from pydantic import Field
from torch import Tensor

from kgym.algorithms.base import AlgorithmBase, Facts, TokenLossOptions
from kgym.algorithms.episodes import masked
from kgym.algorithms.ratios import token_ratios
from kgym.types import LossOutput, PackedBatch, UpdatePlan


class OPDOptions(TokenLossOptions):
    """On-policy distillation."""

    teacher: str | None = Field(None, min_length=1)
    """Model to learn from, with the tokenizer of the policy: a name, a folder, a run or a hub id. Set it:
    without it the teacher is the model that the run starts from, and nothing is learned.
    """
    max_advantage: float = Field(5.0, gt=0)
    """Nats to which the advantage of a token is cut: a token that the teacher never writes would outweigh the others.
    """


class OPD(AlgorithmBase):
    """See the module."""

    Options = OPDOptions
    facts = Facts(
        advantage="log teacher - log old, per token",
        ratio="token",
        clip="of the advantage, 5 nats",
        aggregation="token mean",
        kl="reverse KL to the teacher is the objective",
        reference="the teacher",
        source="Agarwal et al. 2023, arXiv:2306.13649; Gu et al. 2023, arXiv:2306.08543",
    )
    min_group_size = 1

    @property
    def plan(self) -> UpdatePlan:
        """Return what the trainer has to do: load the teacher as the reference."""
        return UpdatePlan(
            inner_steps=self.options.inner_steps,
            minibatches=self.options.minibatches,
            reset_optimizer=self.options.reset_optimizer,
            needs_reference=True,
            reference=self.options.teacher,
            min_group_size=self.min_group_size,
            max_rounds=self.options.max_rounds,
        )

    def advantages(self, batch: PackedBatch) -> Tensor:
        """Return the difference of the log-probabilities of teacher and student, (T,)."""
        assert batch.ref_logprobs is not None
        bound = self.options.max_advantage
        return masked(batch, batch.ref_logprobs - batch.old_logprobs).clamp(-bound, bound)

    def loss(self, batch: PackedBatch, logprobs: Tensor) -> LossOutput:
        """Return the policy-gradient loss; `logprobs` is (T,)."""
        assert batch.advantages is not None
        loss_T = -self.mismatch_weights(batch) * token_ratios(batch, logprobs) * batch.advantages
        return self.output(batch, logprobs, self.aggregate(batch, loss_T))
