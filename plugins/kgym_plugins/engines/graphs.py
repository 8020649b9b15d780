"""Decoding by CUDA graphs: a step is recorded once for each rounded number of slots and columns, and replayed later.

    forward    moves rows that have outgrown their arena -> for each arena: asked -> replay -> answered

Rows of very different lengths are in different arenas, so that a step reads fewer columns for the short ones. Each
arena has its own step.

The weights are read where they are: new weights that are copied over them need no new graph. After the weights or the
keys and values have moved to other addresses, the graphs are recorded again.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from kgym_plugins.engines.arena import (
    LEAST_COLUMNS,
    LEAST_SLOTS,
    POSITION,
    TEMPERATURE,
    TOKEN,
    TOP_K,
    TOP_P,
    UNIFORM,
    Arena,
    Seat,
    rounded,
)
from kgym_plugins.engines.decoding import Batch, Decoder, Read, Row
from kgym_plugins.engines.kvcache import RowCache
from kgym_plugins.engines.lean import LeanModel

log = logging.getLogger(__name__)

SMALLEST = 512
"""Most tokens of a row of the first arena."""
RATIO = 4
"""Factor between the most tokens of an arena's rows and those of the next arena."""
MOST_GRAPHS = 64
"""Most graphs that are kept; the least recently used one is dropped."""
KEPT_BYTES = 1 << 28
"""Most bytes of keys and values that are kept, with their graphs, while new weights are loaded; larger ones are freed
for the trainer.
"""

Key = tuple[Arena, int, int, bool]
"""Arena, slots, columns, and whether a row has a top-k or top-p."""


def arena_size(tokens: int) -> int:
    """Return the most tokens of a row in the arena for a row of `tokens`.

    >>> arena_size(1), arena_size(512), arena_size(513), arena_size(9000)
    (512, 512, 2048, 32768)
    """
    found = SMALLEST
    while found < tokens:
        found *= RATIO
    return found


