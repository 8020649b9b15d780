"""The optimizer: AdamW without decay on vectors, a warm-up, and gradient clipping that says what it saw."""

import torch
from torch import nn


def make_optimizer(model: nn.Module, *, lr: float, weight_decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """AdamW; weight decay only on matrices, as biases and norm gains have no redundancy to shrink."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=betas)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def lr_at(step: int, *, lr: float, warmup_steps: int, steps: int, schedule: str) -> float:
    """Learning rate of step 1, 2, ...: a linear rise over `warmup_steps`, then constant or linear down to a tenth at the last step.

    >>> [lr_at(step, lr=1.0, warmup_steps=2, steps=4, schedule="constant") for step in (1, 2, 4)]
    [0.5, 1.0, 1.0]
    >>> lr_at(4, lr=1.0, warmup_steps=2, steps=4, schedule="linear")
    0.1
    """
    if step < warmup_steps:
        return lr * step / warmup_steps
    if schedule == "constant" or steps <= warmup_steps:
        return lr
    return lr * (1.0 - 0.9 * (step - warmup_steps) / (steps - warmup_steps))
