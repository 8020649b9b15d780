"""Lay completions end to end as one pack, and cut a pack into optimizer steps and micro-batches.

    batch = pack(prompt_ids=[[5, 6]], token_ids=[[7, 2]], token_mask=None, engine_logprobs=[[-0.1, -0.2]],
                 rewards=[1.0], group_ids=[0], truncated=[False])          # T = 4, mask 0 0 1 1
    for step in minibatches(batch, 4, rng):                 # groups kept whole; each has its own totals
        for part in split(step, max_tokens=8192):           # each carries the totals of its step
            algorithm.loss(part, ...).loss.backward()       # so the gradients add up

Dimension key:  T tokens of the pack   E episodes   G groups
"""

import dataclasses
import random
from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from kgym.algorithms.episodes import scored
from kgym.types import PackedBatch, Totals

PER_EPISODE = ("rewards", "group_ids", "truncated", "greedy_rewards", "counted")
"""Fields of a batch with one entry an episode; its other tensors have one a token."""


def count(mask: Tensor, episode_ids: Tensor, group_ids: Tensor) -> Totals:
    """Count the masked-in tokens, and the episodes and groups that have any."""
    with_tokens = torch.unique(episode_ids[mask])
    return Totals(
        tokens=int(mask.sum()), episodes=with_tokens.numel(), groups=torch.unique(group_ids[with_tokens]).numel()
    )


def pack(
    *,
    prompt_ids: Sequence[Sequence[int]],
    token_ids: Sequence[Sequence[int]],
    token_mask: Sequence[Sequence[bool]] | None = None,
    engine_logprobs: Sequence[Sequence[float]] | None = None,
    versions: Sequence[Sequence[int]] | None = None,
    rewards: Sequence[float],
    group_ids: Sequence[int],
    truncated: Sequence[bool] | None = None,
) -> PackedBatch:
    """Build a pack from one row an episode; `token_mask`, `engine_logprobs` and `versions` have one entry for each of
    `token_ids`.

    The prompt gets the mask 0, the log-probability 0 and the version -1.

    `old_logprobs` are zeros: fill them in with `dataclasses.replace` after a forward pass.

    Raises ValueError if the rows do not agree, or if a completion follows an empty prompt: nothing would predict its
    first token.
    """
    for name, rows in (
        ("prompt_ids", prompt_ids),
        ("rewards", rewards),
        ("group_ids", group_ids),
        ("truncated", truncated),
    ):
        if rows is not None and len(rows) != len(token_ids):
            raise ValueError(f"pack: {name} has {len(rows)} episodes, token_ids has {len(token_ids)}")
    for name, table in (("token_mask", token_mask), ("engine_logprobs", engine_logprobs), ("versions", versions)):
        if table is not None and [len(row) for row in table] != [len(row) for row in token_ids]:
            raise ValueError(f"pack: {name} does not have one entry for each of token_ids")
    for index, (prompt, answer) in enumerate(zip(prompt_ids, token_ids, strict=True)):
        if len(answer) and not len(prompt):
            raise ValueError(
                f"pack: episode {index} has an empty prompt, so nothing predicts the first token of its completion"
            )

    def lay(prompt_value: float, rows: Sequence[Sequence[float]]) -> list[float]:
        return list(
            chain.from_iterable([prompt_value] * len(p) + list(row) for p, row in zip(prompt_ids, rows, strict=True))
        )

    input_ids = [*chain.from_iterable(chain(p, a) for p, a in zip(prompt_ids, token_ids, strict=True))]
    sizes = torch.tensor([len(p) + len(a) for p, a in zip(prompt_ids, token_ids, strict=True)], dtype=torch.int64)
    episode_ids = torch.repeat_interleave(torch.arange(len(token_ids)), sizes)
    mask = torch.tensor(
        lay(False, token_mask if token_mask is not None else [[True] * len(a) for a in token_ids]), dtype=torch.bool
    )
    groups = torch.tensor(group_ids, dtype=torch.int64)
    return PackedBatch(
        input_ids=torch.tensor(input_ids, dtype=torch.int64),
        episode_ids=episode_ids,
        mask=mask,
        old_logprobs=torch.zeros(len(input_ids)),
        rewards=torch.tensor(rewards, dtype=torch.float32),
        group_ids=groups,
        totals=count(mask, episode_ids, groups),
        truncated=None if truncated is None else torch.tensor(truncated, dtype=torch.bool),
        engine_logprobs=None
        if engine_logprobs is None
        else torch.tensor(lay(0.0, engine_logprobs), dtype=torch.float32),
        versions=None if versions is None else torch.tensor(lay(-1, versions), dtype=torch.int64),
    )


