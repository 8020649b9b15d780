"""The groups of a training step: their problems, rounds and rewards, and the episodes left open for the next step.

    Sampler.next -> EpisodePool -> shapers -> Sampler.update
        repeated for the groups without a gradient, while rounds are left

A step ends when `problems_per_step` groups are complete. With `oversample` more of them are open at once, and
`step_tokens` bounds what is sampled: the episodes that are open then continue in the next step, under its weights.

On several ranks every rank calls the samplers in the same way and plays its part of the groups, with its own engine and
verifiers. Complete groups are then gathered, so that samplers, shapers and batches are the same everywhere.

Sources: Kimi k1.5, arXiv:2501.12599, section 2.6.2, partial rollouts; DAPO, arXiv:2503.14476, section 3.2, dynamic
sampling (rounds).
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
from kgym.stages import Stages
from kgym.types import Engine, Episode, Group, ReportsChoice, Sampler, Sampling, Shaper, UpdatePlan
from kgym.world import ALONE, World


@dataclass
class Stream:
    """One environment of a run: its problems, the sampler that chooses them, and its share of the groups."""

    setup: EnvSetup
    sampler: Sampler
    label: str = ""
    """Label of the environment in a run with several; "" in a run with one."""
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
                    f"it has next{signature}; kgym calls next(n, step) with the training step, from 1: add the "
                    "parameter"
                ) from None

    def figures(self) -> dict[str, float]:
        """Return the sampler's figures about its choice, as `sampler/NAME`, or as `env/LABEL/sampler_NAME` in a run
        with several environments.
        """
        if not isinstance(self.sampler, ReportsChoice):
            return {}
        above = f"env/{self.label}/sampler_" if self.label else "sampler/"
        with blaming("sampler", self.sampler):
            return {f"{above}{name}": float(value) for name, value in self.sampler.figures().items()}

    def next(self, n: int, step: int) -> list[int]:
        """Ask the sampler for problems. Raises ComponentError, naming it, if it does not return as many indices of
        problems.
        """
        size = self.setup.source.size
        with blaming("sampler", self.sampler):
            indices: list[Any] = list(self.sampler.next(n, step))
            if len(indices) != n:
                raise ComponentError(
                    f"next({n}) returned {len(indices)} indices; it has to return one for each problem"
                )
            for index in indices:
                if not isinstance(index, Integral) or not 0 <= int(index) < (math.inf if size is None else size):
                    wanted = "from 0 on" if size is None else f"from 0 to {size - 1}"
                    raise ComponentError(f"next({n}) returned {index!r}; the source has problems {wanted}")
            return [int(index) for index in indices]

    def learn(self, open_group: OpenGroup) -> None:
        """Give the sampler the verdicts of the attempts, except of prompts that are too long, which say nothing about
        the problem.
        """
        episodes = open_group.episodes
        if not all(map(unasked, episodes)):
            with blaming("sampler", self.sampler, problem=open_group.problem.id):
                self.sampler.update(
                    open_group.index, [episode.verdict for episode in episodes if episode.verdict is not None]
                )


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
    """The groups to train on."""
    greedy: list[Group]
    """One greedy completion of the problem of each group of `batch`; [] if the plan does not ask for any."""
    rounds: int
    n_tokens: int
    """Tokens sampled in the step, open episodes and greedy completions included."""
    labels: list[str] = field(default_factory=list)
    """Labels of the environments of the groups `sampled`; all "" if the run has one."""
    choice: dict[str, float] = field(default_factory=dict)
    """Metrics of how the samplers chose."""
    begun: dict[str, int] = field(default_factory=dict)
    """The steps in which the episodes of `sampled` began, by their ids."""
    carried: int = 0
    """Episodes that earlier steps had begun."""
    dropped: int = 0
    """Episodes that were ended because they were too old."""
    left_open: int = 0
    """Episodes that continue in the next step."""
    open_lengths: list[int] = field(default_factory=list)
    """Tokens so far of each episode whose group is not complete."""
    seconds: float = 0.0
    wait_s: float = 0.0
    """The part of `seconds` in which nothing was sampled and verdicts were awaited."""
    canary_gap_nats: float | None = None
    """Largest gap of the canary when the weights that sampled the step were loaded; see `handover.py`."""

    @property
    def greedy_rewards(self) -> list[float | None] | None:
        """The rewards of the greedy completions, None for one that could not be judged; None without greedy
        completions.
        """
        if not self.greedy:
            return None
        return [group.rewards[0] if group.episodes[0].judged else None for group in self.greedy]

    def facts(self) -> dict[str, Any]:
        """Return everything except the episodes, as plain JSON values for `of_facts`."""
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
        return cls(
            sampled=sampled, batch=batch, greedy=greedy, **{name: facts[name] for name in _PLAIN if name in facts}
        )


_PLAIN = (
    "canary_gap_nats",
    "choice",
    "rounds",
    "n_tokens",
    "labels",
    "begun",
    "carried",
    "dropped",
    "left_open",
    "open_lengths",
    "seconds",
    "wait_s",
)
"""Fields of `Played` that are plain values."""


_SENT = ("number", "index", "episodes", "born", "begun", "label", "max_tokens")
"""Fields of `OpenGroup` that are the same on another rank."""


@dataclass(frozen=True)
class _Own:
    """One rank's part of the fields of `Played` that are sums over ranks, or the longest time of one."""

    n_tokens: int
    carried: int
    dropped: int
    left_open: int
    open_lengths: list[int]
    seconds: float
    wait_s: float


