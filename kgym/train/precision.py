"""The types of a policy: weights in `train.master_dtype`, forward and backward pass in `train.dtype`."""

from dataclasses import dataclass

import torch

from kgym.models.placement import DTYPES, placement
from kgym.train_config import TrainConfig


@dataclass(frozen=True)
class Precision:
    """The types of a run, and its device."""

    device: str
    """The device as torch names it."""
    compute: torch.dtype
    """Type of matrix products; sums, losses and log-probabilities are float32."""
    weights: str
    """Type in which a model is loaded. The base of an adapter, which itself is float32, has the type of the
    computation.
    """
    saved: torch.dtype
    """Type of the weights in a checkpoint."""
    split: bool
    """Whether the optimizer holds the lower halves of float32 weights."""

    @classmethod
    def of(cls, config: TrainConfig) -> "Precision":
        """Return what a configuration asks for; computations with bfloat16 weights are always in bfloat16."""
        device, compute = placement(config.device, "bfloat16" if config.master_dtype == "bfloat16" else config.dtype)
        weights = str(compute).removeprefix("torch.") if config.lora.rank else config.master_dtype
        return cls(device, compute, weights, DTYPES[config.save_dtype], config.optimizer == "adamw-split")

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass. The backward pass needs none: it has the types of the forward pass.

        Casts of weights are not kept: a cast from a pass without gradient would cut the gradient of a later pass in the
        same context, and the gradients of the uses of a weight would be summed in bfloat16.
        """
        enabled = self.compute != torch.float32
        dtype = self.compute if enabled else torch.bfloat16
        return torch.autocast(torch.device(self.device).type, dtype=dtype, enabled=enabled, cache_enabled=False)

    @property
    def exact(self) -> bool:
        """Whether a checkpoint holds the optimizer's weights exactly, so the trainer's state need not."""
        return not self.split and (self.saved == torch.float32 or self.weights == "bfloat16")
