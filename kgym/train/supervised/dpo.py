"""Direct preference optimization: a policy learns from pairs of answers, held to a frozen reference, with neither rewards nor sampling.

    L = mean over prompts of the mean over their pairs of -log sigmoid(beta [(lp - ref)(chosen) - (lp - ref)(rejected)])

lp and ref are sums over the tokens of an answer, end token included. The reference is the model that training starts from.

Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7. With K answers to a prompt, its pairs count together as one, as in InstructGPT.

Dimension key:  B rows of a micro-batch   L tokens of the longest row   P pairs
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from kgym.algorithms.preference import dpo_loss
from kgym.models.policy import Policy, load_policy
from kgym.options import RunSteps
from kgym.train.logprobs import token_logprobs
from kgym.train.supervised.comparisons import Comparison, PreferenceData
from kgym.train.supervised.fit import SupervisedOptions, encode_row, fit, microbatches, pad
from kgym.train.supervised.pairs import Item, add_up, batch_of, index_pairs, items_of, measured
from kgym.types import LossOutput


class DPOOptions(SupervisedOptions):
    """Direct preference optimization."""

    steps: int = Field(200, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(16, ge=1)
    """Prompts a step, each with all of its pairs."""
    lr: float = Field(1e-4, gt=0)
    """Learning rate of AdamW after the warm-up; the default suits a model of a million parameters, a billion needs about 5e-7."""
    warmup_steps: RunSteps = 10
    """Steps over which the learning rate rises from 0: a number, or, below 1, a share of the run."""
    beta: float = Field(0.1, gt=0)
    """How much a nat of distance from the reference is worth; the paper's beta. Smaller moves further."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Chance that a preference is the wrong way round (conservative DPO)."""
    length_normalize: bool = False
    """Means over the tokens of an answer instead of sums, so that long answers count no more than short ones."""


def preference_loss(
    policy: nn.Module, reference: nn.Module, micro: Sequence[Item], options: DPOOptions, device: torch.device
) -> LossOutput:
    """Return the loss of some prompts, weighted by their items' weights, and its metrics, which add up over micro-batches."""
    input_ids_BL, attention_BL, counts_BL = pad([row for item in micro for row in item.rows], device)
    better_P, worse_P, weights_P = (tensor.to(device) for tensor in index_pairs(micro))

    def answers(model: nn.Module) -> Tensor:
        logprobs_BL, _ = token_logprobs(model, input_ids_BL, attention_BL)
        sums_B = (logprobs_BL * counts_BL).sum(1)
        return sums_B / counts_BL.sum(1) if options.length_normalize else sums_B

    lp_B = answers(policy)
    with torch.no_grad():
        ref_B = answers(reference)
    output = dpo_loss(
        lp_B[better_P],
        lp_B[worse_P],
        ref_B[better_P],
        ref_B[worse_P],
        beta=options.beta,
        label_smoothing=options.label_smoothing,
        weights=weights_P,
    )
    held_B = lp_B.detach()
    metrics = {
        "preference/chosen_logprob_nats": float((weights_P * held_B[better_P]).sum()),
        "preference/rejected_logprob_nats": float((weights_P * held_B[worse_P]).sum()),
    }
    return LossOutput(output.loss, output.metrics | metrics)


def train_dpo(
    base: str | Path,
    data: PreferenceData,
    out: Path,
    options: DPOOptions,
    *,
    dtype: str = "auto",
    device: str = "auto",
    resume: bool = False,
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> dict[str, Any]:
    """Train the model of the folder `base` on preferences and write the folder `out`; see `supervised.fit`.

    What is returned has the same metrics over the comparisons held out, as `held_out/...`, if there are any.
    """

    def load(folder: str) -> Policy:
        return load_policy(folder, dtype=dtype, device=device)

    reference = load(str(base)).model.requires_grad_(False)

    def encoded(policy: Policy, batch: Sequence[Comparison]) -> list[Item]:
        return items_of(batch, lambda comparison, answer: encode_row(policy, comparison.prompt, answer))

    def micro_loss(policy: Policy, micro: Sequence[Item]) -> LossOutput:
        return preference_loss(policy.model, reference, micro, options, policy.device)

    def step(policy: Policy, number: int) -> dict[str, float]:
        items = encoded(policy, batch_of(data.train, number, options.batch_size))
        return add_up(
            lambda micro: micro_loss(policy, micro), microbatches(items, options.microbatch_tokens, lambda item: item.rows), backward=True
        )

    def finish(policy: Policy, folder: Path) -> dict[str, Any]:
        return measured(
            lambda micro: micro_loss(policy, micro), encoded(policy, data.held_out), microbatch_tokens=options.microbatch_tokens
        )

    known = {"dtype": dtype} | ({"prompt_sha256": data.prompt_sha256} if data.prompt_sha256 else {})
    return fit(
        base, out, options, load=load, backward=step, data=data.fingerprint, facts=known, resume=resume, finish=finish, report=report
    )
