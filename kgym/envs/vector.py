"""Many episodes side by side, in groups that share a problem, with one batch of verdicts a step.

    env = gymnasium.make_vec("kgym/aime-v1", num_envs=256, group_size=16)
    chats, infos = env.reset(options={"indices": range(16)})            # one problem for each group
    chats, rewards, terminations, truncations, infos = env.step(actions)   # None for a slot without an action

Slots 0 .. group_size-1 are the attempts at the first problem, and so on. Resets are not automatic: an ended episode
stays until a reset of all groups or of those in `reset_mask`.

Gymnasium's own vector environments work too, with one attempt in each slot and automatic resets:
`vectorization_mode="sync"`, or `"async"` with `vector_kwargs={"shared_memory": False}`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from kgym.envs import rules
from kgym.envs.env import RENDER_MODES, checked_action, checked_options, checked_render_mode, rendered, whole
from kgym.envs.setup import EnvSetup
from kgym.envs.spaces import Chat, UnicodeText, checked_actions
from kgym.errors import ConfigError, EnvError
from kgym.types import Chat as Conversation
from kgym.types import Episode, Group, ProblemSource

Observations = tuple[Conversation, ...]
Actions = Sequence[str | None]
Array = NDArray[Any]


class ReasoningVectorEnv(VectorEnv[Observations, Actions, Array]):
    """`num_envs` slots with an episode each. The rules of an episode and the `settings` are those of `ReasoningEnv`.

    An action is a text, a `Segment`, or None for a slot that does not change in this step; a slot whose episode has
    ended takes only None. Rewards are those of this step; terminations and truncations are the state of each episode.
    An array `infos[key]` has a value for every slot, and the mask `infos["_" + key]` marks the slots that this call has
    changed.

    Raises ConfigError if the groups do not fill the slots, and as `EnvSetup` does.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  (as Gymnasium declares it)
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
        "autoreset_mode": AutoresetMode.DISABLED,
    }

    def __init__(
        self, task: str, *, num_envs: int = 1, group_size: int = 1, render_mode: str | None = None, **settings: Any
    ) -> None:
        if num_envs < 1 or group_size < 1 or num_envs % group_size:
            raise ConfigError(
                f"num_envs={num_envs}, group_size={group_size}: whole groups have to fill the slots; take a multiple"
            )
        self.setup = EnvSetup(task, settings)
        self.num_envs = num_envs
        self.group_size = group_size
        self.render_mode = checked_render_mode(render_mode)
        self.single_observation_space = Chat()
        self.single_action_space = UnicodeText()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._indices: list[int] = []
        self._episodes: list[Episode] = []
        self._observations: list[Conversation] = []

    # --- Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin new episodes. `options`, all of them optional:

        `reset_mask`: bool array of shape (num_envs,), the slots to reset, in whole groups; by default all.
        `indices`: one problem for each group that is reset; by default random ones.
        `attempt_offset`: number of the first attempt in each group, by default 0; the others are numbered after it.
        """
        super().reset(seed=seed)
        given = checked_options(options, ("indices", "reset_mask", "attempt_offset"))
        groups = self._groups_in(given.get("reset_mask"))
        if "indices" in given:
            if not isinstance(given["indices"], Iterable):
                raise ConfigError(f"indices={given['indices']!r} has to be a list with a problem for each group")
            indices = [whole(index, "index") for index in given["indices"]]
        else:
            indices = [self.setup.draw(self.np_random) for _ in groups]
        if len(indices) != len(groups):
            raise ConfigError(
                f"{len(indices)} indices for {len(groups)} groups to reset; give one problem for each group"
            )
        offset = whole(given.get("attempt_offset", 0), "attempt_offset")
        started = [self.setup.start(index, offset + member) for index in indices for member in range(self.group_size)]
        if not self._episodes:
            self._indices = [-1] * (self.num_envs // self.group_size)
            self._episodes, self._observations = list(started), [()] * self.num_envs
        slots = [slot for group in groups for slot in self._slots(group)]
        for group, index in zip(groups, indices, strict=True):
            self._indices[group] = index
        for slot, episode in zip(slots, started, strict=True):
            self._episodes[slot] = episode
        return self._observe(slots), self._infos(slots)

    def step(self, actions: Actions) -> tuple[Observations, Array, Array, Array, dict[str, Any]]:
        """Add a segment to the completion in each slot that has an action.

        Raises EnvError, and changes nothing, for an action that is not a text or is in a slot whose episode has ended,
        and for actions that are not a list, such as a single text.
        """
        episodes = self.episodes
        acting = {
            slot: checked_action(action, self.single_action_space)
            for slot, action in enumerate(checked_actions(actions, self.num_envs))
            if action is not None
        }
        for slot in acting:
            if rules.ended(episodes[slot]):
                raise EnvError(
                    f"slot {slot} has an action, but its episode has ended; give None there until it is reset"
                )
        self.setup.extend([episodes[slot] for slot in acting], list(acting.values()))
        self.setup.settle([episodes[slot] for slot in acting])
        rewards = np.zeros(self.num_envs)
        for slot in acting:
            rewards[slot] = episodes[slot].reward
        terminations = np.array([episode.terminated for episode in episodes], dtype=np.bool_)
        truncations = np.array([episode.truncated for episode in episodes], dtype=np.bool_)
        return self._observe(list(acting)), rewards, terminations, truncations, self._infos(list(acting))

    def render(self) -> tuple[str, ...] | None:
        """Return the conversations as texts in the render mode `ansi`."""
        return tuple(rendered(episode) for episode in self.episodes) if self.render_mode == "ansi" else None

    # --- the episodes

    @property
    def episodes(self) -> list[Episode]:
        """The record of each slot's episode. Raises EnvError before the first reset."""
        if not self._episodes:
            raise EnvError("the slots have no episodes yet; call reset first")
        return list(self._episodes)

    @property
    def indices(self) -> list[int]:
        """The index of each group's problem."""
        return list(self._indices)

    def groups(self) -> list[Group]:
        """Return the groups with their rewards before shaping. Raises EnvError while an episode is open."""
        episodes = self.episodes
        if n_open := sum(not rules.ended(episode) for episode in episodes):
            raise EnvError(f"{n_open} of {self.num_envs} episodes are still open; step until all have ended")
        members = [episodes[start : start + self.group_size] for start in range(0, self.num_envs, self.group_size)]
        return [Group(group[0].problem, group, [episode.reward for episode in group]) for group in members]

    @property
    def source(self) -> ProblemSource:
        """The problems of the split."""
        return self.setup.source

    @property
    def max_tokens(self) -> int:
        """Token budget of a completion."""
        return self.setup.budgets.max_tokens

    def spec_facts(self) -> dict[str, Any]:
        """Return what a score depends on, in addition to the policy and its sampling; see `EnvSetup.facts`."""
        return self.setup.facts()

    # --- inside

    def _slots(self, group: int) -> range:
        return range(group * self.group_size, (group + 1) * self.group_size)

    def _groups_in(self, mask: Any) -> list[int]:
        """Return the groups that a reset mask names."""
        everything = list(range(self.num_envs // self.group_size))
        if mask is None:
            return everything
        if (
            not isinstance(mask, np.ndarray)
            or mask.dtype != np.bool_
            or mask.shape != (self.num_envs,)
            or not mask.any()
        ):
            raise ConfigError(
                f"reset_mask has to be a bool array of shape ({self.num_envs},) with a True in it; got {mask!r}"
            )
        by_group = mask.reshape(-1, self.group_size)
        if (by_group.any(axis=1) != by_group.all(axis=1)).any():
            raise ConfigError(
                f"reset_mask cuts through a group; its {self.group_size} attempts share a problem and are reset "
                "together"
            )
        if not self._episodes and not mask.all():
            raise EnvError("the first reset has to include all slots; leave reset_mask out")
        return [group for group in everything if by_group[group, 0]]

    def _observe(self, changed: Sequence[int]) -> Observations:
        for slot in changed:
            self._observations[slot] = rules.observe(self._episodes[slot])
        return tuple(self._observations)

    def _infos(self, changed: Sequence[int]) -> dict[str, Any]:
        """Return the `info` of all slots as arrays, in the form of `VectorEnv._add_info`."""
        rows = [
            rules.describe(episode, self._indices[slot // self.group_size])
            for slot, episode in enumerate(self._episodes)
        ]
        mask = np.zeros(self.num_envs, dtype=np.bool_)
        mask[list(changed)] = True
        infos: dict[str, Any] = {}
        for key, first in rows[0].items():
            infos[key] = np.array([row[key] for row in rows], dtype=object if isinstance(first, str) else type(first))
            infos[f"_{key}"] = mask.copy()
        return infos
