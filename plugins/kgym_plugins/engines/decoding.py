"""Rows that are sampled together, and the forward passes over them.

    prefill, or continued -> join -> [choose a token for each row -> forward] -> ...

A row that has ended stays where it is until the next forward pass. An answer that is continued by then takes its row
again, in place: the passes are those of the uncut answer, to the bit. After that its keys and values are taken out of
the batch; see `parked.py`.

Dimension key:  B rows of the batch   L columns, padding on the left   V vocabulary
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from kgym.repetition import RepetitionDetector
from kgym.types import GenerateRequest
from kgym_plugins.engines.kvcache import RowCache
from kgym_plugins.engines.parked import Parked
from kgym_plugins.engines.sampling import choose

IDLE_FRAC = 1 / 8
"""Finished rows leave the batch when they are this share of it: dropping a row copies the cache of the others."""


@dataclass(eq=False)
class Row:
    """One request on its way."""

    request: GenerateRequest
    prompt_ids: tuple[int, ...]
    context: tuple[int, ...]
    """What the model has to read before the first token: the prompt and the earlier segments."""
    uniforms: np.ndarray
    """One for each token that may come: the answer's budget, or what the context leaves of it."""
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
        """The tokens that the model has read: all but the newest."""
        return (*self.context, *self.token_ids)[:-1]

    def continues(self, other: "Row") -> bool:
        """Whether this is the same answer as `other`, from where that ended."""
        return (
            self.request.seed == other.request.seed
            and len(self.context) == len(other.context) + len(other.token_ids)
            and self.prompt_ids == other.prompt_ids
            and self.context == (*other.context, *other.token_ids)
        )


@dataclass
class Batch:
    """Rows that are sampled together."""

    rows: list[Row | None]
    """None once a row has ended, until the others are moved up."""
    cache: RowCache
    attention: Tensor
    """(B, L) int64, 0 for padding."""
    logits: Tensor
    """(B, V), of the token to choose next."""
    left: dict[int, Row] = field(default_factory=dict)
    """Rows that ended since the last forward pass and may be continued, by their place."""

    @property
    def n_live(self) -> int:
        """Rows that have not ended."""
        return sum(row is not None for row in self.rows)

    def end(self, place: int, *, may_continue: bool) -> None:
        """End a row."""
        row = self.rows[place]
        assert row is not None
        if may_continue:
            self.left[place] = row
        self.rows[place] = None

    def resume(self, row: Row) -> bool:
        """Give a row the place of the one that it continues; False if there is none."""
        place = next((place for place, other in self.left.items() if row.continues(other)), None)
        if place is None:
            return False
        del self.left[place]
        self.rows[place] = row
        return True

    def take_left(self) -> list[Parked]:
        """Copy the keys and values of the rows that have ended."""
        left, self.left = self.left, {}
        return [Parked(row.prompt_ids, row.request.seed, row.read, self.cache.taken(place, len(row.read))) for place, row in left.items()]


