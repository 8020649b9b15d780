"""The critic: a model that estimates the reward of a completion before each of its tokens.

    separate    a separate model with one output a token, as in transformers' token classification. It starts from the
                policy, with a head of zeros, or from a reward model (sequence classification), whose head is kept
    shared      one layer on the policy's backbone, which learns from both losses: the memory of one model, the forward
                passes of two

The folder `critic` of a checkpoint holds it, apart from the policy: loading the policy does not load the critic.

Dimension key:  B rows   L tokens of the longest row
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForTokenClassification, PreTrainedModel

from kgym.errors import ConfigError
from kgym.models.load import load_config, load_weights, own_memory
from kgym.models.policy import Learner
from kgym.models.save import save_model
from kgym.models.weights import whole
from kgym.train.layout import arrange
from kgym.train.scorer import Layout, can_pack, checkpoint_layers, inside
from kgym.train.sharding import device_of_start
from kgym.types import PackedBatch
from kgym.world import join

FOLDER = "critic"
HEAD_FILE = "value_head.safetensors"


class ValueModel(Protocol):
    """Estimates what the rest of a completion is worth."""

    own: nn.Module
    """The weights that are the critic's alone; its optimizer has these."""
    packed: bool
    """Whether its tokens are laid out packed."""

    def __call__(self, input_ids: Tensor, **layout: Any) -> Tensor:
        """Return the value of the state after each token, (B, L) float32; `layout` is the rest of an arrangement's
        inputs.
        """

    def save(self, folder: Path) -> None:
        """Write the critic's own weights. Every rank calls it, rank 0 writes."""


@dataclass
class Critic:
    """A value model and what trains it."""

    model: ValueModel
    optimizer: torch.optim.Optimizer


class SeparateBackbone:
    """A value model that shares nothing with the policy."""

    def __init__(self, model: PreTrainedModel, layout: Layout) -> None:
        self._model = model.eval()
        self.own: nn.Module = model
        self.packed = can_pack(model, layout)

    def __call__(self, input_ids: Tensor, **layout: Any) -> Tensor:
        """See `ValueModel`."""
        values_BL: Tensor = self.own(input_ids=input_ids, use_cache=False, **layout).logits.float().squeeze(-1)
        return values_BL

    def save(self, folder: Path) -> None:
        """Write a folder that `AutoModelForTokenClassification` loads."""
        save_model(self._model, folder, dtype=self._model.dtype)


class SharedBackbone:
    """A layer on the hidden states of the policy."""

    def __init__(self, policy: PreTrainedModel, layout: Layout) -> None:
        self._policy = policy
        self.packed = can_pack(policy, layout)
        self.own: nn.Module = nn.Linear(policy.config.get_text_config().hidden_size, 1).to(policy.device)
        for parameter in self.own.parameters():
            nn.init.zeros_(parameter)

    def __call__(self, input_ids: Tensor, **layout: Any) -> Tensor:
        """See `ValueModel`."""
        hidden_BLH: Tensor = inside(
            self._policy, lambda: self._policy.base_model(input_ids=input_ids, use_cache=False, **layout)[0]
        )
        with torch.autocast(
            hidden_BLH.device.type, enabled=False
        ):  # a sum of some hundred products, which is cheap in float32
            values_BL: Tensor = self.own(hidden_BLH.float()).squeeze(-1)
        return values_BL

    def save(self, folder: Path) -> None:
        """Write the layer; the backbone is in the policy's own folder."""
        weights = {name: whole(tensor) for name, tensor in self.own.state_dict().items()}
        if join().first:
            folder.mkdir()
            save_file(weights, folder / HEAD_FILE)


def token_values(model: ValueModel, batch: PackedBatch) -> Tensor:
    """Return the value of the state in which each trained token was chosen, after the token before it, (T,) float32;
    0 elsewhere.
    """
    arrangement = arrange(batch, packed=model.packed)
    return arrangement.back(arrangement.pick(model(**arrangement.inputs)))


def load_value_model(
    policy: Learner,
    *,
    shared: bool,
    start: str,
    checkpoint: Path | None = None,
    layout: Layout = "auto",
    checkpointing: bool = False,
    dtype: torch.dtype = torch.float32,
) -> ValueModel:
    """Return a value model on the policy's device: that of a checkpoint of the run if there is one, otherwise a new
    one.

    A new separate one starts from the folder or hub id `start`, with weights in `dtype`; with `checkpointing` its
    layers are computed again in the backward pass. A shared one does as its policy does. Raises ConfigError if it
    cannot be made from it.
    """
    if not shared:
        model = _token_values(start if checkpoint is None else str(checkpoint / FOLDER), policy, dtype)
        if checkpointing:
            checkpoint_layers(model)
        return SeparateBackbone(model, layout)
    value_model = SharedBackbone(policy.model, layout)
    if checkpoint is not None:
        value_model.own.load_state_dict(load_file(checkpoint / FOLDER / HEAD_FILE))
    return value_model


def _token_values(folder: str, policy: Learner, dtype: torch.dtype) -> PreTrainedModel:
    """Load a model with one output a token; missing weights of the head are 0, so that every state has the same value
    at first.
    """
    try:
        load_config(folder)
        model, missing = load_weights(
            AutoModelForTokenClassification,
            folder,
            what="a critic",
            dtype=dtype,
            device=device_of_start(str(policy.device)),
            num_labels=1,
        )
    except ConfigError as error:
        raise ConfigError(f"{error}; name another critic.model, or set critic.backbone=shared") from error
    own_memory(model)
    if lacking := [name for name in missing if name.startswith(f"{model.base_model_prefix}.")]:
        raise ConfigError(
            f"cannot make a critic of {folder}: it has no weights for {lacking[0]}; name another critic.model"
        )
    if model.config.vocab_size != policy.model.config.vocab_size:
        raise ConfigError(
            f"critic.model={folder}: it has {model.config.vocab_size} tokens and the policy "
            f"{policy.model.config.vocab_size}; a critic reads the policy's tokens and needs its vocabulary"
        )
    return model
