"""kgym's environments and verifiers in other frameworks. Users of the frameworks import these functions, and so do the
files that `kgym envs export` writes.

    TRL         GRPOTrainer(reward_funcs=kgym_reward, train_dataset=as_dataset("aime", limit=1000), ...)
    verl        custom_reward_function.path=DIR/kgym_reward.py and custom_reward_function.name=compute_score
    verifiers   vf.Rubric(funcs=[verifiers_reward()])                      before 0.4; gold: `answer` of the data set
                in class MyTask(vf.Task[MyData]):                          0.4 and later; gold: `answer` of the row
                    correct = vf.reward(verifiers_task_reward())
    others      judge_rows(rows, completions)                              for lm-evaluation-harness and inspect-ai

A row of `export_rows` has its gold answer and, in the column `kgym`, how kgym judges it: verifier, options, rule for
truncated completions. Functions that find this column judge by it, so that the verdict is kgym's own.

A completion that cannot be judged (a timeout, a crash of the verifier) is unscored, which is not 0. For TRL it is None,
and TRL leaves it out. verl and verifiers take only numbers; for them it is 0 with a separate figure `unscored`, so that
it can be counted and filtered.
"""

import functools
import importlib.metadata
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kgym.envs.rules import CUT
from kgym.envs.setup import EnvSetup
from kgym.envs.spec import EnvSpec
from kgym.errors import ComponentError, ConfigError
from kgym.limits import PoolLimits
from kgym.seeding import derive_seed
from kgym.types import LoadedVerifier, Verdict, Verifier, VerifyItem
from kgym.verify.one import DEFAULT
from kgym.verify.pool import VerifierPool
from kgym.verify.service import load_verifier

if TYPE_CHECKING:
    from datasets import Dataset

log = logging.getLogger(__name__)

RECORD = "kgym"
"""The column that says how kgym judges a row, as JSON."""

_GOLD_COLUMNS = ("answer", "solution", "gold", "ground_truth", "target")


# --- the problems of an environment


def export_rows(
    env: str | EnvSpec, split: str = "train", *, limit: int | None = None, **settings: Any
) -> list[dict[str, Any]]:
    """Return the first problems of a split as rows of plain values; `settings` are those of `kgym.make`.

    One: {"id": "aime/train/gcd/d2/17", "index": 17, "seed": 8121, "prompt": [{"role": "user", "content": "..."}],
    "question": "...", "answer": "12", "solution": "...", "level": 2, "subject": "number theory", "year": 0, "kgym":
    "{...}"}. `seed` is that of the first attempt in `kgym eval --seed 0`.

    Raises ConfigError for an endless split without a limit, and what making the environment raises.

    >>> row, = export_rows("arithmetic", "validation", limit=1)
    >>> row["answer"], json.loads(row["kgym"])["verifier"]
    ('50', 'integer')
    """
    spec = env if isinstance(env, EnvSpec) else EnvSpec(env, split, settings)
    setup = spec.setup()
    record = json.dumps(_record(spec, setup), ensure_ascii=False, sort_keys=True)
    return [_row(setup, index, record) for index in range(_count(setup, limit))]


def as_dataset(env: str | EnvSpec, split: str = "train", *, limit: int | None = None, **settings: Any) -> "Dataset":
    """Return `export_rows` as a Hugging Face data set, for TRL and everything else that takes one.

    Raises ConfigError without the package `datasets`, and what `export_rows` raises.
    """
    try:
        from datasets import Dataset  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise ConfigError("as_dataset needs datasets, which is not installed: pip install datasets") from error
    return Dataset.from_list(export_rows(env, split, limit=limit, **settings))


def _count(setup: EnvSetup, limit: int | None) -> int:
    """Return the number of problems to export."""
    if limit is not None and limit < 1:
        raise ConfigError(f"limit={limit}: export 1 problem or more")
    size = setup.source.size
    if size is None:
        if limit is None:
            where = f"the split {setup.options.split!r} of {setup.info.id}"
            raise ConfigError(f"{where} is endless; say how many problems to export: --limit N, in Python limit=N")
        return limit
    if size == 0:
        raise ConfigError(f"the split {setup.options.split!r} of {setup.info.id} has no problems")
    return size if limit is None else min(limit, size)


def _record(spec: EnvSpec, setup: EnvSetup) -> dict[str, Any]:
    """Return what scoring depends on, as in `EnvSetup.facts`, with the settings of the environment and kgym's
    version.
    """
    return {**setup.facts(), "settings": dict(spec.settings), "kgym_version": importlib.metadata.version("kgym")}


def _row(setup: EnvSetup, index: int, record: str) -> dict[str, Any]:
    problem = setup.problem(index)
    return {
        "id": problem.id,
        "index": index,
        "seed": derive_seed(0, "eval", problem.id, 0),
        "prompt": [message._asdict() for message in setup.prompt(problem)],
        "question": problem.question,
        "answer": problem.gold,
        "solution": problem.solution,
        "level": problem.level,
        "subject": problem.subject,
        "year": problem.year,
        RECORD: record,
    }


