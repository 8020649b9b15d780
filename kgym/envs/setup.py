"""The parts of an environment that all its episodes share: the task, its problems, the budgets and the verifier.

    setup = EnvSetup("aime", split="validation", max_tokens=512, difficulty=3)
    episode = setup.start(index=17, attempt=0)

Settings that are not in `EnvOptions` go to the task as its options.
"""

import hashlib
import json
import reprlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
from pydantic import ConfigDict, Field, field_validator

from kgym.blame import blame, blaming
from kgym.envs import rules
from kgym.envs.responding import replies
from kgym.envs.rules import Budgets, Truncated
from kgym.envs.task import Responds, Task
from kgym.errors import ComponentError, ConfigError, PluginError, UnknownName
from kgym.hookspecs import EnvInfo
from kgym.limits import PoolLimits
from kgym.options import Options, json_values, validated
from kgym.registry import registry
from kgym.types import Chat, Episode, Message, Problem, ProblemSource
from kgym.verify.service import load_verifier

ENDLESS = 1 << 40
"""Random indices of an endless source are below this, so that two draws of a run practically never coincide."""

QUESTION = "{question}"
"""The place of the question in a template; other braces belong to the template, as in `\\boxed{}`."""

PLACEHOLDER = Problem(id="kgym/placeholder", question="QUESTION", gold="GOLD", level=1, subject="SUBJECT")
"""A problem whose prompt represents the prompt template."""


class EnvOptions(Options):
    """Options that every environment takes."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # split=2024

    split: str = Field("train", min_length=1)
    """Split of the problems: `train`, `validation` or another split of the environment."""
    max_tokens: int | None = Field(None, ge=1)
    """Token budget of a completion, its end token included; by default the environment's own. It counts the tokens that
    the policy samples, in all of its turns.
    """
    context_tokens: int | None = Field(None, ge=1)
    """Token budget of the prompt and the completion together, including the replies of the environment. Default: none.
    """
    max_segments: int | None = Field(None, ge=1)
    """Segments that a completion may have; by default as many as the tokens allow."""
    max_turns: int | None = Field(None, ge=1)
    """Turns of the policy in an environment that replies, such as one with tools; by default the environment's own
    number. A completion that would need another turn is truncated.
    """
    truncated: Truncated = "zero"
    """How completions that a budget ended count. `zero`: reward 0 and the verdict `wrong` with the reason `truncated`,
    without the verifier. `score`: the verifier judges the text so far. `mask`: as `zero`, and left out of the loss; the
    other completions of the problem are still compared with it.
    """
    prompt: str | None = None
    """Template of the user's message instead of the environment's own prompt, with `{question}` at the place of the
    question.
    """
    system: str | None = None
    """System message before the prompt; by default the environment's own, if it has one."""
    verifier: str | None = Field(None, min_length=1)
    """Verifier instead of the environment's own."""
    verifier_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the verifier."""
    verifier_limits: PoolLimits = PoolLimits()
    """Limits of the verifier's worker processes: `deadline_s`, `memory_gib`, `workers`, `recycle_after`."""

    @field_validator("prompt")
    @classmethod
    def _has_a_place_for_the_question(cls, prompt: str | None) -> str | None:
        if prompt is not None and prompt.count(QUESTION) != 1:
            raise ValueError(
                f"the template {prompt[:60]!r} has {QUESTION} {prompt.count(QUESTION)} times; write it where the "
                "question goes"
            )
        return prompt


