"""Keys and values of rows of very different lengths, for the decoder of `lean.py`.

A step of decoding reads all keys and values once, which takes most of its time when they are larger than the
processor's cache. So the prompt that the rows of a group share is kept and read once for all of them, and a row's own
tokens are in the bucket whose capacity is the next above their number, so that short rows are not padded to long ones.

    prefixes        [prompt 1, prompt 2]           rows a, c, d have the first, row b the second
    bucket of  64   [a, b, c]                      a has 12 own tokens, b 57, c 30
    bucket of 128   [d]                            d has 70
    batch order      a, b, c, d

The attention of a query over its prefix and over its own tokens is added by the weight of each. Adding, removing or
moving a row copies that row alone, and the slots in use are always the first of their bucket, so attention works on
views.

Dimension key:  N slots of a bucket, or prefixes of a pack   n those in use   H key-value heads   G query heads for each
                C columns that there is memory for   L columns in use   D size of a head   B rows of the batch
                M rows with the same prefix, at the most
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from kgym_plugins.engines.attention import added, attention
from kgym_plugins.engines.kvcache import RowCache

SMALLEST = 64
"""Capacity of the first bucket; each of the others has twice that of the one before."""
STEPS = 8
"""Number of steps in which the memory of a bucket grows to its capacity: gaps between rows make reading slow."""
LEAST_STEP = 16
"""Fewest columns of such a step."""
DEAD_FRAC = 1 / 4
"""Prefixes without rows are dropped when they are this share of a pack."""

Layers = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, (N, H, C, D)."""


def capacity(tokens: int) -> int:
    """Return the capacity of the bucket for `tokens`.

    >>> capacity(0), capacity(64), capacity(65), capacity(300)
    (64, 64, 128, 512)
    """
    found = SMALLEST
    while found < tokens:
        found *= 2
    return found


def resized(layers: Layers, slots: int, columns: int) -> None:
    """Copy to more slots or columns, which are zeros; layer by layer, so that there is never a second copy of
    everything.
    """
    for number, pair in enumerate(layers):
        grown = []
        for old in pair:
            N, H, C, D = old.shape
            new = old.new_zeros((slots, H, columns, D))
            new[:N, :, :C] = old
            grown.append(new)
        layers[number] = (grown[0], grown[1])


