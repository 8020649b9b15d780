"""The verifier `verifiers`: the rubric of an environment of the package verifiers, in a process that can be killed.

The reward is divided by the sum of the rubric's positive weights and kept within 0 and 1, as scores are:

    1                correct
    from 0 to 1      wrong, with the score as `partial`, which is the reward

Where verifiers itself would count a reward function that raises an error as 0, the completion is unscored.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, NoReturn

from kgym.answers import conclusion
from kgym.errors import ConfigError
from kgym.options import Options
from kgym.types import Verdict, VerifyItem
from kgym_envs.verifiers import loaded

FULL = 1 - 1e-9


class _Raises(logging.Handler):
    """Raises what a rubric would log and count as 0."""

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
        return [judge(item.gold, item.response) for item in items]


def judge(gold: str, response: str) -> Verdict:
    """Return the verdict on one response. Raises DataError for a gold answer that belongs to no row."""
    if conclusion(response).open or not response.strip():
        return Verdict("no_answer", "open" if response.strip() else "empty")
    record = loaded.Record.read(gold)
    env = loaded.environment(record.environment, record.args)
    row = record.row()
    # the whole gold answer is what the checks of environments write
    texts = _written(env.parser, record.answer) if response.strip() == gold.strip() else [response]
    score = max(_score(env, row, text) for text in texts)
    if score >= FULL:
        return Verdict("correct", record.environment)
    return Verdict("wrong", record.environment, partial=score)


def _written(parser: Any, answer: str) -> list[str]:
    """Return the gold answer in the forms that a rubric may read, for the checks of environments, which write it as
    it is.
    """
    forms = [answer, f"\\boxed{{{answer}}}"]
    fields: list[str] = getattr(parser, "get_fields", list)()
    if fields:
        forms.append(parser.format(**dict.fromkeys(fields, answer)))
    return forms


def _score(env: Any, row: dict[str, Any], text: str) -> float:
    """Return the reward of a completion within 0 and 1."""
    from verifiers.types import State, flatten_task_input  # noqa: PLC0415  (heavy, and optional)
    from verifiers.utils.message_utils import normalize_messages  # noqa: PLC0415

    task = flatten_task_input(row)
    state = State(input=task)
    state["task"] = task
    state["prompt"] = normalize_messages(row["prompt"], field_name="prompt")
    state["completion"] = normalize_messages([{"role": "assistant", "content": text}], field_name="completion")
    state |= {
        "trajectory": [],
        "is_completed": True,
        "is_truncated": False,
        "tool_defs": [],
        "error": None,
        "reward": None,
        "metrics": None,
    }
    handler, log = _Raises(logging.ERROR), logging.getLogger("verifiers.rubrics")
    log.addHandler(handler)
    try:
        asyncio.run(env.rubric.score_rollout(state))
    finally:
        log.removeHandler(handler)
    full = sum(weight for weight in env.rubric._get_reward_weights() if weight > 0) or 1.0
    return min(1.0, max(0.0, float(state["reward"]) / full))
