"""A reward model on disk, and its scores: a Hugging Face folder for sequence classification with one label.

DIR/  config.json  model.safetensors  tokenizer...  reward_model.json

`reward_model.json` is kgym's own: the prompt made of a question, and the bias that moves the mean score of
demonstrations to 0. Without this file, the prompt is the question itself and the bias 0.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from kgym.errors import ConfigError
from kgym.files import write_atomic
from kgym.models.load import check_vocabulary, load_config, load_tokenizer, load_weights
from kgym.models.placement import placement
from kgym.models.policy import Learner
from kgym.options import Options, validated
from kgym.train_config import check_trained_dtype
from kgym.types import Message

FILE = "reward_model.json"
BATCH_TOKENS = 8192
"""Tokens, padding included, in one forward pass of `scores`."""


class Reading(Options):
    """How a reward model is used: the content of `reward_model.json`."""

    prompt: str = Field("{question}", min_length=1)
    """The user's message: `{question}` stands for the question, `{gold}` for the gold answer, for models that were
    trained to compare with it (Kimi k1.5, section 2.3.5).
    """
    bias: float = Field(0.0, allow_inf_nan=False)
    """Number subtracted from the output of the head."""


@dataclass(frozen=True)
class RewardModel(Learner):
    """A scorer of completions with its tokenizer."""

    reading: Reading

    def row(self, question: str, gold: str, answer: str) -> tuple[list[int], list[int]]:
        """Return the ids of the prompt and of the completion `answer`, which is untrusted text, with its end token."""
        parts = self.reading.prompt.split(
            "{question}"
        )  # in two steps, so that "{gold}" inside a question is not replaced
        text = question.join(part.replace("{gold}", gold) for part in parts)
        return self.encoder.prompt((Message("user", text),)), self.encoder.answer(answer, untrusted=True)

    def head(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the output of the head for each row, (rows,) float32; rows are padded on the right."""
        output: Tensor = (
            self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits.float().squeeze(-1)
        )
        return output

    @torch.no_grad()
    def scores(self, items: Sequence[tuple[str, str, str]]) -> list[float | None]:
        """Return the score of each (question, gold, completion), bias subtracted; None for one that is longer than the
        model's context.
        """
        rows = [prompt + answer for prompt, answer in (self.row(*item) for item in items)]
        found: list[float | None] = [None] * len(rows)
        fitting = [i for i, row in enumerate(rows) if self.context is None or len(row) <= self.context]
        for batch in _batches(sorted(fitting, key=lambda i: len(rows[i])), rows):
            for place, value in zip(batch, self._forward([rows[i] for i in batch]), strict=True):
                found[place] = value - self.reading.bias
        return found

    def _forward(self, rows: Sequence[Sequence[int]]) -> list[float]:
        length = max(map(len, rows))
        padding = self.model.config.pad_token_id
        input_ids = torch.tensor([[*row, *[padding] * (length - len(row))] for row in rows], device=self.model.device)
        attention = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], device=self.model.device)
        values: list[float] = self.head(input_ids, attention).tolist()
        return values

    def save_reading(self, folder: Path) -> None:
        """Write `reward_model.json`."""
        write_atomic(folder / FILE, self.reading.model_dump_json(indent=2) + "\n")

    def read_as(self, **changes: object) -> "RewardModel":
        """Return the same model with another prompt or bias."""
        return replace(self, reading=validated(Reading, self.reading.model_dump() | changes))


def check_reward_model(folder: str) -> None:
    """Raise ConfigError if a folder contains no reward model, as far as its configuration and its tokenizer say."""
    config = load_config(folder)
    _check_labels(folder, config.num_labels)
    _read(Path(folder) / FILE)
    check_vocabulary(folder, load_tokenizer(folder), config.get_text_config().vocab_size)


def _check_labels(folder: str, n_labels: int) -> None:
    if n_labels != 1:
        raise ConfigError(
            f"{folder} is not a reward model: it has {n_labels} labels instead of one; train one with kgym rm"
        )


def load_reward_model(folder: str, *, dtype: str = "auto", device: str = "auto", new_head: bool = False) -> RewardModel:
    """Load a reward model, or, with `new_head`, make one of any language model: its head, of zeros, gives every
    completion the score 0.

    `dtype` and `device` as in `placement`. Raises ConfigError if the folder contains no such model, or if a model with
    a new head, which is to be trained, cannot be trained in `dtype`.
    """
    if new_head:
        check_trained_dtype(dtype)
    device, torch_dtype = placement(device, dtype)
    load_config(folder)
    tokenizer = load_tokenizer(folder)
    labels = {"num_labels": 1} if new_head else {}
    model, missing = load_weights(
        AutoModelForSequenceClassification, folder, what="a reward model", dtype=torch_dtype, device=device, **labels
    )
    _check_labels(folder, model.config.num_labels)
    if missing and not new_head:
        raise ConfigError(f"{folder} is not a reward model: it has no weights for {missing[0]}; train one with kgym rm")
    if lacking := [name for name in missing if name.startswith(f"{model.base_model_prefix}.")]:
        raise ConfigError(
            f"cannot make a reward model of {folder}: it has no weights for {lacking[0]}; name another folder"
        )
    check_vocabulary(folder, tokenizer, model.get_input_embeddings().weight.shape[0])
    if model.config.pad_token_id is None:  # the model looks for the last token that is not padding
        model.config.pad_token_id = (
            tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        )
    return RewardModel(model, tokenizer, folder, _read(Path(folder) / FILE))


def _batches(order: Sequence[int], rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Cut the numbers of some rows, the shortest first, into forward passes."""
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * len(rows[i]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _read(path: Path) -> Reading:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Reading()
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path} is damaged: {error}") from error
    return validated(Reading, values, str(path))