def checked_files(files: object) -> Mapping[str, str | bytes]:
    """Return the files of a bridge. Raises ComponentError for anything other than texts or bytes by plain names."""
    if not isinstance(files, Mapping) or not files:
        raise ComponentError(f"it returned {files!r:.60}; it has to return the content of each file by its name")
    for name, content in files.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name):
            raise ComponentError(f"{name!r} is not the name of a file: letters, digits, '_', '.' and '-'")
        if not isinstance(content, str | bytes):
            raise ComponentError(f"the content of {name} is {type(content).__name__}; it has to be a text or bytes")
    return files


# --- verdicts


def judge_rows(
    rows: Sequence[Mapping[str, Any]], completions: Sequence[str], *, truncated: Sequence[bool] | None = None
) -> list[Verdict]:
    """Return kgym's verdict on a completion for each row of `export_rows`; the same row may be given more than once.

    `truncated` says which completions a token budget ended. As in the environment, these are wrong without being
    judged, unless its setting `truncated` is `score`. Raises ConfigError for a row without the column `kgym`,
    UnknownName for a verifier that is not installed here.

    >>> rows = export_rows("arithmetic", "validation", limit=1)
    >>> [verdict.status for verdict in judge_rows(rows * 2, [r"So it is \\boxed{50}.", "no idea"])]
    ['correct', 'no_answer']
    """
    cut = truncated if truncated is not None else [False] * len(completions)
    verdicts: dict[int, Verdict] = {}
    waiting: dict[str, list[tuple[int, VerifyItem]]] = {}
    for place, (row, text, ended) in enumerate(zip(rows, completions, cut, strict=True)):
        record = _record_of(row)
        if ended and _judge(record)[1] != "score":
            verdicts[place] = CUT
        else:
            item = VerifyItem(str(row["answer"]), text, str(row.get("question") or ""), str(row.get("id") or ""))
            waiting.setdefault(record, []).append((place, item))
    for record, items in waiting.items():
        verdicts.update(
            zip((place for place, _ in items), _judged(_judge(record)[0], [item for _, item in items]), strict=True)
        )
    return [verdicts[place] for place in range(len(rows))]


def _judged(verifier: LoadedVerifier, items: Sequence[VerifyItem]) -> list[Verdict]:
    """Judge items. Frameworks that ask about one completion at a time do so from several threads, which `submit` allows
    for every verifier.
    """
    return [verifier.submit(items[0]).result()] if len(items) == 1 else verifier.verify_many(items)


def _record_of(row: Mapping[str, Any]) -> str:
    if not isinstance(record := row.get(RECORD), str):
        raise ConfigError(
            f"a row has no column {RECORD!r}, which says how kgym judges it; export the environment again"
        )
    return record


@functools.lru_cache(maxsize=64)
def _judge(record: str) -> tuple[LoadedVerifier, str]:
    """Return the verifier that a record names, and its rule for truncated completions."""
    facts = json.loads(record)
    here = importlib.metadata.version("kgym")
    if facts["kgym_version"] != here:
        log.warning(
            "the data were exported by kgym %s and are judged by kgym %s: verdicts may differ",
            facts["kgym_version"],
            here,
        )
    limits = PoolLimits(**facts["settings"].get("verifier_limits", {}))
    return load_verifier(facts["verifier"], facts["verifier_options"], limits=limits), facts["truncated"]


# --- TRL


def trl_reward(
    verifier: str | None = None, *, gold: str | None = None, **options: Any
) -> Callable[..., list[float | None]]:
    """Return a reward function for TRL's `reward_funcs`.

    Rows of `export_rows` are judged as in their environment. For other data, or if a verifier is named, `gold` is the
    name of the column of gold answers; by default the first of answer, solution, gold, ground_truth and target that the
    data set has. The verifier is then `math` by default.
    """
    if verifier is None and (gold is not None or options):
        verifier = DEFAULT
    if verifier is not None:
        load_verifier(verifier, options)  # a mistake is reported at once

    def kgym_reward(
        completions: Sequence[Any], prompts: Sequence[Any] | None = None, **columns: Any
    ) -> list[float | None]:
        """Return the score of each completion, such as 1.0 or 0.0; None if it is unscored. A completion is a text or a
        list of messages.
        """
        texts = [text_of(completion) for completion in completions]
        if verifier is None and RECORD in columns:
            known = [name for name in ("id", "question", "answer", RECORD) if name in columns]
            rows = [
                dict(zip(known, values, strict=True)) for values in zip(*(columns[name] for name in known), strict=True)
            ]
            return [_score_or_none(verdict) for verdict in judge_rows(rows, texts)]
        name = gold or next((column for column in _GOLD_COLUMNS if column in columns), None)
        if name is None or name not in columns:
            raise ValueError(
                f"no column of gold answers: the data set has {', '.join(columns) or 'none'}; name it with "
                "trl_reward(gold=...)"
            )
        questions = [text_of(prompt) for prompt in prompts] if prompts is not None else [""] * len(completions)
        items = [VerifyItem(str(g), text, q) for g, text, q in zip(columns[name], texts, questions, strict=True)]
        return [_score_or_none(verdict) for verdict in load_verifier(verifier or DEFAULT, options).verify_many(items)]

    return kgym_reward


