"""From judged groups to one batch: which episodes and which of their tokens are trained on."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Literal

import torch
from torch import Tensor

from kgym.algorithms.batch import pack
from kgym.types import Episode, Group, PackedBatch


def pack_groups(
    groups: Sequence[Group],
    *,
    device: torch.device,
    greedy_rewards: Sequence[float | None] | None = None,
    version: int = 0,
    old_tokens: Literal["mask", "correct"] = "mask",
) -> PackedBatch | None:
    """Lay the judged episodes of the groups end to end, on `device`; None if none of their tokens may be trained on.

    An unscored episode is left out entirely: it has no gradient and does not count in a group's mean. One that is
    masked because it was truncated has no masked-in token, but counts in a group's mean. `greedy_rewards` has one entry
    a group; a group whose greedy completion could not be judged (None) has no baseline and is left out too.

    `version` is that of the policy that is updated. Tokens of older weights are masked out, or kept to be trained on
    with importance weights (`update` is told the version too); the reward of their episode counts in its group in both
    cases. Source of the mask: Kimi k1.5, arXiv:2501.12599, section 2.6.2.
    """
    kept = [
        (number, episode, reward)
        for number, group in enumerate(groups)
        for episode, reward in zip(group.episodes, group.rewards, strict=True)
        if (episode.trainable or episode.judged)
        and episode.n_tokens
        and (greedy_rewards is None or greedy_rewards[number] is not None)
    ]
    oldest = version if old_tokens == "mask" else None
    batch = pack(
        prompt_ids=[episode.prompt_ids for _, episode, _ in kept],
        token_ids=[episode.token_ids for _, episode, _ in kept],
        token_mask=[_trained(episode, oldest) for _, episode, _ in kept],
        engine_logprobs=[episode.engine_logprobs for _, episode, _ in kept],
        versions=[episode.versions for _, episode, _ in kept],
        rewards=[reward for _, _, reward in kept],
        group_ids=[number for number, _, _ in kept],
        truncated=[episode.truncated for _, episode, _ in kept],
    )
    if not batch.totals.tokens:
        return None
    batch = replace(batch, counted=torch.ones(len(kept), dtype=torch.bool))
    if greedy_rewards is not None:
        batch = replace(
            batch, greedy_rewards=torch.tensor([greedy_rewards[number] for number, _, _ in kept], dtype=torch.float32)
        )
    tensors = {
        field.name: value.to(device)
        for field in fields(batch)
        if isinstance(value := getattr(batch, field.name), Tensor)
    }
    return replace(batch, **tensors)  # type: ignore[arg-type]  # only fields that are tensors


def _trained(episode: Episode, oldest: int | None) -> list[bool]:
    """Return which tokens of an episode are trained on: those that the policy sampled, by weights of version
    `oldest` or newer.
    """
    return [
        episode.trainable and sampled and (oldest is None or version >= oldest)
        for sampled, version in zip(episode.token_mask, episode.versions, strict=True)
    ]