def mask_of(lengths: Sequence[int], like: Tensor) -> Tensor | None:
    """Return the mask that hides the columns beyond these lengths, (n, 1, 1, L); None if there are none."""
    longest = max(lengths)
    if min(lengths) == longest:
        return None
    columns = torch.arange(-(-longest // 16) * 16, device=like.device)  # kernels need aligned rows
    beyond = columns >= torch.tensor(lengths, device=like.device)[:, None]
    mask = like.new_zeros(beyond.shape).masked_fill_(beyond, -torch.inf)
    return mask[:, None, None, :longest]


@dataclass(eq=False)
class Prefix:
    """Tokens that several rows share."""

    length: int
    n_rows: int = 0


@dataclass(eq=False)
class Held:
    """A row."""

    prefix: Prefix
    place: int
    """Place in the batch."""
    length: int = 0
    """Number of the row's own tokens that were read."""


class Bucket:
    """Tokens of the rows' own, in slots of one capacity."""

    def __init__(self, size: int, like: Layers) -> None:
        self.size = size
        self.rows: list[Held] = []
        """The row of each slot in use."""
        self.layers: Layers = [(keys[:0, :, :0], values[:0, :, :0]) for keys, values in like]
        self._write: Tensor | None = None
        """(n * H,) where the newest token goes, counted over slots, heads and columns; None if rows were added, removed
        or moved.
        """
        self._mask: Tensor | None = None
        self._longest = 0
        """L: the most tokens of a row, with the newest."""

    def put(self, rows: Sequence[Held], layers: Layers | None = None) -> None:
        """Append rows, with the keys and values of their tokens, if they have any."""
        first, n = len(self.rows), len(rows)
        longest = max(row.length for row in rows)
        self.rows += rows
        self._write = None
        self._reserve(longest)
        for number, pair in enumerate(self.layers):
            for which, states in enumerate(pair):
                if layers is not None:
                    states[first : first + n, :, :longest] = layers[number][which][:, :, :longest]
                states[first : first + n, :, longest:] = 0.0  # these are masked, and must be finite

    def _reserve(self, columns: int) -> None:
        """Allocate memory for all rows and `columns`."""
        N, _, C, _ = self.layers[0][0].shape
        if len(self.rows) <= N and columns <= C:
            return
        step = max(LEAST_STEP, self.size // STEPS)
        slots = max(len(self.rows), N + N // 2) if len(self.rows) > N else N
        resized(self.layers, slots, max(C, min(self.size, -(-columns // step) * step)))
        self._write = None

    def take(self, slots: Sequence[int]) -> Layers:
        """Return these rows; they are copied unless they are all rows."""
        which = slice(len(slots)) if len(slots) == len(self.rows) else list(slots)
        return [(keys[which], values[which]) for keys, values in self.layers]

    def keep(self, slots: Sequence[int]) -> None:
        """Drop all rows but these; the last ones move into the gaps."""
        n = len(slots)
        kept = set(slots)
        gaps = [slot for slot in range(n) if slot not in kept]
        movers = [slot for slot in slots if slot >= n]
        if movers:
            for states in (states for pair in self.layers for states in pair):
                states[gaps] = states[movers]
        for gap, mover in zip(gaps, movers, strict=True):
            self.rows[gap] = self.rows[mover]
        del self.rows[n:]
        self._write = None

    def open_column(self) -> None:
        """Make room for the next token of every row."""
        for row in self.rows:
            row.length += 1
        lengths = [row.length for row in self.rows]
        self._longest = max(lengths)
        self._reserve(self._longest)
        keys = self.layers[0][0]
        n, H, C = len(lengths), *keys.shape[1:3]
        if self._write is not None:
            self._write += 1
        else:
            starts = torch.arange(n * H).view(n, H) * C
            self._write = (starts + torch.tensor(lengths)[:, None] - 1).flatten().to(keys.device)
        self._mask = mask_of(lengths, keys)

    def attend(
        self, layer: int, query_nHGD: Tensor, key_nHD: Tensor, value_nHD: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Store the newest keys and values; return the attention of the queries over all of them."""
        n, H, _, D = query_nHGD.shape
        assert self._write is not None
        keys, values = self.layers[layer]
        keys.view(-1, D).index_copy_(0, self._write, key_nHD.reshape(n * H, D))
        values.view(-1, D).index_copy_(0, self._write, value_nHD.reshape(n * H, D))
        return attention(query_nHGD, keys[:n, :, : self._longest], values[:n, :, : self._longest], self._mask, scale)


class Rows(NamedTuple):
    """The rows of each prefix of a pack."""

    places: Tensor | None
    """Their places in the batch; None if they are all rows."""
    gather: Tensor
    """(N, M) places in the batch; arbitrary ones where a prefix has fewer rows."""
    scatter: Tensor
    """The place of each row in `gather`."""
    in_order: bool
    """Whether `gather` and `scatter` change nothing: each prefix has M rows, in the order of the batch."""


class Pack:
    """Prefixes of similar length."""

    def __init__(self, like: Layers) -> None:
        self.prefixes: list[Prefix] = []
        self.layers: Layers = [(keys[:0, :, :0], values[:0, :, :0]) for keys, values in like]
        self._mask: Tensor | None = None
        self._rows: Rows

    def add(self, prefixes: Sequence[Prefix], layers: Sequence[Layers]) -> None:
        """Add prefixes, with the keys and values of each, (1, H, length, D)."""
        first = len(self.prefixes)
        self.prefixes += prefixes
        longest = max(prefix.length for prefix in self.prefixes)
        resized(self.layers, len(self.prefixes), longest)
        for slot, (prefix, of) in enumerate(zip(prefixes, layers, strict=True), first):
            for pair, new in zip(self.layers, of, strict=True):
                for states, other in zip(pair, new, strict=True):
                    states[slot, :, : prefix.length] = other[0]

    def arrange(self, rows: Sequence[Held]) -> None:
        """Note the places of the rows in the batch; drop prefixes without rows if they are many."""
        live = [slot for slot, prefix in enumerate(self.prefixes) if prefix.n_rows]
        if len(self.prefixes) - len(live) > DEAD_FRAC * len(self.prefixes):
            self.prefixes = [self.prefixes[slot] for slot in live]
            longest = max(prefix.length for prefix in self.prefixes)
            self.layers = [(keys[live, :, :longest], values[live, :, :longest]) for keys, values in self.layers]
        keys = self.layers[0][0]
        self._mask = mask_of([prefix.length for prefix in self.prefixes], keys)
        slots = {prefix: slot for slot, prefix in enumerate(self.prefixes)}
        members: list[list[int]] = [[] for _ in self.prefixes]
        mine = [row for row in rows if row.prefix in slots]
        for row in mine:
            members[slots[row.prefix]].append(row.place)
        most = max(map(len, members))
        within = {
            place: (slot * most + number) for slot, places in enumerate(members) for number, place in enumerate(places)
        }
        gather = torch.tensor([places + [0] * (most - len(places)) for places in members], device=keys.device)
        places = None if len(mine) == len(rows) else torch.tensor([row.place for row in mine], device=keys.device)
        scatter = [within[row.place] for row in mine]
        in_order = scatter == [row.place for row in rows] == list(range(most * len(members)))
        self._rows = Rows(places, gather, torch.tensor(scatter, device=keys.device), in_order)

    def attend(self, layer: int, query_BHGD: Tensor, scale: float) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return the places of the rows that have these prefixes, and the attention of their queries over them."""
        _, H, G, D = query_BHGD.shape
        places, gather, scatter, in_order = self._rows
        N, M = gather.shape
        query_NMHGD = query_BHGD.view(N, M, H, G, D) if in_order else query_BHGD[gather]
        found, weight = attention(
            query_NMHGD.transpose(1, 2).reshape(N, H, M * G, D), *self.layers[layer], self._mask, scale
        )
        found = found.view(N, H, M, G, D).transpose(1, 2).reshape(N * M, H, G, D)
        weight = weight.reshape(N, H, M, G).transpose(1, 2).reshape(N * M, H, G)
        return (places, found, weight) if in_order else (places, found[scatter], weight[scatter])


class Slots:
    """The packs and buckets. The places of rows in the batch change with `add`, `keep` and `settle`, which return the
    new order of the old places.
    """

    def __init__(self) -> None:
        self.buckets: dict[int, Bucket] = {}
        self.packs: dict[int, Pack] = {}
        self._positions: Tensor | None = None
        """(B,) positions of the newest tokens; None if rows were added, removed or moved."""

    @property
    def rows(self) -> list[Held]:
        """All rows, in the order of the batch."""
        return [row for size in sorted(self.buckets) for row in self.buckets[size].rows]

    @property
    def longest(self) -> int:
        """The most tokens of a row."""
        return max(row.prefix.length + row.length for row in self.rows)

    def add(self, read: RowCache, sources: Sequence[int], lengths: Sequence[int]) -> list[int]:
        """Add rows that were read: each has the newest `length` columns of a row of `read`, its source."""
        like = [(layer.keys, layer.values) for layer in read.layers]
        prefixes = {source: Prefix(length) for source, length in zip(sources, lengths, strict=True)}
        by_size: dict[int, list[int]] = {}
        for source, prefix in prefixes.items():
            by_size.setdefault(capacity(prefix.length), []).append(source)
        for size, found in by_size.items():
            layers = [
                [(keys[source : source + 1, :, -n:], values[source : source + 1, :, -n:]) for keys, values in like]
                for source, n in ((source, prefixes[source].length) for source in found)
            ]
            self.packs.setdefault(size, Pack(like)).add([prefixes[source] for source in found], layers)
        first = len(self.rows)
        rows = [Held(prefixes[source], first + number) for number, source in enumerate(sources)]
        for row in rows:
            row.prefix.n_rows += 1
        self.buckets.setdefault(SMALLEST, Bucket(SMALLEST, like)).put(rows)
        return self._order()

    def keep(self, places: Sequence[int]) -> list[int]:
        """Drop all rows but these."""
        kept = set(places)
        for row in self.rows:
            row.prefix.n_rows -= row.place not in kept
        for bucket in self.buckets.values():
            slots = [slot for slot, row in enumerate(bucket.rows) if row.place in kept]
            if len(slots) < len(bucket.rows):
                bucket.keep(slots)
        return self._order()

    def settle(self) -> list[int] | None:
        """Move rows that have filled their bucket to the next; return the new order if there are any."""
        moved = False
        for bucket in [self.buckets[size] for size in sorted(self.buckets, reverse=True)]:
            full = [slot for slot, row in enumerate(bucket.rows) if row.length == bucket.size]
            if full:
                moved = True
                target = self.buckets.setdefault(2 * bucket.size, Bucket(2 * bucket.size, bucket.layers))
                target.put([bucket.rows[slot] for slot in full], bucket.take(full))
                bucket.keep([slot for slot, row in enumerate(bucket.rows) if row.length < bucket.size])
        return self._order() if moved else None

    def _order(self) -> list[int]:
        """Renumber the rows; return their old places. Buckets and packs without rows are dropped."""
        self._positions = None
        self.buckets = {size: bucket for size, bucket in self.buckets.items() if bucket.rows}
        self.packs = {size: pack for size, pack in self.packs.items() if any(prefix.n_rows for prefix in pack.prefixes)}
        rows = self.rows
        order = [row.place for row in rows]
        for place, row in enumerate(rows):
            row.place = place
        for pack in self.packs.values():
            pack.arrange(rows)
        return order

    def open_column(self) -> Tensor:
        """Make room for the next token of every row; return their positions, (B,)."""
        if self._positions is None:
            rows = self.rows
            device = next(iter(self.buckets.values())).layers[0][0].device
            self._positions = torch.tensor([row.prefix.length + row.length for row in rows], device=device)
        else:
            self._positions += 1
        for bucket in self.buckets.values():
            bucket.open_column()
        return self._positions

    def attend(self, layer: int, query_BHGD: Tensor, key_BHD: Tensor, value_BHD: Tensor, scale: float) -> Tensor:
        """Store the newest keys and values; return the attention of the queries over all tokens that their rows have
        read, (B, H, G, D).
        """
        parts, start = [], 0
        for size in sorted(self.buckets):
            bucket = self.buckets[size]
            here = slice(start, start + len(bucket.rows))
            parts.append(bucket.attend(layer, query_BHGD[here], key_BHD[here], value_BHD[here], scale))
            start = here.stop
        own = (
            parts[0]
            if len(parts) == 1
            else (torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]))
        )
        for pack in self.packs.values():
            places, *found = pack.attend(layer, query_BHGD, scale)
            if places is None:
                return added((found[0], found[1]), own)
            own[0][places] = added((found[0], found[1]), (own[0][places], own[1][places]))
        return own[0]

    def taken(self, place: int, n_columns: int) -> list[tuple[Tensor, Tensor]]:
        """Copy the newest columns of a row, of each layer."""
        row = self.rows[place]
        bucket = next(bucket for bucket in self.buckets.values() if row in bucket.rows)
        pack = next(pack for pack in self.packs.values() if row.prefix in pack.prefixes)
        slot, prefix = bucket.rows.index(row), pack.prefixes.index(row.prefix)

        def columns(shared: Tensor, own: Tensor) -> Tensor:
            whole = torch.cat([shared[prefix, :, : row.prefix.length], own[slot, :, : row.length]], dim=1)
            return whole[None, :, -n_columns:]

        layers = zip(pack.layers, bucket.layers, strict=True)
        return [(columns(shared[0], own[0]), columns(shared[1], own[1])) for shared, own in layers]
