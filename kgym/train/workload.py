"""From the configuration of a run to the `Workload` that its plan is made of, and to the settings that need less."""

from dataclasses import replace

import torch

from kgym.config import TrainConfig
from kgym.models.footprint import Footprint, footprint
from kgym.models.placement import placement
from kgym.train.plan import Change, Workload

SMALLEST_MICROBATCH = 512
"""Tokens below which a smaller micro-batch is not proposed."""


def policy_workload(train: TrainConfig, folder: str, *, row: int, texts: int) -> Workload:
    """Return the workload of a policy that is trained on up to `texts` texts of `row` tokens in an optimizer step.

    Raises ConfigError for a model whose configuration cannot be read.
    """
    device, dtype = placement(train.device, train.dtype)
    model = footprint(folder, bfloat16=dtype == torch.bfloat16)
    size = dtype.itemsize
    work = Workload(model, row=row, texts=texts, microbatch_tokens=train.microbatch_tokens, trained=model.parameters, device=device)
    work = replace(work, weight_bytes=size, trained_bytes=size, compute_bytes=size, state_bytes=2 * size)
    if train.lora.rank:
        work = replace(work, trained=adapter_size(model, train.lora.rank, train.lora.targets), trained_bytes=4, state_bytes=8)
    return work


def adapter_size(model: Footprint, rank: int, targets: tuple[str, ...]) -> int:
    """Return the numbers in a LoRA adapter on the linear layers whose names end with one of the targets; without targets on all."""
    return sum(
        rank * (inputs + outputs)
        for name, inputs, outputs in model.linears
        if not targets or any(name == target or name.endswith(f".{target}") for target in targets)
    )


def smaller(train: TrainConfig, work: Workload) -> dict[str, Change]:
    """Return the changes of a policy's workload that would need less memory, by the setting of the configuration."""
    found: dict[str, Change] = {}
    tokens = work.microbatch_tokens
    while tokens // 2 >= max(work.row, SMALLEST_MICROBATCH):
        tokens //= 2
    tokens = max(tokens // 2, min(work.row, tokens)) if tokens == work.microbatch_tokens else tokens
    if tokens < work.microbatch_tokens:
        found[f"train.microbatch_tokens={tokens}"] = lambda other: replace(other, microbatch_tokens=tokens)
    if not train.lora.rank:
        found["train.lora.rank=16"] = _with_adapter
    return found


def _with_adapter(work: Workload) -> Workload:
    """Return a workload with an adapter of rank 16, which needs no copy of the model for a reference."""
    return replace(work, trained=adapter_size(work.model, 16, ()), trained_bytes=4, state_bytes=8, copies=0)
