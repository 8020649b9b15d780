"""The contract of an environment, as checks that plugin authors run on their environments; `kgym envs check` runs them
too.

    from kgym.testing.envs import check_environment, check_task

    def test_contract():
        check_environment("mine")    # registered: played through Gymnasium, single and vectorised
        check_task(Mine)             # only its task
"""

import copy
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

from kgym.envs.env import ReasoningEnv
from kgym.envs.registration import register_env
from kgym.envs.setup import EnvSetup, splits_of, verifier_of
from kgym.envs.spec import EnvSpec
from kgym.envs.task import Task
from kgym.envs.vector import ReasoningVectorEnv
from kgym.errors import ComponentError, EnvError, KgymError, MissingData, UnknownName
from kgym.hookspecs import EnvInfo, VerifierInfo
from kgym.registry import registry
from kgym.testing.report import Report, maker, name_of, shown
from kgym.types import Episode, FinishReason, Message, Problem, ProblemSource, Segment, VerifyItem

SAMPLE = 120
"""Number of problems of a split that are checked."""

Settings = Mapping[str, Any]


def check_environment(subject: str | type, *, options: Mapping[str, Any] | None = None, sample: int = SAMPLE) -> Report:
    """Check every split of an environment, by its name or the class of its task. Raises ConformanceError with every
    failure.

    Gymnasium makes environments by their names, so the class has to be registered; otherwise use `check_task`.
    `options` are its settings; `sample` is the number of problems of a split that are checked. Of a split whose data
    the user has to add, only the message with the command that gets them is checked.
    """
    name = subject if isinstance(subject, str) else _registered(subject)
    report = Report(EnvInfo.kind, name_of(subject))
    for split, what, trouble in findings(EnvSpec(name, settings=options or {}), sample=sample):
        (report.failures if trouble else report.passed).append(f"{split} {what}" + (f": {trouble}" if trouble else ""))
    return report.finish()


def _registered(task: type) -> str:
    """Return the name under which a class of tasks is registered. Raises UnknownName if it is not."""
    for info, _ in registry().offers(EnvInfo.kind):
        if isinstance(info, EnvInfo) and registry().target(EnvInfo.kind, info.id) is task:
            return info.id
    raise UnknownName(
        f"{task.__name__} is not registered as an environment; register it (EnvInfo), or check it with check_task"
    )


def check_task(subject: Task | type | str, *, options: Mapping[str, Any] | None = None, sample: int = SAMPLE) -> Report:
    """Check the task of an environment, by name, class or instance. Raises ConformanceError with every failure.

    1. It has the names of its splits, `train` and `validation` first, an existing verifier for each of them, and a
       budget of tokens.
    2. Each split is a pure function from an index to a problem.
    3. The prompt is a conversation that ends with a message of the user, always the same, and without the gold answer
       unless the question has it.
    """
    report = Report("task", name_of(subject))
    make = maker(EnvInfo.kind, subject, options)
    with report.check("construction"):
        task: Task = make()
    if report.failures:
        return report.finish()
    with report.check("splits, verifier and budget"):
        assert tuple(task.splits[:2]) == ("train", "validation"), (
            f"the splits are {task.splits}; train and validation come first"
        )
        for split in task.splits:
            registry().info(VerifierInfo.kind, verifier_of(task, split))
        assert isinstance(task.max_tokens, int) and task.max_tokens > 0, f"max_tokens is {task.max_tokens!r}"
    for split in task.splits:
        with report.check(f"{split}: source"), suppress(MissingData):
            check_problems(task.source(split), make().source(split), sample)
        with report.check(f"{split}: prompt"), suppress(MissingData):
            _check_prompts(task, task.source(split), sample)
    return report.finish()