def _together(parts: Sequence[_Own]) -> dict[str, Any]:
    """Return the fields over all ranks."""
    counts = {
        name: sum(getattr(part, name) for part in parts) for name in ("n_tokens", "carried", "dropped", "left_open")
    }
    lengths = [length for part in parts for length in part.open_lengths]
    return (
        counts
        | {"open_lengths": lengths}
        | {name: max(getattr(part, name) for part in parts) for name in ("seconds", "wait_s")}
    )


def _brief(indices: Sequence[int] | None) -> str:
    shown = list(indices or ())
    return f"{shown[:5]}".replace("]", ", ...]" if len(shown) > 5 else "]")


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
        stages: Stages | None = None,
        world: World = ALONE,
    ) -> None:
        """`world` has connections that nothing else uses while a step is played."""
        self.streams = list(streams)
        self.world = world
        self.pool = EpisodePool(segment_tokens)
        self.sampling = sampling
        self._shapers = list(shapers)
        self._plan = plan
        self._n = problems_per_step
        self._group_size = group_size
        self._seed = seed
        self._rule = rule or StepRule()
        self._segment_tokens = segment_tokens
        self._stages = stages or Stages()
        self._attempts: dict[str, int] = {}
        """How many attempts at a problem the run has begun, by its id."""
        self._n_open = [0] * world.size
        """Open groups of each rank."""

    def play(self, engine: Engine, step: int, progress: Callable[[int, int], None]) -> Played:
        """Play the groups of a step. `progress` is called as (episodes that have ended, episodes in the pool)."""
        begin, before, wait_s = time.perf_counter(), self.pool.n_tokens, 0.0
        dropped = self.pool.drop(engine.version - self._rule.max_age)
        carried = self.pool.n_open
        self.pool.progress = lambda done, total, _: progress(done, total)
        budget = None if self._rule.step_tokens is None else TokenBudget(self.world.quota(self._rule.step_tokens))
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
            if budget is not None and not all(self.world.gather(self.pool.playable(budget))):
                break
        self.pool.pause(engine)
        shaped = {group.number: self._settled(group, step) for group in sampled}
        batch = [kept[place] for place in sorted(kept)]
        greedy, n_greedy = self._greedy(engine, batch, step)
        own = _Own(
            n_tokens=self.pool.n_tokens - before + n_greedy,
            carried=carried,
            dropped=dropped,
            left_open=self.pool.n_open,
            open_lengths=[episode.n_tokens for group in self.pool.groups for episode in group.episodes],
            seconds=time.perf_counter() - begin,
            wait_s=wait_s,
        )
        return Played(
            sampled=[shaped[group.number] for group in sampled],
            batch=[shaped[group.number] for group in batch],
            greedy=greedy,
            rounds=rounds,
            labels=[group.label for group in sampled],
            begun={episode.id: group.begun for group in sampled for episode in group.episodes},
            choice={name: value for stream in self.streams for name, value in stream.figures().items()},
            **_together(self.world.gather(own)),
        )

    def _round(self, engine: Engine, n: int, step: int, budget: TokenBudget | None) -> tuple[list[OpenGroup], float]:
        """Play until n groups are complete, or the budget is spent. Return the complete ones, in order of birth, and
        the seconds waited.
        """
        self._start(math.ceil(n * self._rule.oversample) - sum(self._n_open), step, engine.version)
        quota = self._quota(n)
        while True:
            while self.pool.n_ended_groups < quota and self.pool.advance(engine, budget):
                pass
            if budget is None or any(self.world.gather(self.pool.n_ended_groups > 0)):
                break
            budget.left += self.world.quota(self._rule.step_tokens or 0)  # without groups the weights cannot be updated
        begin = time.perf_counter()
        finished = self.pool.finished()
        waited_s = time.perf_counter() - begin
        complete = self._gathered(finished)
        streams = {stream.label: stream for stream in self.streams}
        for group in complete:
            streams[group.label].learn(group)
        return complete, waited_s

    def _quota(self, n: int) -> int:
        """Return how many groups this rank has to complete so that the ranks complete n together: as many as it has
        among the n oldest. Every open group comes to be one of these, also where n is less than the number of ranks.
        """
        parts = self.world.gather([group.number for group in self.pool.groups])
        oldest = sorted((number, rank) for rank, numbers in enumerate(parts) for number in numbers)[:n]
        return sum(rank == self.world.rank for _, rank in oldest)

    def _gathered(self, finished: Sequence[OpenGroup]) -> list[OpenGroup]:
        """Return the finished groups of all ranks, in order of birth, and take note of how many each has left."""
        setups = {stream.label: stream.setup for stream in self.streams}
        plain = [{name: getattr(group, name) for name in _SENT} for group in finished]
        parts = self.world.gather((plain, len(self.pool.groups)))
        self._n_open = [n_open for _, n_open in parts]
        groups = [
            OpenGroup(setup=setups[facts["label"]], sampling=self.sampling, **facts)
            for part, _ in parts
            for facts in part
        ]
        return sorted(groups, key=lambda group: group.number)

    def _start(self, n: int, step: int, version: int) -> None:
        """Begin n groups under the weights of `version`; each is played by the rank with the fewest open groups, which
        all ranks know.
        """
        for stream, index in self._next(n, step):
            problem = stream.setup.problem(index)
            first = self._attempts.get(problem.id, 0)
            self._attempts[problem.id] = first + self._group_size
            if self._deal() != self.world.rank:
                self.pool.pass_over()
                continue
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
                max_tokens=self._stages.tokens(step),
            )

    def _next(self, n: int, step: int) -> list[tuple[Stream, int]]:
        """Choose n problems. Environments are chosen in proportion to their weights, over the whole run."""
        order: list[Stream] = []
        for _ in range(max(0, n)):
            total = 1 + sum(stream.n_groups for stream in self.streams)
            stream = max(self.streams, key=lambda stream: stream.weight * total - stream.n_groups * self._weights)
            stream.n_groups += 1
            order.append(stream)
        chosen = {stream.label: stream.next(order.count(stream), step) for stream in self.streams if stream in order}
        self._agree(chosen)
        numbers = {label: iter(indices) for label, indices in chosen.items()}
        return [(stream, next(numbers[stream.label])) for stream in order]

    def _agree(self, chosen: Mapping[str, list[int]]) -> None:
        """Raise ComponentError, naming the sampler, if one did not choose the same problems on every rank."""
        everywhere = self.world.gather(chosen)
        for stream in self.streams:
            found = [choice.get(stream.label) for choice in everywhere]
            if (other := next((rank for rank, indices in enumerate(found) if indices != found[0]), None)) is not None:
                with blaming("sampler", stream.sampler):
                    raise ComponentError(
                        f"it chose other problems on rank {other} than on rank 0 ({_brief(found[other])} and "
                        f"{_brief(found[0])}); a sampler may depend only on its options, its seed and the verdicts "
                        "that it was given; otherwise use one rank"
                    )

    def _deal(self) -> int:
        """Return the rank that plays the next group."""
        rank = min(range(self.world.size), key=self._n_open.__getitem__)
        self._n_open[rank] += 1
        return rank

    @property
    def _weights(self) -> float:
        return sum(stream.weight for stream in self.streams)

    def _settled(self, open_group: OpenGroup, step: int) -> Group:
        """Return a complete group with its rewards after the shapers.

        Raises ComponentError, naming the shaper and the problem, if one does not return a finite number for each
        episode.
        """
        group = open_group.group()
        for shaper in self._shapers:
            with blaming("shaper", shaper, problem=group.problem.id):
                rewards = list(shaper(group, group.rewards, step))
                if len(rewards) != len(group.episodes):
                    raise ComponentError(
                        f"it returned {len(rewards)} rewards for {len(group.episodes)} episodes; it has to return one "
                        "for each"
                    )
                shaped = [float(reward) for reward in rewards]
                if bad := [reward for reward in shaped if not math.isfinite(reward)]:
                    raise ComponentError(
                        f"it returned the reward {bad[0]} in step {step}; correct the shaper, or leave it out"
                    )
                group.rewards = shaped
        return group

    def _greedy(self, engine: Engine, batch: Sequence[OpenGroup], step: int) -> tuple[list[Group], int]:
        """Return a greedy attempt at the problem of each group of the batch, and the tokens of all of them."""
        if not self._plan.needs_greedy:
            return [], 0
        pool = EpisodePool(self._segment_tokens)
        for group in self.world.share(batch):
            pool.start(
                group.setup,
                group.index,
                group.problem,
                attempts=[0],
                seed_parts=(self._seed, "greedy"),
                sampling=replace(self.sampling, temperature=0.0, top_p=1.0, top_k=0),
                version=engine.version,
                label=group.label,
                max_tokens=group.max_tokens,
            )
        attempts = [group.episodes for group in play(pool, engine)]
        played = [
            replace(group, episodes=episodes) for group, episodes in zip(batch, self.world.merge(attempts), strict=True)
        ]
        return [self._settled(group, step) for group in played], pool.n_tokens

    # --- checkpoints ---

    def state(self) -> tuple[list[Episode], dict[str, Any]]:
        """Return the open episodes of all ranks, and what `restore` has to know in addition, as plain JSON values."""
        own, pool = self.pool.state()
        found = []
        for rank, (episodes, groups) in enumerate(self.world.gather((own, pool["groups"]))):
            rest = iter(episodes)
            found += [(facts | {"rank": rank}, [next(rest) for _ in range(facts["size"])]) for facts in groups]
        found.sort(key=lambda item: item[0]["number"])
        samplers = {}
        for stream in self.streams:
            with blaming("sampler", stream.sampler):
                samplers[stream.label] = json.loads(json.dumps(stream.sampler.state_dict()))
        return [episode for _, members in found for episode in members], {
            "pool": pool | {"groups": [facts for facts, _ in found]},
            "ranks": self.world.size,
            "attempts": dict(self._attempts),
            "samplers": samplers,
            "n_groups": {stream.label: stream.n_groups for stream in self.streams},
        }

    def restore(self, episodes: Sequence[Episode], state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; with another number of ranks the groups are distributed again."""
        self._attempts = dict(state["attempts"])
        for stream in self.streams:
            stream.n_groups = state["n_groups"][stream.label]
            with blaming("sampler", stream.sampler):
                stream.sampler.load_state_dict(state["samplers"][stream.label])
        setups = {stream.label: stream.setup for stream in self.streams}
        rest = iter(episodes)
        groups = [(facts, [next(rest) for _ in range(facts["size"])]) for facts in state["pool"]["groups"]]
        same = state.get("ranks", 1) == self.world.size
        self._n_open = [0] * self.world.size
        own = []
        for facts, members in groups:
            if same:
                rank = facts.get("rank", 0)
                self._n_open[rank] += 1
            else:
                rank = self._deal()
            if rank == self.world.rank:
                own.append((facts, members))
        self.pool.restore(
            [episode for _, members in own for episode in members],
            state["pool"] | {"groups": [facts for facts, _ in own]},
            setups,
            self.sampling,
        )


def teaches(group: Group) -> bool:
    """Whether the scores of the judged completions differ and one of them is trained on; before shaping, since
    otherwise different lengths would be enough.
    """
    trainable = any(episode.trainable for episode in group.episodes)
    return trainable and len({episode.reward for episode in group.episodes if episode.judged}) > 1
