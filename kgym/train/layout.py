"""From a packed batch to what a model computes: which tokens, in which rows, and how they are cut into micro-batches.

    padded      one row an episode, padded on the right to the longest
    packed      each distinct token once: what the episodes of a group share, such as their prompt, is computed for one
                of them, and nothing is padded. Every layer that works token by token sees one long row; attention
                alone forms rows (`Rows`)

    group of two:    prompt  a b c          tokens    p p p a b c d e        (N = 8 instead of 11, or 12 with padding)
                     prompt  d e            rows      p p p a b c   and   d e, which looks back on p p p

Only tokens that are before a trained one are computed. The gradients of shared tokens add up.

Dimension key:  T tokens of the pack   E episodes   M trained tokens   N tokens that are computed
                B rows of a bucket   Q queries of a row   K keys of a row   R places of all rows   C further copies
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kgym.algorithms.batch import cut, select, token_order
from kgym.types import PackedBatch

OWN_SHARE = 0.4
"""If its own tokens are a smaller share of a row, attention has queries for these alone, with a mask; otherwise the
whole row is causal.
"""
WASTE, WASTED_PLACES = 0.25, 1 << 15
"""Pairs of query and key that a bucket may waste: this share of the useful ones, plus this number, which costs as much
as a kernel.
"""
MASK_ELEMENTS = 1 << 26
"""Most elements of the mask of a bucket."""


class Micro(NamedTuple):
    """A part of a batch that is computed at once, by one rank."""

    batch: PackedBatch
    places: Tensor
    """The place of each of its tokens in the batch that it was cut from, (its T,) int64."""
    weight: float = 1.0
    """Factor of its loss and metrics: 0 for a micro-batch of another rank, computed here because all ranks make the
    same number of passes.
    """


@dataclass(frozen=True)
class Bucket:
    """Rows of like length, over which attention runs as one batch."""

    n_rows: int
    n_queries: int
    n_keys: int
    query_positions: Tensor | None = None
    """(B, Q) int64, where a query is in its episode; None for whole rows, which are causal."""
    key_positions: Tensor | None = None
    """(B, K) int64; larger than any query position where a row is padded."""
    _masks: dict[int | None, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def squares(self) -> int:
        """See `Arrangement`."""
        return self.n_rows * self.n_queries * self.n_keys * (1 if self.query_positions is None else 2)

    def mask(self, window: int | None) -> Tensor:
        """Return which keys each query sees, (B, 1, Q, K) bool; the rows are not whole."""
        if window not in self._masks:
            assert self.query_positions is not None
            assert self.key_positions is not None
            ago = self.query_positions[:, None, :, None] - self.key_positions[:, None, None, :]
            self._masks[window] = ago >= 0 if window is None else (ago >= 0) & (ago < window)
        return self._masks[window]


@dataclass(frozen=True)
class Spread:
    """Where the packed tokens are in rows."""

    tokens: Tensor
    """(R,) the token at each place; any token at padding, whose gradient is 0."""
    home: Tensor
    """(N,) the place at which a token is in its own row."""
    copies: Tensor
    """(C,) places in the rows of other episodes."""
    copied: Tensor
    """(C,) the token at each of them."""


@dataclass(frozen=True)
class Rows:
    """The rows that attention forms of packed tokens, bucket after bucket."""

    buckets: tuple[Bucket, ...]
    queries: Spread
    keys: Spread
    windows: dict[int, int | None] = field(default_factory=dict, compare=False, repr=False)
    """The sliding window of each layer that has attended; None without a window."""


@dataclass(frozen=True)
class Arrangement:
    """The inputs of a model, and the places to read in its output."""

    inputs: dict[str, Any]
    """Arguments of the model."""
    before: Tensor
    """(M,) place of the token before each trained one in the output, its rows end to end."""
    trained: Tensor
    """(M,) place of each trained token in the pack."""
    targets: Tensor
    """(M,) the trained tokens."""
    n_tokens: int
    """T."""
    squares: int
    """Twice the number of pairs of query and key; for a causal row, the square of its length."""

    def pick(self, output: Tensor) -> Tensor:
        """Return the output, (rows, places, ...), before each trained token, (M, ...)."""
        return _gather(output.flatten(0, 1), self.before)

    def back(self, values_M: Tensor) -> Tensor:
        """Return the values of trained tokens at their places in the pack, (T,), 0 elsewhere."""
        zeros_T = values_M.new_zeros(self.n_tokens)
        return zeros_T.index_put((self.trained,), values_M)


def arrange(batch: PackedBatch, *, packed: bool) -> Arrangement:
    """Lay a micro-batch out. Raises ValueError if it has no trained token."""
    episodes = _Episodes.of(batch)
    trained_M = batch.mask.nonzero().flatten()
    if not trained_M.numel():
        raise ValueError("the batch has no trained token")
    targets_M = batch.input_ids[trained_M]
    if not packed:
        longest = int(episodes.needed.max())
        grid = batch.input_ids.new_zeros((batch.n_episodes, longest))
        used_T = episodes.columns < episodes.needed[batch.episode_ids]
        grid[batch.episode_ids[used_T], episodes.columns[used_T]] = batch.input_ids[used_T]
        before_M = batch.episode_ids[trained_M] * longest + episodes.columns[trained_M] - 1
        return Arrangement({"input_ids": grid}, before_M, trained_M, targets_M, batch.n_tokens, grid.numel() * longest)
    shared_E = episodes.shared(batch)
    own_T = (episodes.columns >= shared_E[batch.episode_ids]) & (episodes.columns < episodes.needed[batch.episode_ids])
    place_T = own_T.cumsum(0) - 1
    at_leader_T = episodes.starts[episodes.leaders][batch.episode_ids] + episodes.columns
    place_T = torch.where(own_T, place_T, place_T[at_leader_T.clamp(max=batch.n_tokens - 1)])
    rows = _rows(episodes, shared_E, place_T, int(own_T.sum()))
    inputs = {
        "input_ids": batch.input_ids[own_T][None],
        "position_ids": episodes.columns[own_T][None],
        "attention_mask": torch.zeros(
            (1, 1, 1, 1), device=batch.input_ids.device
        ),  # of four dimensions, so that no model makes one
        "kgym_rows": rows,
    }
    squares = sum(bucket.squares for bucket in rows.buckets)
    return Arrangement(inputs, place_T[trained_M - 1], trained_M, targets_M, batch.n_tokens, squares)


@dataclass(frozen=True)
class _Episodes:
    """The starts of the episodes of a pack, and how many of their tokens are needed."""

    columns: Tensor
    """(T,) place of each token within its episode."""
    starts: Tensor
    needed: Tensor
    """(E,) tokens before the last trained one; 0 without any."""
    leaders: Tensor
    """(E,) the first episode of the group that has a trained token."""

    @classmethod
    def of(cls, batch: PackedBatch) -> "_Episodes":
        sizes_E = torch.bincount(batch.episode_ids, minlength=batch.n_episodes)
        starts_E = sizes_E.cumsum(0) - sizes_E
        columns_T = torch.arange(batch.n_tokens, device=batch.input_ids.device) - starts_E[batch.episode_ids]
        trained_T = torch.where(batch.mask, columns_T, 0)
        needed_E = torch.zeros_like(sizes_E).scatter_reduce(0, batch.episode_ids, trained_T, "amax")
        _, group_E = torch.unique(batch.group_ids, return_inverse=True)
        numbers_E = torch.arange(batch.n_episodes, device=group_E.device)
        first_G = torch.full_like(numbers_E, batch.n_episodes - 1)
        first_G = first_G.scatter_reduce(0, group_E, torch.where(needed_E > 0, numbers_E, batch.n_episodes - 1), "amin")
        return cls(columns_T, starts_E, needed_E, first_G[group_E])

    def shared(self, batch: PackedBatch) -> Tensor:
        """Return how many of its first tokens each episode shares with the leader of its group, (E,); 0 for the
        leader.
        """
        leaders_T = self.leaders[batch.episode_ids]
        other_T = self.starts[leaders_T] + self.columns
        there_T = self.columns < self.needed[leaders_T]
        same_T = there_T & (batch.input_ids == batch.input_ids[other_T.clamp(max=batch.n_tokens - 1)])
        until_E = self.needed.scatter_reduce(
            0, batch.episode_ids, torch.where(same_T, self.needed[batch.episode_ids], self.columns), "amin"
        )
        numbers_E = torch.arange(batch.n_episodes, device=until_E.device)
        return torch.where(self.leaders == numbers_E, 0, until_E)


# --- rows of attention ------------------------------------------------------------------------------------------------


def _rows(episodes: _Episodes, shared_E: Tensor, place_T: Tensor, n_packed: int) -> Rows:
    """Form the rows of the episodes that have their own tokens."""
    whole, looking_back = [], []
    for episode, (needed, shared) in enumerate(zip(episodes.needed.tolist(), shared_E.tolist(), strict=True)):
        own = needed - shared
        if own and shared and own < OWN_SHARE * needed and own * needed <= MASK_ELEMENTS:
            looking_back.append((own, needed, episode))
        elif own:
            whole.append((needed, needed, episode))
    parts = [_bucket(episodes, shared_E, place_T, rows, whole=True) for rows in _alike(whole)]
    parts += [_bucket(episodes, shared_E, place_T, rows, whole=False) for rows in _alike(looking_back)]
    buckets, queries, keys = zip(*parts, strict=True)
    return Rows(buckets, _spread(queries, n_packed), _spread(keys, n_packed))


def _alike(rows: Sequence[tuple[int, int, int]]) -> list[list[tuple[int, int, int]]]:
    """Divide rows, (queries, keys, episode), into buckets with little waste."""
    buckets: list[list[tuple[int, int, int]]] = []
    used, widest = 0, 0
    for row in sorted(rows, reverse=True):
        n_queries, n_keys, _ = row
        if buckets:
            most_queries, most_keys = buckets[-1][0][0], max(widest, n_keys)
            pairs = (len(buckets[-1]) + 1) * most_queries * most_keys
            wasted = pairs - used - n_queries * n_keys
            if wasted <= WASTE * used + WASTED_PLACES and pairs <= MASK_ELEMENTS:
                buckets[-1].append(row)
                used, widest = used + n_queries * n_keys, most_keys
                continue
        buckets.append([row])
        used, widest = n_queries * n_keys, n_keys
    return buckets


_Part = tuple[Tensor, Tensor, Tensor]
"""For each place of a bucket: its token, whether it is the token's home, whether it is a copy; each flat."""


