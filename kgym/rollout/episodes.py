"""Open episodes and the only loop over an engine: training, validation and `kgym eval` play their episodes here.

    pool = EpisodePool()
    pool.start(setup, index, problem, attempts=range(8), seed_parts=(0, "eval"), sampling=Sampling())    # a group
    while pool.advance(engine):       # submit what waits, poll once, hand what has ended to its verifier
        pass
    groups = pool.finished()

Where an environment replies, `advance` lets it reply to the turns that have ended, and lets the engine render the
replies.

An episode may stay open while the engine gets new weights: `pause` makes the engine return what it has, and the next
`advance` asks it to continue. `state` and `restore` keep open episodes in a checkpoint.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kgym.blame import blaming
from kgym.envs import rules
from kgym.envs.responding import reply_of
from kgym.envs.rules import Budgets
from kgym.envs.setup import EnvSetup
from kgym.errors import EngineError
from kgym.repetition import repeats
from kgym.rollout.engine import poll, submit
from kgym.rollout.judging import Judge
from kgym.rollout.responding import Responder, Said
from kgym.seeding import derive_seed
from kgym.types import (
    Engine,
    Episode,
    GenerateRequest,
    Group,
    Observation,
    Problem,
    RendersReplies,
    Reply,
    Sampling,
    Segment,
    Verdict,
)

Progress = Callable[[int, int, int], None]
"""Called as (episodes that have ended, episodes started, tokens sampled so far)."""

TOO_OLD = Verdict("unscored", reason="too_old")
"""Verdict of an episode that was ended because the weights had been updated too often since it began."""


@dataclass
class OpenGroup:
    """A group in the pool."""

    number: int
    """Counts the groups of a pool: older groups have smaller numbers."""
    index: int
    """Index of its problem in the environment's source."""
    setup: EnvSetup
    sampling: Sampling
    episodes: list[Episode]
    born: int
    """Version of the weights when it began."""
    begun: int = 0
    """The training step in which it began; 0 outside of training."""
    label: str = ""
    """Label of its environment, where a run has several."""
    max_tokens: int | None = None
    """Token budget of its completions where that is below the environment's; see `kgym.stages`."""

    @property
    def budgets(self) -> Budgets:
        """The budgets that end its episodes: those of the environment, and its own."""
        own = self.setup.budgets
        return own if self.max_tokens is None else replace(own, max_tokens=min(own.max_tokens, self.max_tokens))

    @property
    def problem(self) -> Problem:
        """The problem of all of its episodes."""
        return self.episodes[0].problem

    @property
    def ended(self) -> bool:
        """Whether all of its episodes have ended; they may still wait for verdicts."""
        return all(episode.ended for episode in self.episodes)

    @property
    def carried(self) -> bool:
        """Whether an update of the weights has interrupted one of its episodes."""
        return any(segment.finish_reason == "abort" for episode in self.episodes for segment in episode.segments)

    def group(self) -> Group:
        """Return it with its rewards before shaping."""
        return Group(self.problem, self.episodes, [episode.reward for episode in self.episodes])


_KEPT = ("number", "index", "born", "begun", "label", "max_tokens")
"""Fields of `OpenGroup` that a checkpoint has."""