def _check_prompts(task: Task, source: ProblemSource, sample: int) -> None:
    for problem in _problems(source, sample):
        chat = task.prompt(problem)
        assert chat and all(isinstance(message, Message) for message in chat), (
            f"the prompt is {shown(chat)}; it has to be a tuple of Messages"
        )
        assert {message.role for message in chat} <= {"system", "user", "assistant"}, (
            f"the roles are {[message.role for message in chat]}"
        )
        assert chat[-1].role == "user", f"the last message of the prompt is of the {chat[-1].role}"
        assert tuple(task.prompt(problem)) == tuple(chat), f"the prompt of {problem.id} differs when asked for again"
        hidden = len(problem.gold) > 8 and problem.gold not in problem.question
        assert not (hidden and any(problem.gold in message.content for message in chat)), (
            f"the prompt of {problem.id} has the gold answer"
        )


def findings(spec: EnvSpec, *, sample: int = SAMPLE) -> Iterator[tuple[str, str, str]]:
    """Yield for each check the split, the name of the check, and the failure ("" if it passed)."""
    setups: dict[str, EnvSetup] = {}
    try:
        splits = splits_of(spec.task())
    except ComponentError as error:
        yield spec.split, "construction", str(error)
        return
    for split in splits:
        given = {**spec.settings, "task": spec.name, "split": split}
        try:
            setups[split] = spec.with_split(split).setup()
        except MissingData as error:
            yield (
                split,
                "missing data",
                "" if re.search(r"\bkgym \w+", str(error)) else f"names no command that gets it: {error}",
            )
            continue
        except Exception as error:  # a third party's code
            yield split, "construction", _said(error)
            continue
        for what, check in CHECKS.items():
            yield split, what, _trouble(partial(check, setups[split], given, sample))
    yield (
        "all",
        "disjoint splits",
        _trouble(partial(check_disjoint, setups, sample)),
    )


def _trouble(check: Callable[[], None]) -> str:
    try:
        check()
    except Exception as error:  # a third party's code, and Gymnasium's checks raise many things
        return _said(error)
    return ""


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()) or "it raised without a message"
    return text if isinstance(error, AssertionError | KgymError) else f"{type(error).__name__}: {text}"


# --- checks -----------------------------------------------------------------------------------------------------------


