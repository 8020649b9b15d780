"""Play episodes: the one rollout path, walked by training, validation and `kgym eval` alike.

An environment of vectors holds the episodes and their rules, an engine continues their text; this module only carries requests and segments
between the two until every episode has ended.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kgym.blame import blaming
from kgym.envs.rules import tokens_left
from kgym.envs.vector import ReasoningVectorEnv
from kgym.errors import EngineError
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
        requests = {str(slot): _request(slot, env, sampling, seed_parts, segment_tokens) for slot in open_slots}
        actions: list[Segment | None] = [None] * env.num_envs
        for n_back, segment in enumerate(_generate(engine, list(requests.values())), start=1):
            if segment.request_id not in requests:
                with blaming("engine", engine):
                    raise EngineError(f"it returned a segment for request {segment.request_id!r}, which was not asked for")
            if not math.isfinite(sum(segment.engine_logprobs)):
                with blaming("engine", engine):
                    raise EngineError(
                        f"it returned a log-probability that is not finite (weights of version {segment.version}); the weights are "
                        "damaged, or too large for their type: sample in float32, or from another checkpoint"
                    )
            actions[int(segment.request_id)] = segment
            n_tokens += len(segment.token_ids)
            if progress is not None:
                progress(n_asked - len(open_slots) + n_back, n_asked, n_tokens)
        lost = [name for name in requests if actions[int(name)] is None]
        if lost:
            with blaming("engine", engine):
                raise EngineError(f"it returned no segment for {len(lost)} of {len(requests)} requests, the first is {lost[0]}")
        env.step(actions)
    groups = env.groups()
    return groups if places is None else [groups[place] for place in places]


def _generate(engine: Engine, requests: Sequence[GenerateRequest]) -> Iterator[Segment]:
    """Yield what the engine yields; what it raises names it, and what is done with its segments does not."""
    segments: Iterator[object] | None = None
    while True:
        with blaming("engine", engine):  # not around the yield: what the caller does meanwhile is not the engine's
            segments = iter(engine.generate(requests)) if segments is None else segments
            segment = next(segments, None)
            if segment is not None and not isinstance(segment, Segment):
                raise EngineError(f"it returned {type(segment).__name__} instead of a Segment")
        if segment is None:
            return
        yield segment


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