class TokenBudget:
    """Tokens that may yet be sampled in a step. Requests are given shares of it and return what they did not use."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens

    def shares(self, wanted: Sequence[int]) -> list[int]:
        """Return how many tokens each request may sample: equal shares, at most what it asks for; 0 for all if the
        budget is too small.
        """
        share = self.left // max(1, len(wanted))
        given = [min(want, share) for want in wanted]
        self.left -= sum(given)
        return given


@dataclass
class _Flight:
    """An open episode on its way to the engine, or there."""

    episode: Episode
    group: OpenGroup
    granted: int = 0
    """`max_tokens` of its request."""

    @property
    def id(self) -> str:
        """Id of its request."""
        return f"{self.group.number}/{self.episode.id}"


@dataclass
class EpisodePool:
    """Groups of open and ended episodes, the oldest first. See the module."""

    segment_tokens: int | None = None
    """Most tokens of a segment; without it one request asks for all tokens that an episode may still have."""
    progress: Progress | None = None
    n_tokens: int = 0
    """Tokens sampled so far."""
    _groups: list[OpenGroup] = field(default_factory=list)
    _waiting: list[_Flight] = field(default_factory=list)
    """Open episodes that wait for the engine."""
    _flights: dict[str, _Flight] = field(default_factory=dict)
    """Open episodes at the engine, by the ids of their requests."""
    _responder: Responder[_Flight] = field(default_factory=Responder)
    """Open episodes whose environment has been asked for a reply."""
    _judge: Judge = field(default_factory=Judge)
    _n_started: int = 0

    @property
    def groups(self) -> list[OpenGroup]:
        """The groups in the pool, in order of birth."""
        return list(self._groups)

    @property
    def n_open(self) -> int:
        """Episodes that have not ended."""
        return len(self._waiting) + len(self._flights) + len(self._responder)

    @property
    def n_ended_groups(self) -> int:
        """Groups whose episodes have all ended."""
        return sum(group.ended for group in self._groups)

    def playable(self, budget: TokenBudget) -> bool:
        """Whether the budget gives every open episode a token, or no episode is open."""
        return self.n_open <= budget.left

    # --- playing ---

    def start(
        self,
        setup: EnvSetup,
        index: int,
        problem: Problem,
        *,
        attempts: Sequence[int],
        seed_parts: tuple[str | int, ...],
        sampling: Sampling,
        version: int = 0,
        step: int = 0,
        label: str = "",
        max_tokens: int | None = None,
    ) -> None:
        """Begin a group of attempts at a problem, which is at `index` of its source.

        The seed of an attempt derives from `seed_parts`, the problem and the number of the attempt; `version` is that
        of the weights, `step` the training step, and `max_tokens` a budget below that of the environment.
        """
        episodes = [setup.attempt(problem, attempt) for attempt in attempts]
        for episode in episodes:
            episode.seed = derive_seed(*seed_parts, problem.id, episode.attempt)
        self._add(OpenGroup(self._n_started, index, setup, sampling, episodes, version, step, label, max_tokens))
        self._n_started += 1

    def pass_over(self) -> None:
        """Leave the number of the next group to one that another rank plays."""
        self._n_started += 1

    def advance(self, engine: Engine, budget: TokenBudget | None = None, *, timeout_s: float | None = None) -> bool:
        """Let the engine continue every open episode and take what it returns first; return False if nothing was to be
        done.

        With `timeout_s` it waits about that long at most. With a `budget`, episodes for which it is too small wait.
        Raises EngineError if the engine loses a request, returns something that was not asked for, or a log-probability
        that is not finite.
        """
        self._continue(self._responder.due(len(self._flights)))
        self._render(engine)
        self._submit(engine, budget)
        if not self._flights:
            self._judge.collect()
            return False
        begin = time.monotonic()
        segments = poll(engine, self._flights, timeout_s)
        if not segments and timeout_s is not None and time.monotonic() - begin < timeout_s / 2:
            segments = poll(
                engine, self._flights
            )  # it did not wait: poll without a timeout, so that a lost request is noticed
        self._take(segments, budget)
        self._judge.collect()
        return True

    def pause(self, engine: Engine) -> None:
        """Make the engine return what it has sampled of every open episode; the next `advance` continues them."""
        if self._flights:
            with blaming("engine", engine):
                engine.abort()
        while self._flights:
            self._take(poll(engine, self._flights), None)
        self._continue(self._responder.due(0))

    def wait(self, groups: Sequence[OpenGroup]) -> float:
        """Wait until the ended groups have all their verdicts; return for how many seconds."""
        return self._judge.wait([episode for group in groups for episode in group.episodes])

    def finished(self) -> list[OpenGroup]:
        """Remove the groups whose episodes have all ended and return them, in order of birth, once all of their
        verdicts are ready.
        """
        ended = [group for group in self._groups if group.ended]
        self.wait(ended)
        self._groups = [group for group in self._groups if not group.ended]
        return ended

    def drop(self, older_than: int) -> int:
        """End the open episodes of groups that began before the version `older_than` as unscored; return how many there
        were.

        The engine must have been paused.
        """
        stale = [flight.episode for flight in self._waiting if flight.group.born < older_than]
        for episode in stale:
            episode.truncated = True
            rules.award(episode, TOO_OLD)
        self._waiting = [flight for flight in self._waiting if not flight.episode.ended]
        return len(stale)

    # --- inside ---

    def _add(self, group: OpenGroup) -> None:
        self._groups.append(group)
        for episode in group.episodes:
            if not episode.ended:
                self._place(_Flight(episode, group))

    def _submit(self, engine: Engine, budget: TokenBudget | None) -> None:
        """Submit the episodes that wait, the oldest first; those that began under the same weights together."""
        wanted = [self._wanted(flight) for flight in self._waiting]
        granted = wanted if budget is None else budget.shares(wanted)
        cohorts: dict[int, list[GenerateRequest]] = {}
        waiting: list[_Flight] = []
        for flight, tokens in zip(self._waiting, granted, strict=True):
            flight.granted = tokens
            if tokens:
                self._flights[flight.id] = flight
                cohorts.setdefault(flight.group.born, []).append(_request(flight))
            else:
                waiting.append(flight)
        self._waiting = waiting
        for born in sorted(cohorts):
            submit(engine, cohorts[born])

    def _render(self, engine: Engine) -> None:
        """Let the engine render the replies that have no tokens yet, before the policy's next turn."""
        new = [(flight, reply) for flight in self._waiting if (reply := _unrendered(flight.episode)) is not None]
        if not new:
            return
        with blaming("engine", engine):
            if not isinstance(engine, RendersReplies):
                raise EngineError("it cannot append the replies of the environment; use another engine")
            rendered = engine.render_replies([reply for _, reply in new])
        for (flight, reply), token_ids in zip(new, rendered, strict=True):
            flight.episode.pieces[-1] = Observation(reply.message, tuple(token_ids))
            rules.check_room(flight.episode, flight.group.budgets)
        waiting, self._waiting = self._waiting, []
        for flight in waiting:
            self._place(flight)

    def _wanted(self, flight: _Flight) -> int:
        # the engine alone knows how long the prompt of a first segment is
        left = rules.tokens_left(flight.episode, flight.group.budgets)
        return left if self.segment_tokens is None else min(left, self.segment_tokens)

    def _take(self, segments: Sequence[Segment], budget: TokenBudget | None) -> None:
        """Give each segment to its episode; those that end with it go to their verifier at once."""
        n_all = sum(len(group.episodes) for group in self._groups)
        if segments:
            self._responder.returned()
        for segment in segments:
            flight = self._flights.pop(segment.request_id)
            episode = flight.episode
            self.n_tokens += segment.n_tokens
            if budget is not None:
                budget.left += flight.granted - segment.n_tokens
            if segment.finish_reason != "abort" or segment.n_tokens:  # otherwise it had not begun
                rules.extend(episode, _looked_at(segment, episode, flight.group.sampling), flight.group.budgets)
            self._place(flight)
            if self.progress is not None:
                self.progress(n_all - self.n_open, n_all, self.n_tokens)
        self._sort()

    def _place(self, flight: _Flight) -> None:
        """Pass an episode on: to its environment for a reply, to its verifier, or to those that wait for the engine."""
        episode, setup = flight.episode, flight.group.setup
        if rules.awaits_reply(episode):
            task = setup.responder
            assert task is not None, "a turn ends the episode where the environment does not reply"
            if task.slow:
                self._responder.submit(flight, task, episode)
                return
            rules.reply(episode, reply_of(task, episode), flight.group.budgets)
        if not episode.ended:
            self._waiting.append(flight)
        elif episode.verdict is None:
            self._judge.submit(episode, setup)

    def _continue(self, replies: Sequence[tuple[_Flight, Said]]) -> None:
        """Add the replies of slow environments."""
        for flight, said in replies:
            rules.reply(flight.episode, said, flight.group.budgets)
            self._place(flight)
        self._sort()

    def _sort(self) -> None:
        self._waiting.sort(key=lambda flight: (flight.group.number, flight.episode.attempt))  # as `restore` has them

    # --- checkpoints ---

    def state(self) -> tuple[list[Episode], dict[str, Any]]:
        """Return copies of the episodes, and what else `restore` needs, as plain JSON values.

        The engine must have been paused. Verdicts that are on their way are waited for.
        """
        assert len(self._flights) + len(self._responder) == 0, "pause the pool before its state is kept"
        self._judge.wait([episode for group in self._groups for episode in group.episodes if episode.ended])
        groups = [
            {name: getattr(group, name) for name in _KEPT} | {"size": len(group.episodes)} for group in self._groups
        ]
        episodes = [
            replace(episode, pieces=list(episode.pieces)) for group in self._groups for episode in group.episodes
        ]
        return episodes, {"groups": groups, "n_started": self._n_started}

    def restore(
        self, episodes: Sequence[Episode], state: Mapping[str, Any], setups: Mapping[str, EnvSetup], sampling: Sampling
    ) -> None:
        """Restore what `state` returned; `setups` has the environments by their labels.

        Prompts are made again from their problems.
        """
        rest = list(episodes)
        for facts in state["groups"]:
            own, rest = rest[: facts["size"]], rest[facts["size"] :]
            setup = setups[facts["label"]]
            for episode in own:
                episode.problem = setup.problem(facts["index"])
                episode.prompt = setup.prompt(episode.problem)
            kept = {name: facts[name] for name in _KEPT if name in facts}
            self._add(OpenGroup(setup=setup, sampling=sampling, episodes=own, **kept))
        self._n_started = state["n_started"]


