"""From the configuration of a run to the `Workload` that its plan is made of, and to the settings that need less."""

from dataclasses import replace

import torch

from kgym.models.footprint import Footprint, footprint
from kgym.models.placement import DTYPES
from kgym.train.memory import available_bytes
from kgym.train.plan import Change, Plan, Workload
from kgym.train.precision import Precision
from kgym.train.scorer import checkpoints
from kgym.train_config import TrainConfig

SMALLEST_MICROBATCH = 512
"""Fewest tokens of a micro-batch that is proposed."""


def policy_workload(train: TrainConfig, folder: str, *, row: int, texts: int) -> Workload:
    """Return the workload of a policy that is trained on up to `texts` texts of `row` tokens in an optimizer step.

    Raises ConfigError for a model whose configuration cannot be read.
    """
    types = Precision.of(train)
    model = footprint(folder, bfloat16=types.compute == torch.bfloat16)
    size = DTYPES[types.weights].itemsize
    work = Workload(
        model,
        row=row,
        texts=texts,
        microbatch_tokens=train.microbatch_tokens,
        trained=model.parameters,
        device=types.device,
    )
    work = replace(work, weight_bytes=size, compute_bytes=types.compute.itemsize)
    work = replace(work, checkpointing=checkpoints(train, types.device))
    if train.lora.rank:
        return replace(work, trained=adapter_size(model, train.lora.rank, train.lora.targets))
    return replace(work, trained_bytes=size, state_bytes=_state_bytes(size, split=types.split))


def _state_bytes(size: int, *, split: bool) -> int:
    """Return the bytes of the optimizer's state for each weight of `size` bytes: two moments, and the lower half of
    a split weight.
    """
    return 8 + 2 if split else 2 * size


def adapter_size(model: Footprint, rank: int, targets: tuple[str, ...]) -> int:
    """Return the size of a LoRA adapter, in numbers, on the linear layers whose names end with one of the targets, or
    on all without targets.
    """
    return sum(
        rank * (inputs + outputs)
        for name, inputs, outputs in model.linears
        if not targets or any(name == target or name.endswith(f".{target}") for target in targets)
    )


def smaller(train: TrainConfig, folder: str, work: Workload) -> dict[str, Change]:
    """Return the changes of a policy's workload that would need less memory, by the setting of the configuration."""
    found: dict[str, Change] = {}
    tokens = _smaller_microbatch(work, available_bytes(torch.device(work.device)))
    if tokens < work.tokens:
        found[f"train.microbatch_tokens={tokens}"] = lambda other: replace(other, microbatch_tokens=tokens)
    if not work.checkpointing:
        found["train.gradient_checkpointing=true"] = lambda other: replace(other, checkpointing=True)
    n_gpus = torch.cuda.device_count() if work.device.startswith("cuda") else 0
    if n_gpus > work.ranks:
        found[f"--ranks {n_gpus}"] = lambda other: replace(other, ranks=n_gpus)
    if not train.lora.rank:
        found["train.lora.rank=16"] = _with_adapter
        if train.master_dtype == "float32":
            half = footprint(folder, bfloat16=True)
            found["train.master_dtype=bfloat16 with train.optimizer=adamw-split"] = lambda other: _with_split_weights(
                other, half
            )
    return found


def _smaller_microbatch(work: Workload, available: int | None) -> int:
    """Return half the tokens of a forward pass, halved again until the run fits, but no fewer than a text has."""
    tokens = work.tokens
    while tokens // 2 >= max(work.row, SMALLEST_MICROBATCH):
        tokens //= 2
        if available is None or Plan(replace(work, microbatch_tokens=tokens)).peak <= available:
            break
    return tokens


def _with_split_weights(work: Workload, half: Footprint) -> Workload:
    """Return a workload whose weights, gradients and computations are bfloat16; `half` is its model computed so."""
    return replace(
        work, model=half, weight_bytes=2, trained_bytes=2, compute_bytes=2, state_bytes=_state_bytes(2, split=True)
    )


def _with_adapter(work: Workload) -> Workload:
    """Return a workload with an adapter of rank 16 on weights in the type of the computation; its base is the
    reference.
    """
    size = work.compute_bytes
    reference = None if work.reference is work.model else work.reference
    return replace(
        work,
        trained=adapter_size(work.model, 16, ()),
        weight_bytes=size,
        trained_bytes=4,
        state_bytes=8,
        reference=reference,
    )
