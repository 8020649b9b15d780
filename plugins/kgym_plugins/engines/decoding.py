"""Rows that are sampled together, and the forward passes over them.

    prefill, or continued -> join -> [choose a token for each row -> forward] -> ...

A row that has ended stays where it is until the next forward pass. A completion that is continued by then takes its row
again, in place: the passes are those of the uncut completion, to the bit. After that its keys and values leave the
batch; see `parked.py`.

Prompts are read by the model itself. Tokens are decoded by a `SlotDecoder`, or on a GPU a `GraphDecoder` (`graphs.py`),
where `lean.py` knows the architecture, and by a `PaddedDecoder`, through the model's own modules, where it does not.

Dimension key:  B rows of the batch   L columns, padding on the left   V vocabulary
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from kgym.repetition import RepetitionDetector
from kgym.types import GenerateRequest
from kgym_plugins.engines.kvcache import RowCache
from kgym_plugins.engines.lean import LeanModel
from kgym_plugins.engines.parked import Parked
from kgym_plugins.engines.sampling import choose
from kgym_plugins.engines.slots import Slots

IDLE_FRAC = 1 / 8
"""Finished rows leave a padded batch when they are this share of it: dropping a row copies the cache of the others."""


@dataclass(eq=False)
class Row:
    """One open request."""

    request: GenerateRequest
    prompt_ids: tuple[int, ...]
    context: tuple[int, ...]
    """Tokens that the model has to read before the first new one: the prompt and the earlier segments."""
    uniforms: np.ndarray
    """One number for each token that may be sampled: the completion's budget, or what the context leaves of it."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    loops: RepetitionDetector | None = field(init=False)

    def __post_init__(self) -> None:
        length = self.request.sampling.loop_tokens
        self.loops = None if length is None else RepetitionDetector(length, self.request.prefix_ids)

    @property
    def newest(self) -> int:
        """The newest token, which is read by the next forward pass."""
        return self.token_ids[-1] if self.token_ids else self.context[-1]

    @property
    def read(self) -> tuple[int, ...]:
        """The tokens that the model has read: all except the newest."""
        return (*self.context, *self.token_ids)[:-1]

    def continues(self, other: "Row") -> bool:
        """Whether this continues the completion of `other` from its end."""
        return (
            self.request.seed == other.request.seed
            and len(self.context) == len(other.context) + len(other.token_ids)
            and self.prompt_ids == other.prompt_ids
            and self.context == (*other.context, *other.token_ids)
        )


class Choosing(NamedTuple):
    """How the rows of a batch are sampled."""

    temperature: Tensor
    """(B,) float32."""
    top_k: Tensor | None
    """(B,) int64; None if no row is cut by it."""
    top_p: Tensor | None
    """(B,) float64; None if no row is cut by it."""


class Read(NamedTuple):
    """Rows whose contexts have just been read; equal contexts are read once."""

    rows: list[Row]
    cache: RowCache
    sources: list[int]
    """The row of the cache that each row takes its keys and values from."""
    logits: Tensor
    """Logits of the next token, one row for each row of the cache."""


class Cache(Protocol):
    """Keys and values of a batch."""

    def taken(self, place: int, n_columns: int, /) -> list[tuple[Tensor, Tensor]]:
        """Copy the keys and values of all tokens that a row has read, of each layer, (1, H, L, D)."""


@dataclass
class Batch:
    """Rows that are sampled together."""

    rows: list[Row | None]
    """The rows; None for one that has ended, until the others move up."""
    cache: Cache
    logits: Tensor
    """(B, V), of the token to choose next."""
    left: dict[int, Row] = field(default_factory=dict)
    """Rows that ended since the last forward pass and may be continued, by their place."""
    chosen: tuple[list[int], list[float]] | None = None
    """The next tokens and their log-probabilities, before they are appended."""
    choosing: Choosing | None = None
    """None if rows were added, removed or moved since it was made."""

    @property
    def n_live(self) -> int:
        """Number of rows that have not ended."""
        return sum(row is not None for row in self.rows)

    def end(self, place: int, *, may_continue: bool) -> None:
        """End a row."""
        row = self.rows[place]
        assert row is not None
        if may_continue:
            self.left[place] = row
        self.rows[place] = None

    def resume(self, row: Row) -> bool:
        """Give a row the place of the one that it continues; return False if there is none."""
        place = next((place for place, other in self.left.items() if row.continues(other)), None)
        if place is None:
            return False
        del self.left[place]
        self.rows[place] = row
        self.choosing = None
        return True

    def take_left(self) -> list[Parked]:
        """Copy the keys and values of the rows that have ended."""
        left, self.left = self.left, {}
        return [
            Parked(row.prompt_ids, row.request.seed, row.read, self.cache.taken(place, len(row.read)))
            for place, row in left.items()
        ]

    def reorder(self, order: Sequence[int]) -> None:
        """Renumber the rows: `order` has the old place of each row that stays."""
        self.rows = [self.rows[place] for place in order]
        self.choosing = None