def play(pool: EpisodePool, engine: Engine) -> list[OpenGroup]:
    """Play all episodes of the pool to their end and return its groups, in order of birth."""
    while pool.advance(engine):
        pass
    return pool.finished()


def play_groups(
    setup: EnvSetup,
    engine: Engine,
    indices: Sequence[int],
    *,
    attempts: Sequence[int] = (0,),
    sampling: Sampling,
    seed_parts: tuple[str | int, ...],
    segment_tokens: int | None = None,
    progress: Progress | None = None,
) -> list[Group]:
    """Play attempts with these numbers at each of the problems, all at once, and return their groups in order.

    Raises what `EpisodePool.advance` raises.
    """
    pool = EpisodePool(segment_tokens, progress)
    for index in indices:
        problem = setup.problem(index)
        pool.start(
            setup, index, problem, attempts=attempts, seed_parts=seed_parts, sampling=sampling, version=engine.version
        )
    return [group.group() for group in play(pool, engine)]


def _looked_at(segment: Segment, episode: Episode, sampling: Sampling) -> Segment:
    """Return the segment, with the finish reason `repetition` if the completion repeats itself and its engine does not
    look for that.

    With such an engine, repetition is noticed only where a segment ends; a completion that has ended by itself stays as
    it is.
    """
    n = sampling.loop_tokens
    if (
        n is None
        or segment.finish_reason not in ("length", "abort")
        or not repeats((*episode.token_ids[-n:], *segment.token_ids), n)
    ):
        return segment
    kept = {name: getattr(segment, name) for name in Segment.__slots__}
    return Segment(str(segment), **kept | {"finish_reason": "repetition"})


def _unrendered(episode: Episode) -> Reply | None:
    """Return the newest reply of the environment if it is new: what the engine has to render."""
    last = episode.pieces[-1] if episode.pieces else None
    if not isinstance(last, Observation) or last.token_ids:
        return None
    return Reply(last.message, episode.token_ids[-1] if episode.token_ids else None)


def _request(flight: _Flight) -> GenerateRequest:
    episode, group = flight.episode, flight.group
    return GenerateRequest(
        id=flight.id,
        prompt=episode.prompt,
        max_tokens=flight.granted,
        sampling=group.sampling,
        seed=episode.seed,
        prefix_ids=episode.token_ids,
        context_tokens=group.budgets.context_tokens,
        turns=episode.turns if episode.observations else (),
        expects_reply=episode.n_turns < (group.budgets.max_turns or 1),
    )
