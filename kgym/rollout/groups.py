"""The groups of a training step: which problems, how many rounds, what their rewards are, and what is left open for the next step.

    Sampler.next -> EpisodePool -> shapers -> Sampler.update    and again instead of the groups that teach nothing, while rounds are left

A step ends when `problems_per_step` groups are complete. With `oversample` more of them are open at once, and `step_tokens` bounds
what is sampled: the episodes that are open then continue in the next step, under its weights.

Sources: Kimi k1.5, arXiv:2501.12599, section 2.6.2, partial rollouts; DAPO, arXiv:2503.14476, section 3.2, dynamic sampling (rounds).
"""

import inspect
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from numbers import Integral
from typing import Any

from kgym.blame import blaming
from kgym.envs.rules import unasked
from kgym.envs.setup import EnvSetup
from kgym.errors import ComponentError
from kgym.rollout.episodes import EpisodePool, OpenGroup, TokenBudget, play
from kgym.types import Engine, Episode, Group, Sampler, Sampling, Shaper, UpdatePlan


@dataclass
class Stream:
    """One environment of a run: its problems, the sampler that chooses them, and its share of the groups."""

    setup: EnvSetup
    sampler: Sampler
    label: str = ""
    """Tells the environments of a run apart; "" if there is one."""
    weight: float = 1.0
    n_groups: int = 0
    """Groups that it has been asked for so far."""

    def __post_init__(self) -> None:
        """Raises ComponentError, naming it, for a sampler whose `next` does not take the step."""
        with blaming("sampler", self.sampler):
            signature = inspect.signature(self.sampler.next)
            try:
                signature.bind(1, 1)
            except TypeError:
                raise ComponentError(
                    f"it has next{signature}; kgym calls next(n, step) with the training step, from 1: add the parameter"
                ) from None

    def next(self, n: int, step: int) -> list[int]:
        """Ask the sampler for problems. Raises ComponentError, naming it, if it does not return as many indices of problems."""
        size = self.setup.source.size
        with blaming("sampler", self.sampler):
            indices: list[Any] = list(self.sampler.next(n, step))
            if len(indices) != n:
                raise ComponentError(f"next({n}) returned {len(indices)} indices; it has to return one for each problem")
            for index in indices:
                if not isinstance(index, Integral) or not 0 <= int(index) < (math.inf if size is None else size):
                    wanted = "from 0 on" if size is None else f"from 0 to {size - 1}"
                    raise ComponentError(f"next({n}) returned {index!r}; the source has problems {wanted}")
            return [int(index) for index in indices]

    def learn(self, open_group: OpenGroup) -> None:
        """Tell the sampler how the attempts went; a prompt that is too long says nothing about its problem."""
        episodes = open_group.episodes
        if not all(map(unasked, episodes)):
            with blaming("sampler", self.sampler, problem=open_group.problem.id):
                self.sampler.update(open_group.index, [episode.verdict for episode in episodes if episode.verdict is not None])


@dataclass(frozen=True)
class StepRule:
    """When a step ends; see `kgym.config.RolloutConfig`. The default waits for every episode."""

    oversample: float = 1.0
    step_tokens: int | None = None
    max_age: int = 0


@dataclass(frozen=True)
class Played:
    """What a step played; rewards are shaped."""

    sampled: list[Group]
    """All groups that were completed, round by round."""
    batch: list[Group]
    """Those to train on."""
    greedy: list[Group]
    """One greedy answer to the problem of each group of `batch`; [] if the plan does not ask for any."""
    rounds: int
    n_tokens: int
    """Tokens sampled in the step, those of open episodes and greedy answers too."""
    labels: list[str] = field(default_factory=list)
    """Of the environment of each of the groups `sampled`; all "" if the run has one."""
    begun: dict[str, int] = field(default_factory=dict)
    """The steps in which the episodes of `sampled` began, by their ids."""
    carried: int = 0
    """Episodes that earlier steps had begun."""
    dropped: int = 0
    """Episodes that were ended since they were too old."""
    left_open: int = 0
    """Episodes that continue in the next step."""
    open_lengths: list[int] = field(default_factory=list)
    """Tokens so far of each episode whose group is not complete."""
    seconds: float = 0.0
    wait_s: float = 0.0
    """Of `seconds`, those in which nothing was sampled and verdicts were waited for."""

    @property
    def greedy_rewards(self) -> list[float | None] | None:
        """The rewards of the greedy answers, None for one that could not be judged; None if there are no such answers."""
        if not self.greedy:
            return None
        return [group.rewards[0] if group.episodes[0].judged else None for group in self.greedy]

    def facts(self) -> dict[str, Any]:
        """Return all but the episodes, as plain JSON values: what `of_facts` needs."""
        groups = [*self.sampled, *self.greedy]
        numbers = {id(group): number for number, group in enumerate(self.sampled)}
        return {
            "sizes": [len(group.episodes) for group in groups],
            "rewards": [group.rewards for group in groups],
            "episode_rewards": [[episode.reward for episode in group.episodes] for group in groups],
            "n_sampled": len(self.sampled),
            "batch": [numbers[id(group)] for group in self.batch],
        } | {name: getattr(self, name) for name in _PLAIN}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any], episodes: Sequence[Episode]) -> "Played":
        """Undo `facts`; `episodes` are those of `sampled`, then of `greedy`."""
        rest, groups = iter(episodes), []
        for size, rewards, own in zip(facts["sizes"], facts["rewards"], facts["episode_rewards"], strict=True):
            members = [next(rest) for _ in range(size)]
            for episode, reward in zip(members, own, strict=True):
                episode.reward = reward
            groups.append(Group(members[0].problem, members, list(rewards)))
        sampled, greedy = groups[: facts["n_sampled"]], groups[facts["n_sampled"] :]
        batch = [sampled[number] for number in facts["batch"]]
        return cls(sampled=sampled, batch=batch, greedy=greedy, **{name: facts[name] for name in _PLAIN})