kgym_reward = trl_reward()
"""The reward function for rows of `export_rows`: `trl grpo --reward_funcs kgym.bridges.kgym_reward`."""


def _score_or_none(verdict: Verdict) -> float | None:
    return verdict.score if verdict.scored else None


# --- verl


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
    """verl's custom reward function: `score` is the reward, the other values are logged.

    Rows that `kgym envs export --to verl` wrote are judged as in their environment. `options` are the verifier's, from
    `custom_reward_function.reward_kwargs`; `verifier` among them names another verifier. verl's reward loop also passes
    the address and the tokenizer of a reward model, which are not used.
    """
    return compute_score_batch([data_source], [solution_str], [ground_truth], [extra_info], **options)[0]


def compute_score_batch(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Mapping[str, Any] | None] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """The same for verl's batch reward manager: all completions at once, judged by all workers of the pool."""
    infos = [info or {} for info in (extra_infos if extra_infos is not None else [None] * len(solution_strs))]
    golds = [_gold_of(gold) for gold in ground_truths]
    if not options and infos and all(RECORD in info for info in infos):
        rows = [{**info, "answer": gold} for info, gold in zip(infos, golds, strict=True)]
        return [_scored(verdict) for verdict in judge_rows(rows, solution_strs)]
    name = str(options.pop("verifier", DEFAULT))
    questions = [str(info.get("question") or "") for info in infos]
    items = [VerifyItem(gold, text, q) for gold, text, q in zip(golds, solution_strs, questions, strict=True)]
    return [_scored(verdict) for verdict in load_verifier(name, options).verify_many(items)]


def _scored(verdict: Verdict) -> dict[str, Any]:
    return {
        "score": verdict.score if verdict.scored else 0.0,
        "acc": 1.0 if verdict.status == "correct" else 0.0,
        "unscored": 0.0 if verdict.scored else 1.0,
        "pred": verdict.answer or "",
    }


# --- verifiers


def verifiers_reward(verifier: str = DEFAULT, **options: Any) -> Callable[..., Awaitable[float]]:
    """Return a reward function for a `Rubric` of verifiers."""
    judge = load_verifier(verifier, options)

    async def correct_answer(completion: Any, answer: Any, state: Any = None, **_: Any) -> float:
        """Return the score, such as 1.0 or 0.0; `state["kgym_verdict"]` is the verdict, also if it is unscored."""
        (verdict,) = await _verify_async(judge, [VerifyItem(_gold_of(answer), text_of(completion))])
        if isinstance(state, dict):
            state["kgym_verdict"] = verdict.label
        return _number(verdict)

    return correct_answer


def verifiers_task_reward(
    verifier: str = DEFAULT, *, gold: str = "answer", **options: Any
) -> Callable[..., Awaitable[float]]:
    """Return a reward for a `Task` of verifiers 0.4 and later: a method (`correct =
    vf.reward(verifiers_task_reward())`) or a function that its configuration names. `gold` is the field of the row with
    the gold answer.
    """
    judge = load_verifier(verifier, options)

    async def kgym_reward(task: Any, trace: Any) -> float:
        """Return the score of the last reply, such as 1.0 or 0.0; `trace.info["kgym_verdict"]` is the verdict, also if
        it is unscored.
        """
        row = getattr(task, "data", task)  # a method is bound to the task, a function is given the task's row
        item = VerifyItem(_gold_of(getattr(row, gold)), trace.last_reply, text_of(getattr(row, "prompt", None) or ""))
        (verdict,) = await _verify_async(judge, [item])
        trace.info["kgym_verdict"] = verdict.label
        return _number(verdict)

    return kgym_reward


def _number(verdict: Verdict) -> float:
    if not verdict.scored:
        log.warning("unscored:%s counts as 0: verifiers takes only numbers", verdict.reason)
        return 0.0
    return verdict.score


async def _verify_async(judge: Verifier, items: list[VerifyItem]) -> list[Verdict]:
    return await judge.verify_many_async(items) if isinstance(judge, VerifierPool) else judge.verify_many(items)


def _gold_of(value: Any) -> str:
    """Return the gold answer; some data sets keep it in a list of one."""
    return str(value[0]) if isinstance(value, list | tuple) and len(value) == 1 else str(value)


def text_of(completion: Any) -> str:
    """Return the text of a completion: itself, or the content of its last message, which may be a list of parts."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Mapping):
        return text_of(completion.get("content") or "")
    if isinstance(completion, Sequence) and completion:
        if all(isinstance(part, Mapping) and "text" in part for part in completion):
            return "".join(str(part["text"]) for part in completion)
        return text_of(completion[-1])
    return ""
