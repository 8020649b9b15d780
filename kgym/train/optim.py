"""The optimizers, and the learning rate of each step.

    float32 masters     `torch.optim.AdamW`
    bfloat16 masters    `SplitAdamW`: the lower half of each float32 weight is kept too, so that no change is lost; or
                        `torch.optim.AdamW`, which loses changes that are small against the weight

A bfloat16 number has 8 significant bits: a change of less than 1/512 of a weight leaves it as it is.
"""

import itertools
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from kgym.models.weights import cut_as, local


def make_optimizer(
    model: nn.Module, *, lr: float, weight_decay: float, betas: tuple[float, float], split: bool = False
) -> torch.optim.Optimizer:
    """Return AdamW or `SplitAdamW`. Only matrices have weight decay: biases and norm gains have no redundancy to
    shrink.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return SplitAdamW(groups, lr=lr, betas=betas) if split else torch.optim.AdamW(groups, lr=lr, betas=betas)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def lr_at(step: int, *, lr: float, warmup_steps: int, steps: int, schedule: str, decay_frac: float) -> float:
    """Return the learning rate of a step, counted from 1: linear warm-up, constant, then down to a tenth over the last
    `decay_frac` of the steps.

    `schedule` is the shape of the decay, `linear` or `cosine`; `constant` has none. The decay never begins before the
    warm-up ends. Source: Hu et al. 2024 (MiniCPM), arXiv:2404.06395, section 4.

    >>> [lr_at(step, lr=1.0, warmup_steps=2, steps=4, schedule="constant", decay_frac=1.0) for step in (1, 2, 4)]
    [0.5, 1.0, 1.0]
    >>> linear = {"lr": 1.0, "warmup_steps": 2, "steps": 10, "schedule": "linear", "decay_frac": 0.2}
    >>> [round(lr_at(step, **linear), 2) for step in (1, 2, 8, 9, 10)]
    [0.5, 1.0, 1.0, 0.55, 0.1]
    """
    rise = min(1.0, step / warmup_steps) if warmup_steps else 1.0
    decay_steps = 0.0 if schedule == "constant" else min(steps * decay_frac, steps - warmup_steps)
    fall = min(1.0, (steps - step) / decay_steps) if decay_steps > 0 else 1.0
    if schedule == "cosine":
        fall = (1.0 - math.cos(math.pi * fall)) / 2.0
    return lr * rise * (0.1 + 0.9 * fall)


# --- bfloat16 weights -------------------------------------------------------------------------------------------------


class SplitAdamW(torch.optim.Optimizer):
    """AdamW in float32 on bfloat16 weights: its numbers are those of float32 weights, in four bytes a weight for both.

    A bfloat16 number is the upper half of a float32 one, so the optimizer keeps the lower half of each weight, 16 bits,
    in its state. A step puts both halves together, updates the float32 weight, and splits it again. The moments are
    float32. Parameters of other types are updated as they are. Compensated (Kahan) sums in bfloat16 need as much memory
    and still lose changes once the compensation itself is large: at a learning rate of 1e-6 a weight near 1 stops
    changing after about 500 steps.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step. The tensors are taken one by one, so that only one of them is in float32 at a time."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _take_step(parameter, self._state_of(parameter), group)

    def masters(self, parameter: nn.Parameter) -> Tensor:
        """Return the float32 weights of a parameter, cut over ranks as it is."""
        low = self.state[parameter].get("low") if parameter in self.state else None
        weights = parameter.detach()
        return weights.float() if low is None else cut_as(weights, joined(local(weights), local(low)))

    def reset(self) -> None:
        """Forget everything except the lower halves, which belong to the weights."""
        for state in self.state.values():
            for key, value in state.items():
                if key != "low":
                    value.zero_()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, in its own types; torch would convert every tensor to the type of its
        parameter.
        """
        super().load_state_dict(state_dict)
        numbers = itertools.chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        parameters = itertools.chain.from_iterable(group["params"] for group in self.param_groups)
        for number, parameter in zip(numbers, parameters, strict=True):
            for key, value in state_dict["state"].get(number, {}).items():
                if isinstance(value, Tensor) and key != "step":
                    self.state[parameter][key] = value.to(device=parameter.device, copy=True)

    def _state_of(self, parameter: nn.Parameter) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter, dtype=torch.float32)
            state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=torch.float32)
            if parameter.dtype == torch.bfloat16:
                state["low"] = torch.zeros_like(parameter)
        return state


def _take_step(parameter: nn.Parameter, state: dict[str, Any], group: dict[str, Any]) -> None:
    assert parameter.grad is not None
    weights, gradient = local(parameter.detach()), local(parameter.grad)
    low = local(state["low"]) if "low" in state else None
    master = weights if low is None else joined(weights, low)
    adamw(
        [master],
        [gradient.to(master.dtype)],
        [local(state["exp_avg"])],
        [local(state["exp_avg_sq"])],
        [],
        [state["step"]],
        amsgrad=False,
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )
    if low is not None:
        upper, lower = halves(master)
        weights.copy_(upper)
        low.copy_(lower)


def halves(master: Tensor) -> tuple[Tensor, Tensor]:
    """Split float32 numbers into the nearest bfloat16 numbers and the remainder, in units of the last float32 bit.

    The remainder is an integer of 16 bits, with ties away from zero. It is stored as the bfloat16 number with the same
    bits, because neither gloo nor NCCL sends int16: copy it, and do not calculate with it.

    >>> master = torch.tensor([1.0, 1.001])
    >>> upper, lower = halves(master)
    >>> upper.tolist(), lower.view(torch.int16).tolist(), joined(upper, lower).tolist() == master.tolist()
    ([1.0, 1.0], [0, 8389], True)
    """
    bits = master.contiguous().view(torch.int32)
    upper = (bits + (1 << 15)) >> 16
    return upper.to(torch.int16).view(torch.bfloat16), (bits - (upper << 16)).to(torch.int16).view(torch.bfloat16)


def joined(upper: Tensor, lower: Tensor) -> Tensor:
    """Join the halves of float32 numbers."""
    high, low = (half.contiguous().view(torch.int16).to(torch.int32) for half in (upper, lower))
    return ((high << 16) + low).view(torch.float32)