class Recorder:
    """The graphs. Without a CUDA device, or where no graph can be recorded, each operation is launched by itself."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._works = device.type == "cuda"
        self._graphs: OrderedDict[Key, Any] = OrderedDict()
        self._pool: Any = None
        """Memory that the graphs share: only one is replayed at a time, and its results are copied out."""
        self._aside: Any = None
        """The stream of all recordings: each stream has its own memory, that of cuBLAS included."""

    def __len__(self) -> int:
        return len(self._graphs)

    def run(self, key: Key, step: Callable[[], None]) -> None:
        """Run a step, by its graph if there is one."""
        if not self._works:
            step()
        elif (graph := self._graphs.get(key)) is not None:
            self._graphs.move_to_end(key)
            graph.replay()
        elif (graph := self._recorded(step)) is not None:
            while len(self._graphs) >= MOST_GRAPHS:
                self._graphs.popitem(last=False)
            self._graphs[key] = graph

    def wait(self) -> None:
        """Wait until the device has done its work."""
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()

    def forget(self, arena: Arena | None = None) -> None:
        """Drop the graphs of an arena, or all."""
        for key in [key for key in self._graphs if arena is None or key[0] is arena]:
            del self._graphs[key]

    def _recorded(self, step: Callable[[], None]) -> torch.cuda.CUDAGraph | None:
        """Run a step on another stream, as the documentation of CUDA graphs shows, and then record it; return None if
        that fails.
        """
        if not self._graphs:
            self._pool = torch.cuda.graph_pool_handle()  # torch refuses a pool whose graphs have all been dropped
        with torch.cuda.device(self._device):
            here, aside = torch.cuda.current_stream(), self._aside or torch.cuda.Stream()
            self._aside = aside
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                step()
            here.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            recording = torch.cuda.graph(graph, pool=self._pool, stream=aside, capture_error_mode="thread_local")
            try:
                with torch.cuda.stream(here), recording:  # a failed recording does not restore the stream
                    step()
            except Exception as error:  # of several types, including warnings raised as errors
                why = str(error).strip().split("\n")[0]
                log.warning("no CUDA graph can be recorded, so decoding is slower: %s", why)
                self._works = False
                self.forget()
                return None
        return graph


class Seats:
    """The rows of a batch: the seat of each, in the order of the batch."""

    def __init__(self, lean: LeanModel, recorder: Recorder) -> None:
        self.seats: list[Seat] = []
        self.arenas: dict[int, Arena] = {}
        """Arenas by the most tokens of their rows."""
        self._lean = lean
        self._recorder = recorder
        self._groups: list[tuple[Arena, list[int], np.ndarray]] | None = None
        """Arenas with rows, their places in the batch, and their slots; None if rows were added, removed or moved."""

    def add(self, read: RowCache, sources: Sequence[int], lengths: Sequence[int]) -> None:
        """Add rows that were read: each has the newest `length` columns of a row of `read`, its source."""
        like = [(layer.keys, layer.values) for layer in read.layers]
        first = len(self.seats)
        self.seats += [Seat(self._arena(length + 1, like), -1) for length in lengths]
        for arena in self.arenas.values():
            mine = [place for place, seat in enumerate(self.seats[first:]) if seat.arena is arena]
            if mine:
                of = [lengths[place] for place in mine]
                seats = self._take(arena, len(mine), max(of) + 1)
                arena.fill(seats, like, [sources[place] for place in mine], of)
                for place, seat in zip(mine, seats, strict=True):
                    self.seats[first + place] = seat

    def _arena(self, tokens: int, like: Any) -> Arena:
        """Return the arena for a row of `tokens`."""
        size = arena_size(tokens)
        if size not in self.arenas:
            self.arenas[size] = Arena(size, like, self._lean)
        return self.arenas[size]

    def _take(self, arena: Arena, n: int, columns: int) -> list[Seat]:
        seats, moved = arena.take(n, columns)
        if moved:
            self._recorder.forget(arena)
        self._groups = None
        return seats

    def keep(self, places: Sequence[int]) -> None:
        """Drop all rows but these."""
        kept = [self.seats[place] for place in places]
        for seat in set(self.seats) - set(kept):
            seat.arena.free(seat)
        self.seats, self._groups = kept, None

    def _grow(self, lengths: Sequence[int]) -> None:
        """Move rows that have outgrown their arena to another; `lengths` are those with the newest token."""
        movers: dict[tuple[Arena, Arena], list[int]] = {}
        for place, (seat, length) in enumerate(zip(self.seats, lengths, strict=True)):
            if length > seat.arena.size:
                movers.setdefault((seat.arena, self._arena(length, seat.arena.layers)), []).append(place)
        for (source, target), places in movers.items():
            seats = self._take(target, len(places), max(lengths[place] for place in places))
            old = [self.seats[place] for place in places]
            target.fill(seats, source.layers, [seat.slot for seat in old], [source.layers[0][0].shape[2]] * len(places))
            for place, seat in zip(places, seats, strict=True):
                source.free(self.seats[place])
                self.seats[place] = seat

    def step(self, rows: Sequence[Row]) -> tuple[list[int], list[float]]:
        """Read the newest token of each row and choose the next; return them with their log-probabilities."""
        lengths = [len(row.context) + len(row.token_ids) for row in rows]
        self._grow(lengths)
        for arena in self.arenas.values():
            if any(arena.seats) and arena.compact():
                self._groups = None
        groups = self._groups = self._groups or self._grouped()
        answers = [
            self._ask(arena, [rows[place] for place in places], [lengths[place] for place in places], slots)
            for arena, places, slots in groups
        ]
        self._recorder.wait()
        tokens, logprobs = [0] * len(rows), [0.0] * len(rows)
        for (_, places, slots), answered in zip(groups, answers, strict=True):
            of_tokens, of_logprobs = answered[:, slots].tolist()
            for place, token, logprob in zip(places, of_tokens, of_logprobs, strict=True):
                tokens[place], logprobs[place] = int(token), logprob
        return tokens, logprobs

    def _grouped(self) -> list[tuple[Arena, list[int], np.ndarray]]:
        found = []
        for arena in self.arenas.values():
            places = [place for place, seat in enumerate(self.seats) if seat.arena is arena]
            if places:
                found.append((arena, places, np.array([self.seats[place].slot for place in places])))
        return found

    def _ask(self, arena: Arena, rows: Sequence[Row], lengths: Sequence[int], slots: np.ndarray) -> np.ndarray:
        """Begin the step of an arena; return the array that will hold its results."""
        n, c = rounded(int(slots.max()) + 1, LEAST_SLOTS), min(arena.size, rounded(max(lengths), LEAST_COLUMNS))
        if arena.reserve(n, c):
            self._recorder.forget(arena)
        asked = arena.host_asked
        for row, slot in zip(rows, slots, strict=True):
            seat = arena.seats[slot]
            if seat is not None and seat.row is not row:
                sampling, seat.row = row.request.sampling, row
                asked[TEMPERATURE, slot], asked[TOP_K, slot], asked[TOP_P, slot] = (
                    sampling.temperature,
                    sampling.top_k,
                    sampling.top_p,
                )
        asked[TOKEN, slots] = [row.newest for row in rows]
        asked[POSITION, slots] = [length - 1 for length in lengths]
        asked[UNIFORM, slots] = [row.uniforms[len(row.token_ids)] for row in rows]
        cut = bool((asked[TOP_K] > 0).any() or (asked[TOP_P] < 1.0).any())
        arena.send()
        self._recorder.run((arena, n, c, cut), lambda: arena.step(n, c, cut=cut))
        return arena.fetch()

    def taken(self, place: int, n_columns: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Copy the first columns of a row, of each layer."""
        seat = self.seats[place]
        which = slice(seat.slot, seat.slot + 1)
        return [
            (keys[which, :, :n_columns].clone(), values[which, :, :n_columns].clone())
            for keys, values in seat.arena.layers
        ]

    def clear(self) -> None:
        """Drop all rows."""
        self.seats, self._groups = [], None
        for arena in self.arenas.values():
            arena.clear()