def _bucket(
    episodes: _Episodes, shared_E: Tensor, place_T: Tensor, rows: Sequence[tuple[int, int, int]], *, whole: bool
) -> tuple[Bucket, _Part, _Part]:
    device = place_T.device
    rows_B = torch.tensor([episode for _, _, episode in rows], device=device)
    needed_B1, shared_B1, starts_B1 = (
        values_E[rows_B][:, None] for values_E in (episodes.needed, shared_E, episodes.starts)
    )
    n_queries, n_keys = max(row[0] for row in rows), max(row[1] for row in rows)

    def part(columns_BX: Tensor, *, copies: bool) -> _Part:
        place_BX = place_T[starts_B1 + torch.minimum(columns_BX, needed_B1 - 1)]
        there_BX = columns_BX < needed_B1
        home_BX = there_BX & (columns_BX >= shared_B1)
        copy_BX = there_BX & ~home_BX if copies else torch.zeros_like(there_BX)
        return place_BX.flatten(), home_BX.flatten(), copy_BX.flatten()

    key_columns = torch.arange(n_keys, device=device)[None].expand(len(rows), -1)
    keys = part(key_columns, copies=True)
    if whole:  # the output of a copied query is not read, so it has no gradient
        return Bucket(len(rows), n_keys, n_keys), part(key_columns, copies=False), keys
    query_columns = shared_B1 + torch.arange(n_queries, device=device)[None]
    bucket = Bucket(
        len(rows),
        n_queries,
        n_keys,
        query_positions=torch.minimum(query_columns, needed_B1 - 1),
        key_positions=torch.where(key_columns < needed_B1, key_columns, torch.iinfo(torch.int64).max // 2),
    )
    return bucket, part(query_columns, copies=False), keys


def _spread(parts: Sequence[_Part], n_packed: int) -> Spread:
    tokens_R, is_home_R, is_copy_R = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    home = is_home_R.nonzero().flatten()
    home_N = home.new_empty(n_packed)
    home_N[tokens_R[home]] = home
    copies_C = is_copy_R.nonzero().flatten()
    return Spread(tokens_R, home_N, copies_C, tokens_R[copies_C])


def spread(values_N: Tensor, where: Spread) -> Tensor:
    """Put packed tokens, (N, ...), into their places, (R, ...); the gradients of all copies of a token add up."""
    result: Tensor = _Spread.apply(values_N, where)
    return result


def collect(values_R: Tensor, where: Spread) -> Tensor:
    """Take what is at the home of each token, (N, ...)."""
    return _gather(values_R, where.home)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values_N: Tensor, where: Spread) -> Tensor:
        ctx.where = where
        return _take(values_N, where.tokens)

    @staticmethod
    def backward(ctx: Any, grad_R: Tensor) -> tuple[Tensor, None]:
        where: Spread = ctx.where
        grad_N = _take(grad_R, where.home)
        if where.copies.numel():
            _add(grad_N, where.copied, _take(grad_R, where.copies))
        return grad_N, None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values_N: Tensor, places_M: Tensor) -> Tensor:
        ctx.places_M, ctx.n = places_M, values_N.shape[0]
        return _take(values_N, places_M)

    @staticmethod
    def backward(ctx: Any, grad_M: Tensor) -> tuple[Tensor, None]:
        grad_N = grad_M.new_zeros((ctx.n, *grad_M.shape[1:]))
        _add(grad_N, ctx.places_M, grad_M)
        return grad_N, None


