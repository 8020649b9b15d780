"""Play episodes: the one rollout path, walked by training, validation and `kgym eval` alike.

An environment of vectors holds the episodes and their rules, an engine continues their text; this module only carries requests and segments
between the two until every episode has ended.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kgym.envs.rules import tokens_left
from kgym.envs.vector import ReasoningVectorEnv
from kgym.rollout.engine import generate
from kgym.seeding import derive_seed
from kgym.types import Engine, Episode, GenerateRequest, Group, Sampling, Segment

Progress = Callable[[int, int, int], None]
"""Called as (answers that have stopped, answers asked for, tokens sampled so far)."""


def collect(
    env: ReasoningVectorEnv,
    engine: Engine,
    indices: Sequence[int],
    *,
    places: Sequence[int] | None = None,
    sampling: Sampling,
    seed_parts: tuple[str | int, ...],
    attempt_offset: int = 0,
    segment_tokens: int | None = None,
    progress: Progress | None = None,
) -> list[Group]:
    """Play one episode in every slot of `env` and return the groups, in the order of `indices`.

    `indices` holds one problem for each group of the environment, or for each of the groups numbered `places`, in rising order; the others
    then stay as they are and are not returned. The seed of an answer derives from `seed_parts`, its problem
    and its attempt, never from its slot. With `segment_tokens`, an answer is continued in segments of so many
    tokens, all of them sampled here, from the same weights.

    Raises EngineError if the engine loses a request, or returns a log-probability that is not finite.
    """
    options: dict[str, Any] = {"indices": list(indices), "attempt_offset": attempt_offset}
    if places is not None:
        options["reset_mask"] = np.isin(np.arange(env.num_envs) // env.group_size, places)
    env.reset(options=options)
    n_asked = len(indices) * env.group_size
    n_tokens = 0
    while open_slots := [slot for slot, episode in enumerate(env.episodes) if not (episode.terminated or episode.truncated)]:
        requests = [_request(slot, env, sampling, seed_parts, segment_tokens) for slot in open_slots]
        actions: list[Segment | None] = [None] * env.num_envs
        for n_back, segment in enumerate(generate(engine, requests), start=1):
            actions[int(segment.request_id)] = segment
            n_tokens += len(segment.token_ids)
            if progress is not None:
                progress(n_asked - len(open_slots) + n_back, n_asked, n_tokens)
        env.step(actions)
    groups = env.groups()
    return groups if places is None else [groups[place] for place in places]


def _request(
    slot: int, env: ReasoningVectorEnv, sampling: Sampling, seed_parts: tuple[str | int, ...], segment_tokens: int | None
) -> GenerateRequest:
    episode: Episode = env.episodes[slot]
    budgets = env.setup.budgets
    left = tokens_left(episode, budgets)  # of a first segment the engine alone knows how long the prompt is
    return GenerateRequest(
        id=str(slot),
        prompt=episode.prompt,
        max_tokens=left if segment_tokens is None else min(left, segment_tokens),
        sampling=sampling,
        seed=derive_seed(*seed_parts, episode.problem.id, episode.attempt),
        prefix_ids=episode.token_ids,
        context_tokens=budgets.context_tokens,
    )