class Decoder(ABC):
    """Makes and advances batches of one model."""

    admit_frac: float
    """Waiting rows are read when this share of the batch is free for them."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.model.device

    def ready(self) -> None:  # noqa: B027  (most have nothing to prepare)
        """Prepare the weights for decoding, unless that was done."""

    def release(self) -> None:  # noqa: B027  (nor to forget)
        """Drop what `ready` made of the weights, which are about to change."""

    def vacate(self) -> None:
        """Drop that too, and give all memory back: the weights move."""
        self.release()

    def clear(self) -> None:  # noqa: B027  (most keep nothing in addition to the batches)
        """Drop the rows of all batches."""

    @abstractmethod
    def join(self, batch: Batch | None, read: Read) -> Batch:
        """Add rows to a batch."""

    @abstractmethod
    def forward(self, batch: Batch) -> Batch | None:
        """Read the newest tokens; return None if no row is left."""

    @torch.inference_mode()
    def prefill(self, rows: list[Row]) -> Read:
        """Read each different context once."""
        contexts: dict[tuple[int, ...], int] = {}
        for row in rows:
            contexts.setdefault(row.context, len(contexts))
        length = max(map(len, contexts))
        input_ids_BL = torch.zeros((len(contexts), length), dtype=torch.long)
        attention_BL = torch.zeros_like(input_ids_BL)
        for context, number in contexts.items():
            input_ids_BL[number, length - len(context) :] = torch.tensor(context)
            attention_BL[number, length - len(context) :] = 1
        cache = RowCache(attention_BL.to(self.device))
        logits_BV = self._read(input_ids_BL, cache)
        return Read(rows, cache, [contexts[row.context] for row in rows], logits_BV)

    @torch.inference_mode()
    def continued(self, rows: Sequence[tuple[Row, Parked]]) -> Read:
        """Read the tokens after the parked ones; all rows have the same number of them.

        Their columns follow the parked ones without padding: a sliding window counts columns.
        """
        n_new = len(rows[0][0].context) - len(rows[0][1].read)
        columns = max(len(row.context) for row, _ in rows)
        attention_BL = torch.zeros((len(rows), columns), dtype=torch.long)
        for number, (row, _) in enumerate(rows):
            attention_BL[number, columns - len(row.context) :] = 1
        cache = RowCache.of([parked.states for _, parked in rows], attention_BL.to(self.device))
        logits_BV = self._read(torch.tensor([row.context[-n_new:] for row, _ in rows]), cache)
        return Read([row for row, _ in rows], cache, list(range(len(rows))), logits_BV)

    def _read(self, input_ids_BL: Tensor, cache: RowCache) -> Tensor:
        """Read the newest columns and return the logits of the next token, (B, V)."""
        output = self.model(
            input_ids=input_ids_BL.to(self.device),
            attention_mask=cache.attention,
            position_ids=(cache.attention.cumsum(1) - 1).clamp(min=0)[:, -input_ids_BL.shape[1] :],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_BV: Tensor = output.logits[:, -1]
        return logits_BV

    @torch.inference_mode()
    def sample(self, batch: Batch) -> tuple[list[int], list[float]]:
        """Choose a token for every row; return them with their log-probabilities."""
        if batch.choosing is None:
            batch.choosing = self._choosing(batch.rows)
        uniforms = [row.uniforms[len(row.token_ids)] if row else 0.0 for row in batch.rows]
        ids_B, logprobs_B = choose(batch.logits, self._tensor(uniforms, torch.float64), *batch.choosing)
        return ids_B.tolist(), logprobs_B.tolist()

    def _choosing(self, rows: Sequence[Row | None]) -> Choosing:
        samplings = [row.request.sampling if row else None for row in rows]
        top_k = [sampling.top_k if sampling else 0 for sampling in samplings]
        top_p = [sampling.top_p if sampling else 1.0 for sampling in samplings]
        return Choosing(
            self._tensor([sampling.temperature if sampling else 1.0 for sampling in samplings], torch.float32),
            self._tensor(top_k, torch.long) if any(top_k) else None,
            self._tensor(top_p, torch.float64) if min(top_p) < 1.0 else None,
        )

    def _newest(self, batch: Batch) -> Tensor:
        """Return the newest token of each row, (B,)."""
        return self._tensor([row.newest if row else 0 for row in batch.rows], torch.long)

    def _tensor(self, values: Sequence[float], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=self.device)


class SlotDecoder(Decoder):
    """Decodes by a lean model; rows leave before the next pass, and others take their slots."""

    admit_frac = 1 / 8

    def __init__(self, model: PreTrainedModel, lean: LeanModel) -> None:
        super().__init__(model)
        self._lean = lean

    def ready(self) -> None:
        """Pack the weights."""
        self._lean.pack()

    def release(self) -> None:
        """Unpack the weights."""
        self._lean.unpack()

    @torch.inference_mode()
    def join(self, batch: Batch | None, read: Read) -> Batch:
        """Give the rows slots."""
        slots, rows, logits_BV = (
            (Slots(), [], read.logits[:0]) if batch is None else (batch.cache, batch.rows, batch.logits)
        )
        assert isinstance(slots, Slots)
        order = slots.add(read.cache, read.sources, [len(row.context) for row in read.rows])
        both_BV = torch.cat([logits_BV, read.logits[self._tensor(read.sources, torch.long)]])
        joined = Batch([*rows, *read.rows], slots, both_BV[self._tensor(order, torch.long)])
        joined.reorder(order)
        return joined

    @torch.inference_mode()
    def forward(self, batch: Batch) -> Batch | None:
        """Read the newest token of every row that has not ended."""
        slots = batch.cache
        assert isinstance(slots, Slots)
        live = [place for place, row in enumerate(batch.rows) if row is not None]
        if not live:
            return None
        if len(live) < len(batch.rows):
            batch.reorder(slots.keep(live))
        if (order := slots.settle()) is not None:
            batch.reorder(order)
        batch.logits = self._lean(self._newest(batch), slots)
        return batch


class PaddedDecoder(Decoder):
    """Decodes by the model itself, over rows that are padded to the longest."""

    admit_frac = 1 / 2

    @torch.inference_mode()
    def join(self, batch: Batch | None, read: Read) -> Batch:
        """Append the rows to those of the batch."""
        sources_B = self._tensor(read.sources, torch.long)
        read.cache.select(sources_B)
        fresh = Batch(list(read.rows), read.cache, read.logits[sources_B])
        if batch is None:
            return fresh
        cache = self._drop_ended(batch)
        cache.join(read.cache)
        return Batch(batch.rows + fresh.rows, cache, torch.cat([batch.logits, fresh.logits]))

    @torch.inference_mode()
    def forward(self, batch: Batch) -> Batch | None:
        """Read the newest tokens, including those of ended rows while they are few."""
        n_live, cache = batch.n_live, batch.cache
        if n_live == 0:
            return None
        if len(batch.rows) - n_live >= IDLE_FRAC * len(batch.rows):
            self._drop_ended(batch)
        assert isinstance(cache, RowCache)
        cache.attention = pad(cache.attention, (0, 1), value=1)
        output = self.model(
            input_ids=self._newest(batch)[:, None],
            attention_mask=cache.attention,
            position_ids=cache.attention.sum(1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        )
        batch.logits = output.logits[:, -1]
        return batch

    def _drop_ended(self, batch: Batch) -> RowCache:
        """Move the live rows up, and drop the columns that are padding to all of them."""
        cache = batch.cache
        assert isinstance(cache, RowCache)
        kept = [place for place, row in enumerate(batch.rows) if row is not None]
        kept_B = self._tensor(kept, torch.long)
        cache.select(kept_B, int(cache.attention[kept_B].argmax(1).min()))
        batch.logits = batch.logits[kept_B]
        batch.reorder(kept)
        return cache
