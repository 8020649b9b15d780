"""The rollouts of a step, as the plan of the algorithm asks for them: rounds until the batch is full, and greedy answers besides.

    Sampler.next -> collect -> shapers -> Sampler.update    and again in the place of the groups that teach nothing, while rounds are left

Source of the rounds: DAPO, arXiv:2503.14476, section 3.2, dynamic sampling.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

from kgym.blame import blaming
from kgym.config import RunConfig
from kgym.envs.rules import unasked
from kgym.envs.spec import EnvSpec
from kgym.envs.vector import ReasoningVectorEnv
from kgym.errors import ComponentError, ConfigError
from kgym.rollout.collector import collect
from kgym.seeding import derive_seed
from kgym.train.warmups import create_for_run
from kgym.types import Engine, Group, Sampler, Shaper, UpdatePlan


@dataclass(frozen=True)
class Played:
    """What a step played; rewards are shaped."""

    sampled: list[Group]
    """All groups, round by round."""
    batch: list[Group]
    """Those to train on."""
    greedy: list[Group]
    """One greedy answer to the problem of each group of `batch`; [] if the plan does not ask for any."""
    rounds: int

    @property
    def greedy_rewards(self) -> list[float | None] | None:
        """The rewards of the greedy answers, None for one that could not be judged; None if there are no such answers."""
        if not self.greedy:
            return None
        return [group.rewards[0] if group.episodes[0].judged else None for group in self.greedy]

    @property
    def n_tokens(self) -> int:
        """Tokens sampled, those of the greedy answers too."""
        return sum(episode.n_tokens for group in [*self.sampled, *self.greedy] for episode in group.episodes)


class Rollouts:
    """Plays the rollouts of a run, step by step."""

    def __init__(self, config: RunConfig, plan: UpdatePlan) -> None:
        """Make environments, sampler and shapers. Raises ConfigError, or what `EnvSetup` raises, for what cannot work."""
        rollout = config.rollout
        if rollout.group_size < plan.min_group_size:
            raise ConfigError(
                f"rollout.group_size={rollout.group_size}: attempts are compared within a group, so 1 gives no gradient; use 2 or more"
            )
        self._config = config
        self._plan = plan
        self.spec = EnvSpec.of_config(config.env, config.verifier)
        self.env = self._make_env(rollout.group_size)
        self._greedy_env = self._make_env(1) if plan.needs_greedy else None
        self.sampler = self._make_sampler()
        self._shapers: list[Shaper] = [
            create_for_run("shaper", name, options, config.train.steps) for name, options in config.shapers.items()
        ]
        self.sampling = rollout.sampling

    def _make_sampler(self) -> Sampler:
        """Return the sampler. Raises ComponentError, naming it, for one whose `next` does not take the step."""
        name, seed = self._config.sampler.name, derive_seed(self._config.seed, "sampler")
        options, steps = self._config.sampler.options, self._config.train.steps
        sampler: Sampler = create_for_run("sampler", name, options, steps, self.env.source, seed)
        with blaming("sampler", sampler):
            signature = inspect.signature(sampler.next)
            try:
                signature.bind(1, 1)
            except TypeError:
                raise ComponentError(
                    f"it has next{signature}; kgym calls next(n, step) with the training step, from 1: add the parameter"
                ) from None
        return sampler

    def _make_env(self, group_size: int) -> ReasoningVectorEnv:
        return self.spec.vector(self._config.rollout.problems_per_step, group_size)

    def play(self, engine: Engine, step: int, progress: Callable[[int, int], None]) -> Played:
        """Play the groups of a step. `progress` is called as (answers of a round that have stopped, answers of the round)."""
        places = range(self._config.rollout.problems_per_step)
        seed_parts: tuple[str | int, ...] = (self._config.seed, "train", step)
        sampled: list[Group] = []
        kept: dict[int, Group] = {}
        rounds = 0
        while rounds < self._plan.max_rounds and len(kept) < len(places):
            rounds += 1
            open_places = [place for place in places if place not in kept]
            groups = collect(
                self.env,
                engine,
                indices := self._next(len(open_places), step),
                places=open_places,
                sampling=self.sampling,
                seed_parts=seed_parts if rounds == 1 else (*seed_parts, "round", rounds),  # a problem that comes again has other attempts
                segment_tokens=self._config.rollout.segment_tokens,
                progress=lambda done, total, _: progress(done, total),
            )
            for place, index, group in zip(open_places, indices, groups, strict=True):
                self._shape(group, step)
                if not all(map(unasked, group.episodes)):  # from a prompt that is too long there is nothing to know of the problem
                    with blaming("sampler", self.sampler, problem=group.problem.id):
                        self.sampler.update(index, [episode.verdict for episode in group.episodes if episode.verdict is not None])
                if self._plan.max_rounds == 1 or teaches(group):
                    kept[place] = group
            sampled += groups
        chosen = sorted(kept)
        return Played(sampled, [kept[place] for place in chosen], self._greedy(engine, step, chosen), rounds)

    def _next(self, n: int, step: int) -> list[int]:
        """Ask the sampler for problems. Raises ComponentError, naming it, if it does not return as many indices of problems."""
        size = self.env.source.size
        with blaming("sampler", self.sampler):
            indices: list[Any] = list(self.sampler.next(n, step))
            if len(indices) != n:
                raise ComponentError(f"next({n}) returned {len(indices)} indices; it has to return one for each problem")
            for index in indices:
                if not isinstance(index, Integral) or not 0 <= int(index) < (math.inf if size is None else size):
                    wanted = "from 0 on" if size is None else f"from 0 to {size - 1}"
                    raise ComponentError(f"next({n}) returned {index!r}; the source has problems {wanted}")
            return [int(index) for index in indices]

    def _shape(self, group: Group, step: int) -> None:
        """Apply the shapers.

        Raises ComponentError, naming the shaper and the problem, if one does not return a finite number for each episode.
        """
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

    def _greedy(self, engine: Engine, step: int, places: list[int]) -> list[Group]:
        if self._greedy_env is None:
            return []
        groups = collect(
            self._greedy_env,
            engine,
            self.env.indices,
            sampling=replace(self.sampling, temperature=0.0, top_p=1.0, top_k=0),
            seed_parts=(self._config.seed, "greedy", step),
            segment_tokens=self._config.rollout.segment_tokens,
        )
        for group in groups:
            self._shape(group, step)
        return [groups[place] for place in places]


def teaches(group: Group) -> bool:
    """Whether the scores of the judged answers differ and one of them is trained on; before shaping, as otherwise a length would do."""
    trainable = any(episode.trainable for episode in group.episodes)
    return trainable and len({episode.reward for episode in group.episodes if episode.judged}) > 1