class Decoder:
    """Makes and advances batches of one model."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @torch.inference_mode()
    def prefill(self, rows: list[Row]) -> Batch:
        """Read each different context once, then give every row a copy of its keys and values."""
        contexts: dict[tuple[int, ...], int] = {}
        for row in rows:
            contexts.setdefault(row.context, len(contexts))
        length = max(map(len, contexts))
        input_ids_BL = torch.zeros((len(contexts), length), dtype=torch.long)
        attention_BL = torch.zeros_like(input_ids_BL)
        for context, number in contexts.items():
            input_ids_BL[number, length - len(context) :] = torch.tensor(context)
            attention_BL[number, length - len(context) :] = 1
        cache, attention_BL = RowCache(), attention_BL.to(self.device)
        logits_BV = self._read(input_ids_BL, attention_BL, cache)
        order_B = torch.tensor([contexts[row.context] for row in rows], device=self.device)
        cache.select(order_B)
        return Batch(list(rows), cache, attention_BL[order_B], logits_BV[order_B])

    @torch.inference_mode()
    def continued(self, rows: Sequence[tuple[Row, Parked]]) -> Batch:
        """Read what came after the parked tokens; of all rows it is the same number of tokens.

        Their columns come after the parked ones without padding between: a sliding window counts columns.
        """
        n_new = len(rows[0][0].context) - len(rows[0][1].read)
        cache = RowCache.of([parked.states for _, parked in rows])
        columns = max(len(row.context) for row, _ in rows)
        attention_BL = torch.zeros((len(rows), columns), dtype=torch.long)
        for number, (row, _) in enumerate(rows):
            attention_BL[number, columns - len(row.context) :] = 1
        attention_BL = attention_BL.to(self.device)
        logits_BV = self._read(torch.tensor([row.context[-n_new:] for row, _ in rows]), attention_BL, cache)
        return Batch([row for row, _ in rows], cache, attention_BL, logits_BV)

    def _read(self, input_ids_BL: Tensor, attention_BL: Tensor, cache: RowCache) -> Tensor:
        """Read the newest columns and return the logits of the next token, (B, V)."""
        output = self.model(
            input_ids=input_ids_BL.to(self.device),
            attention_mask=attention_BL,
            position_ids=(attention_BL.cumsum(1) - 1).clamp(min=0)[:, -input_ids_BL.shape[1] :],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_BV: Tensor = output.logits[:, -1]
        return logits_BV

    @torch.inference_mode()
    def join(self, batch: Batch | None, fresh: Batch) -> Batch:
        """Put the rows of `fresh` below those of `batch`."""
        if batch is None:
            return fresh
        self._drop_ended(batch)
        batch.cache.join(fresh.cache)
        columns = max(batch.attention.shape[1], fresh.attention.shape[1])
        attention_BL = torch.cat([pad(mask, (columns - mask.shape[1], 0)) for mask in (batch.attention, fresh.attention)])
        return Batch(batch.rows + fresh.rows, batch.cache, attention_BL, torch.cat([batch.logits, fresh.logits]))

    @torch.inference_mode()
    def sample(self, batch: Batch) -> tuple[list[int], list[float]]:
        """Choose a token for every row; return them with their log-probabilities."""
        samplings = [row.request.sampling if row else None for row in batch.rows]
        top_k = [sampling.top_k if sampling else 0 for sampling in samplings]
        top_p = [sampling.top_p if sampling else 1.0 for sampling in samplings]
        ids_B, logprobs_B = choose(
            batch.logits,
            self._tensor([row.uniforms[len(row.token_ids)] if row else 0.0 for row in batch.rows], torch.float64),
            self._tensor([sampling.temperature if sampling else 1.0 for sampling in samplings], torch.float32),
            self._tensor(top_k, torch.long) if any(top_k) else None,
            self._tensor(top_p, torch.float64) if min(top_p) < 1.0 else None,
        )
        return ids_B.tolist(), logprobs_B.tolist()

    @torch.inference_mode()
    def forward(self, batch: Batch) -> Batch | None:
        """Read the newest tokens; None if no row is left to go on."""
        n_live = batch.n_live
        if n_live == 0:
            return None
        if len(batch.rows) - n_live >= IDLE_FRAC * len(batch.rows):
            self._drop_ended(batch)
        batch.attention = pad(batch.attention, (0, 1), value=1)
        output = self.model(
            input_ids=self._tensor([row.newest if row else 0 for row in batch.rows], torch.long)[:, None],
            attention_mask=batch.attention,
            position_ids=batch.attention.sum(1, keepdim=True) - 1,
            past_key_values=batch.cache,
            use_cache=True,
        )
        batch.logits = output.logits[:, -1]
        return batch

    def _drop_ended(self, batch: Batch) -> None:
        """Move the live rows up, and drop the columns that are padding to all of them."""
        kept = [i for i, row in enumerate(batch.rows) if row is not None]
        kept_B = self._tensor(kept, torch.long)
        first_column = int(batch.attention[kept_B].argmax(1).min())
        batch.cache.select(kept_B, first_column)
        batch.rows = [batch.rows[i] for i in kept]
        batch.attention = batch.attention[kept_B, first_column:]
        batch.logits = batch.logits[kept_B]

    def _tensor(self, values: Sequence[float], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=self.device)