def check_gymnasium(setup: EnvSetup, make: Settings, sample: int) -> None:
    """Gymnasium's own checker finds nothing, not even a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(register_env(setup.info, make["task"]), **make)
        check_env(env.unwrapped)
        env.close()


def check_source(setup: EnvSetup, make: Settings, sample: int) -> None:
    """A problem is a function of its index: the same when asked for again, in another order, and from a copy. Ids are
    unique.
    """
    check_problems(setup.source, copy.deepcopy(setup).source, sample)


def check_problems(source: ProblemSource, again: ProblemSource, sample: int) -> None:
    """Check a source of problems, with a second one that was made in the same way."""
    problems = _problems(source, sample)
    assert problems, "the split has no problems"
    assert len({problem.id for problem in problems}) == len(problems), "two problems have the same id"
    for index in reversed(range(len(problems))):
        assert source[index] == problems[index], f"problem {index} differs when asked for again"
        assert again[index] == problems[index], f"problem {index} of a copy differs"
    assert again.fingerprint == source.fingerprint, "a copy has another fingerprint"
    for problem in problems:
        assert all(map(str.strip, (problem.id, problem.question, problem.gold))), (
            f"{problem} lacks its id, question or gold answer"
        )
        assert 0 <= problem.level <= 10, f"{problem.id} has level {problem.level}; levels are 0 to 10"
    for index in [-1] if source.size is None else [-1, source.size]:
        try:
            source[index]
        except IndexError:
            continue
        raise AssertionError(f"index {index} is out of range, but raises no IndexError")


def check_prompt(setup: EnvSetup, make: Settings, sample: int) -> None:
    """The prompt is a conversation that ends with a message of the user, always the same, and without the gold
    answer.
    """
    _check_prompts(setup.task, setup.source, sample)


def check_gold(setup: EnvSetup, make: Settings, sample: int) -> None:
    """The verifier accepts every gold answer (boxed, bare, or as its record writes it) and every worked solution, and
    no empty completion.
    """
    problems = _problems(setup.source, sample)
    for what, answers in (
        ("the gold answer", [_gold_answers(setup, problem) for problem in problems]),
        ("the worked solution", [(problem.solution,) if problem.solution else () for problem in problems]),
    ):
        pairs = [(problem, text) for problem, texts in zip(problems, answers, strict=True) for text in texts]
        verdicts = setup.verifier.verify_many(
            [VerifyItem(problem.gold, text, problem.question) for problem, text in pairs]
        )
        accepted = {
            problem.id for (problem, _), verdict in zip(pairs, verdicts, strict=True) if verdict.status == "correct"
        }
        refused = [
            problem.id for problem, texts in zip(problems, answers, strict=True) if texts and problem.id not in accepted
        ]
        assert not refused, (
            f"{what} is not accepted for {len(refused)} of {len(problems)} problems, such as {refused[0]}"
        )
    silent = setup.verifier.verify_many([VerifyItem(problem.gold, "", problem.question) for problem in problems])
    assert not any(verdict.status == "correct" for verdict in silent), "an empty completion is accepted as correct"


def _gold_answers(setup: EnvSetup, problem: Problem) -> tuple[str, ...]:
    """Return the gold answer in the forms that a verifier may read."""
    told = registry().info(VerifierInfo.kind, setup.verifier_name)
    own = told.answer if isinstance(told, VerifierInfo) else "{gold}"
    return f"\\boxed{{{problem.gold}}}", problem.gold, own.replace("{gold}", problem.gold)


def _any_correct(setup: EnvSetup, problem: Problem, texts: Sequence[str]) -> bool:
    verdicts = setup.verifier.verify_many([VerifyItem(problem.gold, text, problem.question) for text in texts])
    return any(verdict.status == "correct" for verdict in verdicts)


def check_info(setup: EnvSetup, make: Settings, sample: int) -> None:
    """`info` has the same keys with the same plain types at every step, without the gold answer."""
    env = ReasoningEnv(**make)
    _, first = env.reset(options={"index": 0})
    infos = [first, env.step(piece("a", "length", n_tokens=1))[-1], env.step("b")[-1]]
    assert first["status"] == "open", f"the status after reset is {first['status']!r}"
    assert "gold" not in first, "info shows the gold answer"
    types = {key: type(value) for key, value in first.items()}
    assert set(types.values()) <= {str, int, float, bool}, f"info has values other than texts and numbers: {types}"
    for info in infos[1:]:
        assert {key: type(value) for key, value in info.items()} == types, (
            f"info has other keys or types at a later step: {info}"
        )


def check_episode(setup: EnvSetup, make: Settings, sample: int) -> None:
    """A completion in several segments ends like a whole one; a budget truncates, by each of the three rules; an ended
    episode takes no step.
    """
    right = right_answer(setup, 0)
    half = len(right) // 2
    whole = _played(make, [piece(right)])
    parts = _played(make, [piece(right[:half], "length"), piece("", "abort", n_tokens=0), piece(right[half:])])
    assert (whole.reward, whole.verdict, whole.terminated, whole.truncated) == (1.0, whole.verdict, True, False), (
        "a right completion does not earn the reward 1"
    )
    assert (parts.text, parts.reward, parts.verdict) == (whole.text, 1.0, whole.verdict), (
        "a completion in several segments differs from the same completion in one"
    )
    budget = setup.budgets.max_tokens
    for rule, reward, trainable in (("zero", 0.0, True), ("score", 1.0, True), ("mask", 0.0, False)):
        cut = _played({**make, "truncated": rule}, [piece(right, "length", n_tokens=budget)])
        found = (cut.terminated, cut.truncated, cut.reward, cut.trainable)
        assert found == (False, True, reward, trainable), (
            f"a completion that the budget cut ends with (terminated, truncated, reward, trainable) = {found} under "
            f"the rule {rule}"
        )
    env = ReasoningEnv(**make)
    env.reset(options={"index": 0})
    env.step(piece("an answer", "length", n_tokens=budget))
    try:
        env.step("one more")
    except EnvError:
        return
    raise AssertionError("an ended episode takes another step")


def check_vector(setup: EnvSetup, make: Settings, sample: int) -> None:
    """A vector environment behaves like single ones, with the same problem in all slots of a group."""
    indices = [0, _size(setup.source, 2) - 1]
    pickled = pickle.dumps(ReasoningVectorEnv(num_envs=6, group_size=3, **make))
    vector = pickle.loads(pickled)  # noqa: S301  (our own bytes)
    vector.reset(options={"indices": indices})
    answers = [text for index in indices for text in (right_answer(setup, index), "no answer", piece("cut", "length"))]
    chats, rewards, terminations, truncations, infos = vector.step(answers)
    for slot, (index, answer) in enumerate(zip(np.repeat(indices, 3).tolist(), answers, strict=True)):
        env = ReasoningEnv(**make)
        env.reset(options={"index": index})
        chat, reward, terminated, truncated, info = env.step(answer)
        many = (
            chats[slot],
            rewards[slot],
            terminations[slot],
            truncations[slot],
            {key: infos[key][slot] for key in info},
        )
        assert many == (chat, reward, terminated, truncated, info), f"slot {slot} has {many}, but alone it has {info}"
    assert [episode.attempt for episode in vector.episodes] == [0, 1, 2, 0, 1, 2]


CHECKS: dict[str, Callable[[EnvSetup, Settings, int], None]] = {
    "gymnasium": check_gymnasium,
    "source": check_source,
    "prompt": check_prompt,
    "gold answers": check_gold,
    "info": check_info,
    "episode": check_episode,
    "vector": check_vector,
}


def check_disjoint(setups: Mapping[str, EnvSetup], sample: int) -> None:
    """No problem of one split is in another, by its id, or by its question if the environment does not reply: the
    question of a game may be the same in every problem.
    """
    seen: dict[str, str] = {}
    for split, setup in setups.items():
        for problem in _problems(setup.source, sample):
            for what in (f"id {problem.id}", *(() if setup.responder else (f"question {problem.question}",))):
                assert seen.setdefault(what, split) == split, f"{seen[what]} and {split} share the {what}"


# --- tools ------------------------------------------------------------------------------------------------------------


def piece(text: str, finish_reason: FinishReason = "stop", *, n_tokens: int = 1) -> Segment:
    """Return a segment of made-up tokens."""
    return Segment(
        text, token_ids=[1] * n_tokens, engine_logprobs=[0.0] * n_tokens, prompt_ids=(1,), finish_reason=finish_reason
    )


def right_answer(setup: EnvSetup, index: int) -> str:
    """Return a completion that the verifier accepts. Raises AssertionError if it accepts none of the known ones."""
    problem = setup.source[index]
    for text in filter(None, (problem.solution, *_gold_answers(setup, problem))):
        if _any_correct(setup, problem, [text]):
            return text
    raise AssertionError(f"the verifier accepts neither the gold answer nor the worked solution of {problem.id}")


def _played(make: Settings, segments: Sequence[Segment]) -> Episode:
    env = ReasoningEnv(**make)
    env.reset(options={"index": 0})
    for segment in segments:
        env.step(segment)
    return env.episode


def _size(source: ProblemSource, at_most: int) -> int:
    return at_most if source.size is None else min(source.size, at_most)


def _problems(source: ProblemSource, sample: int) -> list[Problem]:
    """Return the first problems of a split; they are as good as any others."""
    return [source[index] for index in range(_size(source, sample))]
