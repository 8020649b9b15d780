"""A reasoning task as a Gymnasium environment: an episode is one attempt at a problem, a step is one segment of its
completion.

In an environment that replies, such as one with tools, a text that ends a turn leaves the episode open, and the
observation ends with the reply.

    env = gymnasium.make("kgym/aime-v1", split="validation", difficulty=3)
    chat, info = env.reset(options={"index": 17})
    chat, reward, terminated, truncated, info = env.step(r"So the answer is \\boxed{204}.")
"""

from collections.abc import Mapping
from typing import Any, cast

import gymnasium
import numpy as np

from kgym.envs import rules
from kgym.envs.setup import EnvSetup
from kgym.envs.spaces import Chat, UnicodeText
from kgym.errors import ConfigError, EnvError, UnknownName
from kgym.types import Chat as Conversation
from kgym.types import Episode, Problem, ProblemSource

RENDER_MODES = ("ansi",)
LARGEST = int(np.iinfo(np.int64).max)


class ReasoningEnv(gymnasium.Env[Conversation, str]):
    """One episode at a time. For many at once, with one batch of verdicts a step: `ReasoningVectorEnv`.

    `task` is the name of the environment, `settings` are those of `EnvOptions` and the task's own. Raises as `EnvSetup`
    does.

    Action: a text, which is a finished completion, or a finished turn where the environment replies; or a `Segment`,
    after which the episode stays open if the engine was interrupted.
    Observation: the conversation so far, whose last message is the completion so far. The reward is given at the end.
    `info` has the same keys at every step; `info["status"]` is `open`, `correct`, `wrong`, `no_answer` or
    `unscored:<why>`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  (as Gymnasium declares it)
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
    }

    def __init__(self, task: str, *, render_mode: str | None = None, **settings: Any) -> None:
        self.setup = EnvSetup(task, settings)
        self.render_mode = checked_render_mode(render_mode)
        self.observation_space = Chat()
        self.action_space = UnicodeText()
        self._episode: Episode | None = None
        self._index = -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Conversation, dict[str, Any]]:
        """Begin an attempt at a problem: a random one, or the one that `options={"index": i}` names.

        `attempt_offset` in `options` is the number of the attempt, by default 0. It is part of the seed of the
        completion.
        """
        super().reset(seed=seed)
        given = checked_options(options, ("index", "attempt_offset"))
        index = whole(given["index"], "index") if "index" in given else self.setup.draw(self.np_random)
        self._episode = self.setup.start(index, whole(given.get("attempt_offset", 0), "attempt_offset"))
        self._index = index
        return rules.observe(self._episode), rules.describe(self._episode, index)

    def step(self, action: str) -> tuple[Conversation, float, bool, bool, dict[str, Any]]:
        """Add a segment to the completion, and the environment's reply if it ends a turn.

        Raises EnvError if there is no open episode, or for an action that is not a text.
        """
        episode = self.episode
        self.setup.extend([episode], [checked_action(action, self.action_space)])
        self.setup.settle([episode])
        return (
            rules.observe(episode),
            episode.reward,
            episode.terminated,
            episode.truncated,
            rules.describe(episode, self._index),
        )

    def render(self) -> str | None:
        """Return the conversation as text in the render mode `ansi`."""
        return rendered(self.episode) if self.render_mode == "ansi" else None

    @property
    def episode(self) -> Episode:
        """The record of the current episode. Raises EnvError before the first reset."""
        if self._episode is None:
            raise EnvError("the environment has no episode yet; call reset first")
        return self._episode

    @property
    def problem(self) -> Problem:
        """The problem of the current episode, with its gold answer."""
        return self.episode.problem

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


# --- checks of what the user gives, shared with the vector environment ------------------------------------------------


def checked_render_mode(mode: str | None) -> str | None:
    """Return the mode. Raises UnknownName for an unknown mode."""
    if mode is not None and mode not in RENDER_MODES:
        raise UnknownName.near("render mode", str(mode), RENDER_MODES)
    return mode


def checked_options(options: Mapping[str, Any] | None, known: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of a reset. Raises UnknownName for one that does not exist."""
    given = dict(options or {})
    for name in given.keys() - set(known):
        raise UnknownName.near("option of reset", name, known)
    return given


def whole(value: Any, name: str) -> int:
    """Return a whole number of 0 or more, also NumPy's, as an int. Raises ConfigError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ConfigError(f"{name}={value!r} has to be a whole number, 0 or more")
    if value > LARGEST:
        raise ConfigError(f"{name}={value} is above {LARGEST}, the largest number of an array")
    return int(value)


def checked_action(action: Any, space: gymnasium.Space[str]) -> str:
    """Return the action. Raises EnvError if it is not a text, or too long."""
    if action not in space:
        what = f"a text of {len(action)} characters" if isinstance(action, str) else repr(type(action))
        raise EnvError(f"the action is {what}; it has to be a str or Segment in {space}")
    return cast(str, action)


def rendered(episode: Episode) -> str:
    """Return the conversation with its roles, followed by verdict and reward."""
    lines = [f"[{message.role}] {message.content}" for message in rules.observe(episode)]
    if episode.verdict is not None:
        lines.append(f"({episode.verdict.label}, reward {episode.reward:g})")
    return "\n".join(lines)