def token_order(batch: PackedBatch, episodes: Sequence[int]) -> Tensor:
    """Return the places of the tokens of these episodes, in this order."""
    rows = torch.tensor(episodes, dtype=torch.int64, device=batch.rewards.device)
    sizes_E = torch.bincount(batch.episode_ids, minlength=batch.n_episodes)
    starts_E = sizes_E.cumsum(0) - sizes_E
    sizes = sizes_E[rows]
    within = torch.arange(int(sizes.sum()), device=rows.device) - torch.repeat_interleave(
        sizes.cumsum(0) - sizes, sizes
    )
    return torch.repeat_interleave(starts_E[rows], sizes) + within


def select(batch: PackedBatch, episodes: Sequence[int], *, own_totals: bool) -> PackedBatch:
    """Return a pack of these episodes, in this order; with the totals of `batch`, or its own."""
    rows = torch.tensor(episodes, dtype=torch.int64, device=batch.rewards.device)
    order = token_order(batch, episodes)
    fields: dict[str, Tensor | None] = {}
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            fields[field.name] = value[rows] if field.name in PER_EPISODE else value[order]
    sizes = torch.bincount(batch.episode_ids, minlength=batch.n_episodes)[rows]
    fields["episode_ids"] = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), sizes)
    part = dataclasses.replace(batch, **fields)  # type: ignore[arg-type]
    return dataclasses.replace(part, totals=count(part.mask, part.episode_ids, part.group_ids)) if own_totals else part


def split(batch: PackedBatch, max_tokens: int, *, whole_groups: bool = False) -> list[PackedBatch]:
    """Cut a batch into micro-batches that carry its totals; see `cut`."""
    return [select(batch, part, own_totals=False) for part in cut(batch, max_tokens, whole_groups=whole_groups)]


def cut(batch: PackedBatch, max_tokens: int, *, whole_groups: bool = False) -> list[list[int]]:
    """Return the episodes of each micro-batch of right-padded rows.

    Episodes without a masked-in token, which have no part in a loss, are left out. A micro-batch takes at most
    `max_tokens`, its episodes times the longest of them; an episode that is longer gets one
    to itself. Episodes are taken by length, the longest first, so that rows are padded little. With `whole_groups` no
    group is cut, for losses that compare the episodes of a group; one that is longer gets a micro-batch to itself.
    """
    sizes = torch.bincount(batch.episode_ids, minlength=batch.n_episodes).tolist()
    group_ids = batch.group_ids.tolist() if whole_groups else list(range(batch.n_episodes))
    units: dict[int, list[int]] = {}
    for episode in scored(batch).nonzero().flatten().tolist():
        units.setdefault(group_ids[episode], []).append(episode)
    parts: list[list[int]] = []
    longest = 0
    for size, unit in sorted(
        ((max(sizes[e] for e in unit), unit) for unit in units.values()), key=lambda item: -item[0]
    ):
        if parts and longest * (len(parts[-1]) + len(unit)) <= max_tokens:
            parts[-1] += unit
        else:
            parts.append(list(unit))
            longest = size
    return parts


def deal(batch: PackedBatch, n: int) -> list[list[int]]:
    """Deal the episodes that have a part in a loss out to n ranks, as (numbers of the episodes of each), so that all
    have about as many tokens. Groups are kept whole; the largest are dealt first, each to the rank that has the fewest
    tokens.
    """
    sizes = torch.bincount(batch.episode_ids, minlength=batch.n_episodes).tolist()
    groups: dict[int, list[int]] = {}
    for episode in scored(batch).nonzero().flatten().tolist():
        groups.setdefault(int(batch.group_ids[episode]), []).append(episode)
    dealt: list[list[int]] = [[] for _ in range(n)]
    tokens = [0] * n
    for members in sorted(groups.values(), key=lambda members: -sum(sizes[episode] for episode in members)):
        rank = tokens.index(min(tokens))
        dealt[rank] += members
        tokens[rank] += sum(sizes[episode] for episode in members)
    return [sorted(members) for members in dealt]


def minibatches(batch: PackedBatch, n: int, rng: random.Random | None = None) -> list[PackedBatch]:
    """Cut a batch into at most n optimizer steps, each a separate batch with its own totals.

    Groups are kept whole and spread evenly, shuffled if there is an `rng`. Groups without a masked-in token are left
    out, so there are fewer than n if fewer groups have any.
    """
    if n == 1:
        return [batch]
    live = sorted(set(batch.group_ids[scored(batch)].tolist()))
    if rng is not None:
        rng.shuffle(live)
    group_ids = batch.group_ids.tolist()
    chunks = [set(live[first::n]) for first in range(min(n, len(live)))]
    return [
        select(batch, [e for e, group in enumerate(group_ids) if group in chunk], own_totals=True) for chunk in chunks
    ]