class EnvSetup:
    """An environment without its episodes.

    Raises UnknownName for an environment, split, verifier or setting that does not exist, ConfigError for a value that
    a setting does not take, and MissingData, with the command that gets them, for a split whose data the user has to
    add.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self._name, self._settings = name, dict(settings)
        self.info = env_info(name)
        common, own = split_settings(name, settings)
        self.options = validated(EnvOptions, common, registry().key("environment", name))
        self.task = make_task(name, own)
        splits = splits_of(self.task)
        with blaming(EnvInfo.kind, self.task):
            default_max_tokens = self.task.max_tokens
        if self.options.split not in splits:
            raise UnknownName.near(f"split of {self.info.id}", self.options.split, splits)
        self.source: ProblemSource = source_of(self.task, self.options.split)
        self.verifier_name = self.options.verifier or verifier_of(self.task, self.options.split)
        self.verifier = load_verifier(
            self.verifier_name, self.options.verifier_options, limits=self.options.verifier_limits
        )
        self.budgets = Budgets(
            max_tokens=self.options.max_tokens or default_max_tokens,
            context_tokens=self.options.context_tokens,
            max_segments=self.options.max_segments,
            max_turns=self._max_turns(),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by name and settings, since the worker processes of a verifier cannot be copied."""
        return EnvSetup, (self._name, self._settings)

    def _max_turns(self) -> int | None:
        """Return the number of turns; None if the environment does not reply."""
        if isinstance(self.task, Responds):
            with blaming(EnvInfo.kind, self.task):
                return self.options.max_turns or self.task.max_turns
        if self.options.max_turns is not None:
            raise ConfigError(
                f"env.max_turns={self.options.max_turns}: {self.info.id} does not reply, so a completion has one turn; "
                "leave it out"
            )
        return None

    @property
    def responder(self) -> Responds | None:
        """The task, if it replies to turns of the policy."""
        return self.task if isinstance(self.task, Responds) else None

    def draw(self, rng: np.random.Generator) -> int:
        """Return the index of a random problem. Raises ConfigError if the split has none."""
        if self.source.size == 0:
            raise ConfigError(f"split {self.options.split!r} of {self.info.id} has no problems")
        return int(rng.integers(self.source.size or ENDLESS))

    def start(self, index: int, attempt: int) -> Episode:
        """Return an attempt at the problem at `index`, without a segment. Raises ConfigError for an index beyond the
        split.
        """
        return self.attempt(self.problem(index), attempt)

    def attempt(self, problem: Problem, attempt: int) -> Episode:
        """Return an attempt at a problem, without a segment."""
        return Episode(problem=problem, attempt=attempt, prompt=self.prompt(problem))

    def prompt(self, problem: Problem) -> Chat:
        """Return the conversation that the policy continues: the task's, or that of the options."""
        chat = prompt_of(self.task, problem)
        if self.options.prompt is not None:
            chat = (*_system_of(chat), Message("user", self.options.prompt.replace(QUESTION, problem.question)))
        if self.options.system is not None:
            chat = (Message("system", self.options.system), *chat[len(_system_of(chat)) :])
        return chat

    def problem(self, index: int) -> Problem:
        """Return the problem at `index`. Raises ConfigError if the split has no such problem."""
        size = self.source.size
        if index < 0 or (size is not None and index >= size):
            wanted = "from 0 on" if size is None else f"0 to {size - 1}"
            raise ConfigError(f"index={index}: split {self.options.split!r} of {self.info.id} has problems {wanted}")
        return self.source[index]

    def extend(self, episodes: Sequence[Episode], actions: Sequence[str]) -> None:
        """Add a segment to each episode, and the environment's reply where a turn has ended; see `rules`."""
        for episode, action in zip(episodes, actions, strict=True):
            rules.extend(episode, action, self.budgets)
        waiting = [episode for episode in episodes if rules.awaits_reply(episode)]
        if waiting and self.responder is not None:
            for episode, said in zip(waiting, replies(self.responder, waiting), strict=True):
                rules.reply(episode, said, self.budgets)

    def settle(self, episodes: Sequence[Episode]) -> None:
        """Give the episodes that have just ended their verdict and reward."""
        ended = [episode for episode in episodes if rules.ended(episode) and episode.verdict is None]
        rules.settle(ended, self.options.truncated, self.verifier)

    @cached_property
    def prompt_sha256(self) -> str:
        """sha256 of the prompt of a placeholder, which changes with the template and not with the problems."""
        chat = self.prompt(PLACEHOLDER)
        return hashlib.sha256(json.dumps([list(message) for message in chat]).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """Return what a score depends on, in addition to the policy and its sampling, as plain JSON values.

        One: {"env_id": "kgym/aime-v1", "split": "validation", "data_sha256": "8d1f...", "prompt_sha256": "03b7...",
        "verifier": "integer", "verifier_options": {}, "max_tokens": 256, "context_tokens": None, "max_segments": None,
        "truncated": "zero"}. A verifier that judges by a model adds the model's fingerprint: "verifier_fingerprints":
        {"model": "51c9..."}.
        """
        options = registry().options("verifier", self.verifier_name, self.options.verifier_options)
        return (
            {
                "env_id": self.info.id,
                "split": self.options.split,
                "data_sha256": self.source.fingerprint,
                "prompt_sha256": self.prompt_sha256,
                "verifier": self.verifier_name,
                "verifier_options": json_values(options),
                "max_tokens": self.budgets.max_tokens,
                "context_tokens": self.budgets.context_tokens,
                "max_segments": self.budgets.max_segments,
                "truncated": self.options.truncated,
            }
            | ({} if self.budgets.max_turns is None else {"max_turns": self.budgets.max_turns})
            | ({"verifier_fingerprints": fingerprints} if (fingerprints := options.fingerprints()) else {})
        )


def _system_of(chat: Chat) -> Chat:
    """Return the system message that a conversation begins with, () if it has none."""
    return chat[:1] if chat and chat[0].role == "system" else ()


def env_info(name: str) -> EnvInfo:
    """Return the record of an environment by its short name (the newest version), its id, or its name in a family."""
    return registry().info(EnvInfo, name)


def make_task(name: str, options: Mapping[str, Any] | None = None) -> Task:
    """Return the task of an environment. Raises UnknownName for an unknown name or option, ConfigError for a value that
    an option does not take.
    """
    return cast(Task, registry().create("environment", name, options))


def verifier_of(task: Task, split: str) -> str:
    """Return the name of the verifier that judges a split by default. Raises ComponentError if the task has none for
    it.
    """
    with blaming(EnvInfo.kind, task):
        if isinstance(task.verifier, str):
            return task.verifier
        if split not in task.verifier:
            raise ComponentError(f"verifier has no entry for the split {split!r}; give one for each split")
        return task.verifier[split]


def splits_of(task: Task) -> tuple[str, ...]:
    """Return the names of a task's splits. Raises ComponentError if they are not names."""
    with blaming(EnvInfo.kind, task):
        splits: Any = task.splits
        if isinstance(splits, str) or not splits or not all(isinstance(split, str) for split in splits):
            raise ComponentError(f"splits are {reprlib.repr(splits)}; they have to be a tuple of names")
        return tuple(splits)


def source_of(task: Task, split: str) -> ProblemSource:
    """Return the problems of a split; their errors name the environment."""
    with blaming(EnvInfo.kind, task):
        return _Source(task, task.source(split))


def prompt_of(task: Task, problem: Problem) -> Chat:
    """Return the task's prompt: the conversation that the policy continues. Raises ComponentError if it is not one."""
    with blaming(EnvInfo.kind, task, problem=problem.id):
        chat = task.prompt(problem)
        if not chat or not all(isinstance(message, Message) for message in chat):
            raise ComponentError(f"prompt returned {reprlib.repr(chat)}; it has to be a tuple of Messages")
        return tuple(chat)


class _Source:
    """The problems of a task; their errors begin with the name of the environment."""

    def __init__(self, task: Task, source: ProblemSource) -> None:
        self._task, self._source = task, source

    @property
    def size(self) -> int | None:
        with blaming(EnvInfo.kind, self._task):
            return self._source.size

    @property
    def fingerprint(self) -> str:
        with blaming(EnvInfo.kind, self._task):
            return self._source.fingerprint

    def __getitem__(self, index: int) -> Problem:
        try:
            problem: object = self._source[index]
        except IndexError:  # the end of the source
            raise
        except Exception as error:  # third-party code
            blame(EnvInfo.kind, self._task, error, problem=f"number {index}")
        if not isinstance(problem, Problem):
            wrong = ComponentError(f"its source returned {reprlib.repr(problem)} instead of a Problem")
            blame(EnvInfo.kind, self._task, wrong, problem=f"number {index}")
        return problem

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def split_settings(name: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings that every environment takes and those of its task.

    Raises UnknownName for a setting that is neither, PluginError if an option of the task has the name of a setting of
    every environment.
    """
    common, own = EnvOptions.model_fields, registry().options_model("environment", name).model_fields
    if both := sorted(common.keys() & own.keys()):
        raise PluginError(
            f"environment {name!r} has an option {both[0]!r}, which every environment has already; give it another name"
        )
    key = registry().key("environment", name)
    for unknown in settings.keys() - common.keys() - own.keys():
        raise UnknownName.near("key", f"{key}.{unknown}", [f"{key}.{known}" for known in (*common, *own)])
    return {k: v for k, v in settings.items() if k in common}, {k: v for k, v in settings.items() if k in own}