_PLAIN = ("rounds", "n_tokens", "labels", "begun", "carried", "dropped", "left_open", "open_lengths", "seconds", "wait_s")
"""Fields of `Played` that are plain values."""


class Rollouts:
    """Plays the groups of a run, step by step."""

    def __init__(
        self,
        streams: Sequence[Stream],
        shapers: Sequence[Shaper],
        plan: UpdatePlan,
        *,
        problems_per_step: int,
        group_size: int,
        sampling: Sampling,
        seed: int,
        rule: StepRule | None = None,
        segment_tokens: int | None = None,
    ) -> None:
        self.streams = list(streams)
        self.pool = EpisodePool(segment_tokens)
        self.sampling = sampling
        self._shapers = list(shapers)
        self._plan = plan
        self._n = problems_per_step
        self._group_size = group_size
        self._seed = seed
        self._rule = rule or StepRule()
        self._segment_tokens = segment_tokens
        self._attempts: dict[str, int] = {}
        """How many attempts at a problem the run has begun, by its id."""

    def play(self, engine: Engine, step: int, progress: Callable[[int, int], None]) -> Played:
        """Play the groups of a step. `progress` is called as (episodes that have ended, episodes in the pool)."""
        begin, before, wait_s = time.perf_counter(), self.pool.n_tokens, 0.0
        dropped = self.pool.drop(engine.version - self._rule.max_age)
        carried = self.pool.n_open
        self.pool.progress = lambda done, total, _: progress(done, total)
        budget = None if self._rule.step_tokens is None else TokenBudget(self._rule.step_tokens)
        sampled: list[OpenGroup] = []
        kept: dict[int, OpenGroup] = {}
        rounds = 0
        while rounds < self._plan.max_rounds and len(kept) < self._n:
            rounds += 1
            free = (place for place in count() if place not in kept)
            complete, waited_s = self._round(engine, self._n - len(kept), step, budget)
            wait_s += waited_s
            for place, group in zip(free, complete, strict=False):
                if self._plan.max_rounds == 1 or teaches(group.group()):
                    kept[place] = group
            sampled += complete
            if budget is not None and not self.pool.playable(budget):
                break
        self.pool.pause(engine)
        shaped = {group.number: self._settled(group, step) for group in sampled}
        batch = [kept[place] for place in sorted(kept)]
        greedy, n_greedy = self._greedy(engine, batch, step)
        return Played(
            sampled=[shaped[group.number] for group in sampled],
            batch=[shaped[group.number] for group in batch],
            greedy=greedy,
            rounds=rounds,
            n_tokens=self.pool.n_tokens - before + n_greedy,
            labels=[group.label for group in sampled],
            begun={episode.id: group.begun for group in sampled for episode in group.episodes},
            carried=carried,
            dropped=dropped,
            left_open=self.pool.n_open,
            open_lengths=[episode.n_tokens for group in self.pool.groups for episode in group.episodes],
            seconds=time.perf_counter() - begin,
            wait_s=wait_s,
        )

    def _round(self, engine: Engine, n: int, step: int, budget: TokenBudget | None) -> tuple[list[OpenGroup], float]:
        """Play until n groups are complete, or the budget is spent. Return the complete ones, in order of birth, and the seconds waited."""
        self._start(math.ceil(n * self._rule.oversample) - len(self.pool.groups), step, engine.version)
        while self.pool.n_ended_groups < n:
            if not self.pool.advance(engine, budget):
                if budget is None or self.pool.n_ended_groups:
                    break
                budget.left += self._rule.step_tokens or 0  # there is nothing to update the weights with yet
        begin = time.perf_counter()
        complete = self.pool.finished()
        waited_s = time.perf_counter() - begin
        streams = {stream.label: stream for stream in self.streams}
        for group in complete:
            streams[group.label].learn(group)
        return complete, waited_s

    def _start(self, n: int, step: int, version: int) -> None:
        """Begin n groups under the weights of `version`."""
        for stream, index in self._next(n, step):
            problem = stream.setup.problem(index)
            first = self._attempts.get(problem.id, 0)
            self._attempts[problem.id] = first + self._group_size
            self.pool.start(
                stream.setup,
                index,
                problem,
                attempts=range(first, first + self._group_size),
                seed_parts=(self._seed, "train"),
                sampling=self.sampling,
                version=version,
                step=step,
                label=stream.label,
            )

    def _next(self, n: int, step: int) -> list[tuple[Stream, int]]:
        """Choose n problems. Environments are asked in proportion to their weights, over the whole run."""
        order: list[Stream] = []
        for _ in range(max(0, n)):
            total = 1 + sum(stream.n_groups for stream in self.streams)
            stream = max(self.streams, key=lambda stream: stream.weight * total - stream.n_groups * self._weights)
            stream.n_groups += 1
            order.append(stream)
        chosen = {stream.label: iter(stream.next(order.count(stream), step)) for stream in self.streams if stream in order}
        return [(stream, next(chosen[stream.label])) for stream in order]

    @property
    def _weights(self) -> float:
        return sum(stream.weight for stream in self.streams)

    def _settled(self, open_group: OpenGroup, step: int) -> Group:
        """Return a complete group with its rewards after the shapers.

        Raises ComponentError, naming the shaper and the problem, if one does not return a finite number for each episode.
        """
        group = open_group.group()
        for shaper in self._shapers:
            with blaming("shaper", shaper, problem=group.problem.id):
                rewards = list(shaper(group, group.rewards, step))
                if len(rewards) != len(group.episodes):
                    raise ComponentError(
                        f"it returned {len(rewards)} rewards for {len(group.episodes)} episodes; it has to return one for each"
                    )
                shaped = [float(reward) for reward in rewards]
                if bad := [reward for reward in shaped if not math.isfinite(reward)]:
                    raise ComponentError(f"it returned the reward {bad[0]} in step {step}; correct the shaper, or leave it out")
                group.rewards = shaped
        return group

    def _greedy(self, engine: Engine, batch: Sequence[OpenGroup], step: int) -> tuple[list[Group], int]:
        """Return a greedy attempt at the problem of each group of the batch, and the tokens of all of them."""
        if not self._plan.needs_greedy:
            return [], 0
        pool = EpisodePool(self._segment_tokens)
        for group in batch:
            pool.start(
                group.setup,
                group.index,
                group.problem,
                attempts=[0],
                seed_parts=(self._seed, "greedy"),
                sampling=replace(self.sampling, temperature=0.0, top_p=1.0, top_k=0),
                version=engine.version,
                label=group.label,
            )
        return [self._settled(group, step) for group in play(pool, engine)], pool.n_tokens

    # --- checkpoints ---

    def state(self) -> tuple[list[Episode], dict[str, Any]]:
        """Return the open episodes, and what `restore` has to know in addition, as plain JSON values."""
        episodes, pool = self.pool.state()
        samplers = {}
        for stream in self.streams:
            with blaming("sampler", stream.sampler):
                samplers[stream.label] = json.loads(json.dumps(stream.sampler.state_dict()))
        return episodes, {
            "pool": pool,
            "attempts": dict(self._attempts),
            "samplers": samplers,
            "n_groups": {stream.label: stream.n_groups for stream in self.streams},
        }

    def restore(self, episodes: Sequence[Episode], state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self._attempts = dict(state["attempts"])
        for stream in self.streams:
            stream.n_groups = state["n_groups"][stream.label]
            with blaming("sampler", stream.sampler):
                stream.sampler.load_state_dict(state["samplers"][stream.label])
        setups = {stream.label: stream.setup for stream in self.streams}
        self.pool.restore(episodes, state["pool"], setups, self.sampling)


def teaches(group: Group) -> bool:
    """Whether the scores of the judged answers differ and one of them is trained on; before shaping, as otherwise a length would do."""
    trainable = any(episode.trainable for episode in group.episodes)
    return trainable and len({episode.reward for episode in group.episodes if episode.judged}) > 1
