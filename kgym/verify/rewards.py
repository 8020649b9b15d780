"""A kgym verifier as the reward function of other trainers. Each has the signature that its trainer calls.

    TRL         GRPOTrainer(reward_funcs=trl_reward(), ...)                   a data set with a column `answer`, `solution` or `gold`
    verl        custom_reward_function.path=.../kgym/verify/rewards.py        and custom_reward_function.name=compute_score
    verifiers   vf.Rubric(funcs=[verifiers_reward()])                         the data set's `answer`; versions before 0.4
                class MyTask(vf.Task[MyData]): correct = vf.reward(verifiers_task_reward())     the row's `answer`; 0.4 and later

An unscored answer (a timeout, a crash of the verifier) is no 0 where the trainer knows better: None for TRL, which leaves it out. verl and
verifiers know only numbers; there it is 0 with `unscored` beside it, so that it can be counted and filtered.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from kgym.types import Verdict, Verifier, VerifyItem
from kgym.verify.one import DEFAULT
from kgym.verify.pool import VerifierPool
from kgym.verify.service import load_verifier

log = logging.getLogger(__name__)

_GOLD_COLUMNS = ("answer", "solution", "gold", "ground_truth", "target")


def trl_reward(verifier: str = DEFAULT, *, gold: str | None = None, **options: Any) -> Callable[..., list[float | None]]:
    """Return a reward function for TRL's `reward_funcs`.

    `gold` names the column of gold answers; without it the first of answer, solution, gold, ground_truth and target that the data set has.
    """
    judge = load_verifier(verifier, options)

    def kgym_reward(completions: Sequence[Any], prompts: Sequence[Any] | None = None, **columns: Any) -> list[float | None]:
        """Return 1.0, 0.0 or None (unscored) for each completion; completions are texts or lists of messages."""
        name = gold or next((column for column in _GOLD_COLUMNS if column in columns), None)
        if name is None or name not in columns:
            raise ValueError(
                f"no column of gold answers: the data set gives {', '.join(columns) or 'none'}; name it by trl_reward(gold=...)"
            )
        questions = [text_of(prompt) for prompt in prompts] if prompts is not None else [""] * len(completions)
        items = [VerifyItem(str(g), text_of(c), q) for g, c, q in zip(columns[name], completions, questions, strict=True)]
        return [verdict.score if verdict.scored else None for verdict in judge.verify_many(items)]

    return kgym_reward


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    reward_router_address: Any = None,
    reward_model_tokenizer: Any = None,
    **options: Any,
) -> dict[str, Any]:
    """verl's custom reward function: `score` is the reward, the rest is logged beside it.

    `options` are the verifier's, from `custom_reward_function.reward_kwargs`; `verifier` among them names another one. The address and
    the tokenizer of a reward model, which verl's reward loop passes along, are not needed.
    """
    return compute_score_batch([data_source], [solution_str], [ground_truth], [extra_info], **options)[0]


def compute_score_batch(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Mapping[str, Any] | None] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """The same for verl's batch reward manager: all answers at once, judged by all workers of the pool."""
    name = str(options.pop("verifier", DEFAULT))
    infos = extra_infos if extra_infos is not None else [None] * len(solution_strs)
    questions = [str((info or {}).get("question") or "") for info in infos]
    items = [VerifyItem(_gold_of(gold), text, q) for gold, text, q in zip(ground_truths, solution_strs, questions, strict=True)]
    return [_scored(verdict) for verdict in load_verifier(name, options).verify_many(items)]


def _scored(verdict: Verdict) -> dict[str, Any]:
    return {
        "score": verdict.score if verdict.scored else 0.0,
        "acc": 1.0 if verdict.status == "correct" else 0.0,
        "unscored": 0.0 if verdict.scored else 1.0,
        "pred": verdict.answer or "",
    }


def verifiers_reward(verifier: str = DEFAULT, **options: Any) -> Callable[..., Awaitable[float]]:
    """Return a reward function for a `Rubric` of verifiers."""
    judge = load_verifier(verifier, options)

    async def correct_answer(completion: Any, answer: Any, state: Any = None, **_: Any) -> float:
        """Return 1.0 or 0.0; `state["kgym_verdict"]` says more, also if the answer is unscored."""
        (verdict,) = await _verify_async(judge, [VerifyItem(_gold_of(answer), text_of(completion))])
        if isinstance(state, dict):
            state["kgym_verdict"] = verdict.label
        return _number(verdict)

    return correct_answer


def verifiers_task_reward(verifier: str = DEFAULT, *, gold: str = "answer", **options: Any) -> Callable[..., Awaitable[float]]:
    """Return a reward for a `Task` of verifiers 0.4 and later: a method (`correct = vf.reward(verifiers_task_reward())`) or a function
    that its configuration names. `gold` is the field of the row that holds the gold answer.
    """
    judge = load_verifier(verifier, options)

    async def kgym_reward(task: Any, trace: Any) -> float:
        """Return 1.0 or 0.0 for the last reply; `trace.info["kgym_verdict"]` says more, also if the answer is unscored."""
        row = getattr(task, "data", task)  # as a method it is bound to the task, as a function it is given the task's row
        item = VerifyItem(_gold_of(getattr(row, gold)), trace.last_reply, text_of(getattr(row, "prompt", None) or ""))
        (verdict,) = await _verify_async(judge, [item])
        trace.info["kgym_verdict"] = verdict.label
        return _number(verdict)

    return kgym_reward


def _number(verdict: Verdict) -> float:
    if not verdict.scored:
        log.warning("unscored:%s counts as 0: verifiers knows only numbers", verdict.reason)
        return 0.0
    return verdict.score


async def _verify_async(judge: Verifier, items: list[VerifyItem]) -> list[Verdict]:
    return await judge.verify_many_async(items) if isinstance(judge, VerifierPool) else judge.verify_many(items)


def _gold_of(value: Any) -> str:
    """Some data sets keep the gold answer in a list of one."""
    return str(value[0]) if isinstance(value, list | tuple) and len(value) == 1 else str(value)


def text_of(completion: Any) -> str:
    """The text of a completion: itself, or the content of its last message, whose parts may be listed."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Mapping):
        return text_of(completion.get("content") or "")
    if isinstance(completion, Sequence) and completion:
        if all(isinstance(part, Mapping) and "text" in part for part in completion):
            return "".join(str(part["text"]) for part in completion)
        return text_of(completion[-1])
    return ""
