"""A model with its tokenizer, loaded from a Hugging Face folder; the policy is a causal language model."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgym.models.encoding import ChatEncoder
from kgym.models.load import load_language_model, own_memory
from kgym.models.placement import placement
from kgym.train_config import check_trained_dtype


@dataclass(frozen=True)
class Learner:
    """A model with its tokenizer."""

    model: PreTrainedModel
    """The model in evaluation mode: dropout would make the ratios of a fresh batch differ from 1."""
    tokenizer: PreTrainedTokenizerBase
    folder: str
    """The folder that it was loaded from."""

    @cached_property
    def encoder(self) -> ChatEncoder:
        """Its tokenizer with the chat template. Raises ConfigError if it has none that can be used."""
        return ChatEncoder(self.tokenizer, whose=self.folder)

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.model.device

    @property
    def context(self) -> int | None:
        """The most tokens of a row."""
        limit: int | None = getattr(self.model.config, "max_position_embeddings", None)
        return limit


class Policy(Learner):
    """A causal language model with its tokenizer."""


def load_policy(folder: str | Path, *, dtype: str = "auto", device: str = "auto") -> Policy:
    """Load a Hugging Face model folder (or the name of one on the hub). No code from the folder is run.

    `dtype` and `device` as in `placement`. Raises ConfigError if the folder contains no causal language model with a
    tokenizer, or if it cannot be trained in `dtype`.
    """
    check_trained_dtype(dtype)
    device, torch_dtype = placement(device, dtype)
    model, tokenizer = load_language_model(str(folder), dtype=torch_dtype, device=device)
    own_memory(model)
    return Policy(model, tokenizer, str(folder))
