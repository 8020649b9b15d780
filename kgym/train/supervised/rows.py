"""Examples as rows of tokens: a prompt, which is read, and a completion, which counts in the loss."""

import functools
import json
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from kgym.algorithms.batch import pack
from kgym.errors import DataError
from kgym.models.policy import Learner
from kgym.seeding import derive_seed
from kgym.types import Chat, PackedBatch

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

ENDLESS = 1 << 40
"""Indices of an endless source are drawn below this: two draws of a run are practically never equal."""

Row = tuple[list[int], list[int]]
"""The ids of a prompt, which are read, and those of a completion, which count in the loss."""


# --- where they come from ---------------------------------------------------------------------------------------------


def shuffled(items: Sequence[T], *, seed: int) -> Callable[[int], T]:
    """Return a function that gives the n-th of the items, in endless passes that each have their own order. Raises
    DataError if there are none.
    """
    if not items:
        raise DataError("the data contain no example to learn from")
    current: tuple[int, list[int]] = (-1, [])

    def nth(n: int) -> T:
        nonlocal current
        number, place = divmod(n, len(items))
        if current[0] != number:
            order = list(range(len(items)))
            random.Random(derive_seed("sft", seed, number)).shuffle(order)  # noqa: S311  (not a secret)
            current = (number, order)
        return items[current[1][place]]

    return nth


def read_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each line of a file of JSON lines as (its place, its value). Raises DataError for one that is not JSON, or
    spells half of a surrogate pair, which no tokenizer takes.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # a text may hold other ends of lines, such as U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                value = json.loads(line)
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                raise DataError(
                    f"{where}: {error.object[error.start]!r} is half of a surrogate pair, not a character"
                ) from None
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where}: not JSON: {error}") from error
            yield where, value


# --- tokens -----------------------------------------------------------------------------------------------------------


def encode_row(learner: Learner, prompt: Chat, completion: str) -> Row:
    """Return the ids of the prompt and of the completion with its end token.

    Raises ConfigError if the tokenizer has no chat template or end token, TooLong if the row does not fit into the
    context.
    """
    return checked_row(
        learner, (learner.encoder.prompt(prompt), learner.encoder.answer(completion)), prompt[-1].content
    )


def checked_row(learner: Learner, row: Row, what: str) -> Row:
    """Return the row. Raises TooLong, naming `what`, if it does not fit into the context."""
    n_tokens = len(row[0]) + len(row[1])
    if learner.context is not None and n_tokens > learner.context:
        raise TooLong.of(n_tokens, learner.context, what)
    return row


class TooLong(DataError):
    """An example does not fit into the model's context."""

    @classmethod
    def of(cls, n_tokens: int, context: int, question: str) -> Self:
        """Return the error for an example of `n_tokens`."""
        return cls(f"an example has {n_tokens} tokens and the model's context {context}: {question[:80]!r}")


def fitting(items: Sequence[T], encode: Callable[[T], R]) -> list[R]:
    """Return the encoded items of a batch; those that do not fit into the context are left out, and each is named
    once.
    """
    encoded = []
    for item in items:
        try:
            encoded.append(encode(item))
        except TooLong as error:
            _left_out(str(error))
    return encoded


@functools.lru_cache(maxsize=1000)
def _left_out(what: str) -> None:
    """Log it at the first call with this text."""
    log.warning("%s; it is left out of its batch", what)


def pack_rows(rows: Sequence[Row], device: torch.device, *, groups: Sequence[int] | None = None) -> PackedBatch:
    """Return the rows as one pack on `device`; rows with the same number in `groups` belong together; without `groups`
    each row is alone.
    """
    batch = pack(
        prompt_ids=[prompt for prompt, _ in rows],
        token_ids=[completion for _, completion in rows],
        rewards=[0.0] * len(rows),
        group_ids=range(len(rows)) if groups is None else groups,
    )
    tensors = {
        field.name: value.to(device)
        for field in fields(batch)
        if isinstance(value := getattr(batch, field.name), Tensor)
    }
    return replace(batch, **tensors)  # type: ignore[arg-type]  # only fields that are tensors


def too_long(n_items: int, n_kept: int) -> dict[str, float]:
    """Return how many items of a batch were left out, as a metric; {} for none."""
    return {"data/too_long": n_items - n_kept} if n_kept < n_items else {}