def _gather(values_N: Tensor, places_M: Tensor) -> Tensor:
    result: Tensor = _Gather.apply(values_N, places_M)
    return result


def _take(values: Tensor, places: Tensor) -> Tensor:
    """Index the first dimension; an embedding is the fastest way to do it on a CPU."""
    return torch.nn.functional.embedding(places, values.reshape(values.shape[0], -1)).view(-1, *values.shape[1:])


def _add(values: Tensor, places: Tensor, more: Tensor) -> None:
    """Add rows at places, which may occur more than once."""
    flat = more.reshape(more.shape[0], -1)
    values.view(values.shape[0], -1).scatter_add_(0, places[:, None].expand_as(flat), flat)


# --- micro-batches ----------------------------------------------------------------------------------------------------


def microbatches(batch: PackedBatch, max_tokens: int, *, packed: bool, whole_groups: bool = False) -> list[Micro]:
    """Cut a batch into micro-batches that carry its totals, so that their losses add up to its loss.

    A micro-batch takes at most `max_tokens` that are computed: the distinct ones if packed, its padded rows otherwise;
    an episode that is longer gets one to itself. Episodes without a trained token, which have no part in a loss, are
    left out. Packed, the episodes of a group stay together where they fit. With `whole_groups` no group is cut, for
    losses that compare the episodes of a group. Episodes are taken by length, the longest first.
    """
    if not batch.n_episodes:
        return []
    parts = (
        _packed_parts(batch, max_tokens, whole_groups) if packed else cut(batch, max_tokens, whole_groups=whole_groups)
    )
    return [Micro(select(batch, part, own_totals=False), token_order(batch, part)) for part in parts]