class GraphDecoder(Decoder):
    """Decodes by a lean model, in steps of fixed shapes."""

    admit_frac = 1 / 8

    def __init__(self, model: PreTrainedModel, lean: LeanModel) -> None:
        super().__init__(model)
        self._lean = lean
        self._recorder = Recorder(model.device)
        self._seats = Seats(lean, self._recorder)

    def ready(self) -> None:
        """Pack the weights."""
        self._lean.pack()

    def release(self) -> None:
        """Unpack the weights, and free large keys and values; small ones keep their memory and graphs."""
        self._lean.unpack()
        if sum(arena.n_bytes for arena in self._seats.arenas.values()) > KEPT_BYTES:
            self.vacate()

    def vacate(self) -> None:
        """Free everything: the weights move."""
        self._lean.unpack()
        self._recorder.forget()
        self._seats = Seats(self._lean, self._recorder)

    @torch.inference_mode()
    def clear(self) -> None:
        """Drop all rows."""
        self._seats.clear()

    @torch.inference_mode()
    def join(self, batch: Batch | None, read: Read) -> Batch:
        """Give the rows seats, and choose their first tokens."""
        seats = self._seats
        seats.add(read.cache, read.sources, [len(row.context) for row in read.rows])
        logits_BV = read.logits[self._tensor(read.sources, torch.long)]
        tokens, logprobs = super().sample(Batch(list(read.rows), seats, logits_BV))
        before, chosen = ([], None) if batch is None else (batch.rows, batch.chosen)
        if chosen is not None:
            tokens, logprobs = chosen[0] + tokens, chosen[1] + logprobs
        return Batch([*before, *read.rows], seats, logits_BV.new_empty(0), chosen=(tokens, logprobs))

    @torch.inference_mode()
    def forward(self, batch: Batch) -> Batch | None:
        """Read the newest token of every row that has not ended, and choose the next."""
        seats = self._seats
        live = [place for place, row in enumerate(batch.rows) if row is not None]
        if len(live) < len(batch.rows):
            seats.keep(live)
            batch.reorder(live)
        if not live:
            return None
        batch.chosen = seats.step([row for row in batch.rows if row is not None])
        return batch

    def sample(self, batch: Batch) -> tuple[list[int], list[float]]:
        """Return what the newest step has chosen."""
        assert batch.chosen is not None
        return batch.chosen
