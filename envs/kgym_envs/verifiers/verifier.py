"""The verifier `verifiers`: the rubric of an environment of the package verifiers, in a process that can be killed.

The reward is divided by the sum of the rubric's positive weights and clipped to [0, 1], the range of scores:

    1                correct
    from 0 to 1      wrong, with the score as `partial`, which is the reward

If a reward function raises an error, which verifiers itself counts as 0, the completion is unscored.
"""

import logging
from collections.abc import Sequence
from typing import Any, NoReturn

from kgym.answers import conclusion
from kgym.errors import ConfigError, DataError
from kgym.options import Options
from kgym.types import Verdict, VerifyItem
from kgym_envs.verifiers import loaded
from kgym_envs.verifiers.episode import UNLIKE, play, wait

FULL = 1 - 1e-9


class _Raises(logging.Handler):
    """Raises the errors that a rubric logs and counts as 0."""

    def emit(self, record: logging.LogRecord) -> NoReturn:
        raise ConfigError(record.getMessage())


class VerifiersRubric:
    """Follows `kgym.types.Verifier`."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @classmethod
    def preload(cls) -> None:
        """Load the package once, before workers are forked."""
        loaded.load_package()

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Return one verdict for each item."""
        return [judge(item) for item in items]


def judge(item: VerifyItem) -> Verdict:
    """Return the verdict on one episode, which is played again. Raises DataError for a gold answer that belongs to no
    row, and if the episode does not take the same course; and as `play` does.
    """
    said = [turn.content for turn in item.turns if turn.role == "assistant"] + [item.response]
    if all(conclusion(turn).open or not turn.strip() for turn in said):
        return Verdict("no_answer", "open" if item.response.strip() else "empty")
    record = loaded.Record.read(item.gold)
    env = loaded.environment(record.environment, record.args)
    # the whole gold answer is what the checks of environments write
    gold = item.response.strip() == item.gold.strip()
    episodes = [[text] for text in _written(env.parser, record.answer)] if gold else [said]
    replies = [turn.content for turn in item.turns if turn.role != "assistant"]
    score = max(_score(env, record, turns, replies) for turns in episodes)
    if score >= FULL:
        return Verdict("correct", record.environment)
    return Verdict("wrong", record.environment, partial=score)


def _written(parser: Any, answer: str) -> list[str]:
    """Return the gold answer in the forms that a rubric may read, for the checks of environments, which write it
    unchanged.
    """
    forms = [answer, f"\\boxed{{{answer}}}"]
    fields: list[str] = getattr(parser, "get_fields", list)()
    if fields:
        forms.append(parser.format(**dict.fromkeys(fields, answer)))
    return forms


def _score(env: Any, record: loaded.Record, turns: Sequence[str], replies: Sequence[str]) -> float:
    """Return the reward of an episode, from 0 to 1."""
    played = play(record, turns)
    if not played.follows(replies):
        raise DataError(UNLIKE)
    handler, log = _Raises(logging.ERROR), logging.getLogger("verifiers.rubrics")
    log.addHandler(handler)
    try:
        wait(env.rubric.score_rollout(played.state))
    finally:
        log.removeHandler(handler)
    full = sum(weight for weight in env.rubric._get_reward_weights() if weight > 0) or 1.0
    return min(1.0, max(0.0, float(played.state["reward"]) / full))