def _packed_parts(batch: PackedBatch, max_tokens: int, whole_groups: bool) -> list[list[int]]:
    episodes = _Episodes.of(batch)
    needed, shared = episodes.needed.tolist(), episodes.shared(batch).tolist()
    groups: dict[int, list[int]] = {}
    for episode, group in enumerate(batch.group_ids.tolist()):
        if needed[episode]:
            groups.setdefault(group, []).append(episode)
    units: list[tuple[int, int, list[int]]] = []  # longest, tokens, episodes
    for group in groups.values():
        tokens, least = 0, 0
        unit: list[int] = []
        for episode in group:
            # after a cut the first episode leads: it shares with a later one at least what both shared with the former
            # leader
            more = needed[episode] - min(least, shared[episode]) if unit else needed[episode]
            if unit and tokens + more > max_tokens and not whole_groups:
                units.append((max(needed[e] for e in unit), tokens, unit))
                tokens, unit, more = 0, [], needed[episode]
            if not unit:
                least = shared[episode] or needed[episode]
            tokens += more
            unit.append(episode)
        units.append((max(needed[e] for e in unit), tokens, unit))
    parts: list[list[int]] = []
    used = 0
    for _, tokens, unit in sorted(units, key=lambda item: -item[0]):
        if parts and used + tokens <= max_tokens:
            parts[-1] += unit
            used += tokens
        else:
            parts.append(list(unit))
            used = tokens
    return parts
