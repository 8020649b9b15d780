"""From programming problems without tests to a data set with hidden tests on which reference submissions agree.

    problems -> generators -> inputs -> outputs of the references -> valid cases -> problems whose references pass them

A problem has its own generator of inputs and its own references, or a model writes them. Everything that takes time is
stored as it is made, a line for each text of the model and for each problem, so that an interrupted command resumes
where it stopped.

Source: Kimi k1.5, arXiv:2501.12599, section 2.3.5: 50 cases for each problem; one is valid if at least 7 of 10
submissions agree, and a problem is taken if at least 9 of 10 pass.
"""

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from pydantic import Field

from kgym.config import EngineConfig
from kgym.data.untested import Untested
from kgym.errors import DataError, SandboxLost
from kgym.files import open_to_append, reading, write_atomic
from kgym.judging import probe
from kgym.judging.agreement import agreed, at_least, generated, is_python
from kgym.judging.extract import program_of
from kgym.judging.submissions import BadTests
from kgym.limits import PoolLimits
from kgym.options import Options
from kgym.rollout.choosing import chosen_engine
from kgym.rollout.engine import check_engine, engine_model, generate, make_engine
from kgym.seeding import derive_seed
from kgym.types import Chat, GenerateRequest, Message, Problem, Sampling

ANSWER = "Answer with the whole program in a block that begins with ```python and ends with ```."
SOLVE = "{question}\n" + ANSWER
PROPOSE = (
    "Below is a programming problem. Write a program in Python that prints one random input for it, to test programs "
    "that solve it. "
    "It prints the input{form} to standard output, and nothing else, and keeps to the limits of the problem. It is run "
    "many times, "
    "as python3 generator.py NUMBER, where NUMBER counts from 0: print edge cases and small inputs for small numbers, "
    "and larger inputs for larger numbers. The module random is seeded beforehand.\n{answer}\n\n{question}"
)
AT_ONCE = 256
"""Texts that an engine is asked for at the same time."""
LINES = "problems.jsonl"
TEXTS = "sampled.jsonl"
AGAIN = "remove it to make its lines again"


class TestcasesConfig(Options):
    """How many cases and references there are, and how many have to agree."""

    __test__ = False  # pytest takes the name for that of a test

    cases: int = Field(50, ge=1, le=1000)
    """Inputs to propose for each problem."""
    min_cases: int = Field(5, ge=1)
    """Valid cases that a problem needs to be taken."""
    references: int = Field(10, ge=2, le=100)
    """References that are run: the first ones of a problem."""
    min_references: int = Field(3, ge=2)
    """Fewest references of a problem that is taken: one or two agree too easily."""
    agree: float = Field(0.7, gt=0.5, le=1)
    """Share of the references whose outputs have to agree for a case to be valid."""
    passing: float = Field(0.9, gt=0, le=1)
    """Share of the references that have to pass all valid cases for a problem to be taken."""
    model: str = ""
    """Writes generators and references for problems that have none; "" for no model."""
    generators: int = Field(4, ge=1, le=50)
    """Generators that the model writes for a problem; they take turns."""
    temperature: float = Field(1.0, gt=0)
    """Sampling temperature of the model."""
    max_tokens: int = Field(4096, ge=1)
    """Token budget of one program of the model."""
    seed: int = Field(0, ge=0)
    """Seed of the inputs and of what the model writes."""
    engine: EngineConfig = EngineConfig()


@dataclass(frozen=True)
class Outcome:
    """The result for one problem."""

    id: str
    reason: str
    """Why it is not taken; "" if it is."""
    proposed: int = 0
    """Number of inputs."""
    valid: int = 0
    """Number of valid cases."""
    references: int = 0
    passed: int = 0
    """Number of references that pass all valid cases."""
    gold: str = ""
    """Its tests."""


@dataclass(frozen=True)
class Made:
    """The problems that were taken, and the result for each problem."""

    taken: list[Problem]
    outcomes: list[Outcome]

    @property
    def reasons(self) -> dict[str, int]:
        """How many problems were not taken for each reason, the most frequent first."""
        return dict(Counter(outcome.reason for outcome in self.outcomes if outcome.reason).most_common())


Advance = Callable[[str, int, int], None]
"""Called with what is being made, how many there are by now, and how many there will be."""


def make_testcases(
    config: TestcasesConfig,
    problems: Sequence[Untested],
    folder: Path,
    advance: Advance = lambda what, done, total: None,
) -> Made:
    """Make tests for problems; what is made is stored in `folder` as it goes.

    Raises SandboxError if programs cannot be isolated, ConfigError or EngineError if the model cannot be used, and
    DataError if no problem is taken or a stored file is damaged.
    """
    probe.require()
    folder.mkdir(parents=True, exist_ok=True)
    written = _written(config, problems, folder / TEXTS, advance) if config.model else {}
    done = {line["id"]: Outcome(**line) for line in _lines(folder / LINES)}
    left = [problem for problem in problems if problem.id not in done]
    advance("problems", len(done), len(problems))
    with open_to_append(folder / LINES) as file:
        for outcome in _outcomes(config, left, written):
            done[outcome.id] = outcome
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()
            advance("problems", len(done), len(problems))
    outcomes = [done[problem.id] for problem in problems]
    taken = [
        Problem(
            id=problem.id, question=problem.question, gold=outcome.gold, level=problem.level, subject=problem.subject
        )
        for problem, outcome in zip(problems, outcomes, strict=True)
        if not outcome.reason
    ]
    made = Made(taken, outcomes)
    if not taken:
        why = ", ".join(f"{reason}: {count}" for reason, count in made.reasons.items())
        raise DataError(f"none of the {len(problems)} problems is taken ({why}); see {folder / LINES}")
    return made


def _outcomes(
    config: TestcasesConfig, problems: Sequence[Untested], written: Mapping[str, list[str]]
) -> Iterator[Outcome]:
    """Yield the outcomes of problems as they end; several are worked on at the same time. A caller that stops early
    does not wait for the others.
    """
    waiting: SimpleQueue[Untested] = SimpleQueue()
    ended: SimpleQueue[Outcome | BaseException] = SimpleQueue()
    for problem in problems:
        waiting.put(problem)

    def work() -> None:
        with contextlib.suppress(Empty):
            while True:
                problem = waiting.get_nowait()
                try:
                    ended.put(outcome_of(config, problem, written))
                except BaseException as error:
                    ended.put(error)

    for _ in range(min(PoolLimits().n_workers, len(problems))):
        threading.Thread(target=work, name="kgym-testcases", daemon=True).start()
    for _ in problems:
        outcome = ended.get()
        if isinstance(outcome, BaseException):
            raise outcome
        yield outcome


def outcome_of(config: TestcasesConfig, problem: Untested, written: Mapping[str, list[str]]) -> Outcome:
    """Make the tests of a problem. `written` has programs of a model by problem and purpose. Raises SandboxError."""
    generators = [problem.generator] if problem.generator else written.get(f"{problem.id} generator", [])
    try:
        references = _references(config, problem, written)
        if len(references) < config.min_references:
            return Outcome(problem.id, "too few references", references=len(references))
        if not generators:
            return Outcome(problem.id, "no generator", references=len(references))
        inputs = _inputs(config, problem, generators)
        if len(inputs) < config.min_cases:
            return Outcome(problem.id, "too few inputs", len(inputs), references=len(references))
        found = agreed(problem.cases((given, _nothing(problem)) for given in inputs), references, config.agree)
    except BadTests:
        return Outcome(problem.id, "checker failed")
    except SandboxLost:
        return Outcome(problem.id, "sandbox lost")
    passed = sum(found.passed) if found.cases else 0
    seen = Outcome(problem.id, "", len(inputs), len(found.cases), len(references), passed)
    if seen.valid < config.min_cases:
        return replace(seen, reason="too few valid cases")
    if passed < at_least(config.passing, len(references)):
        return replace(seen, reason="too few references pass")
    return replace(seen, gold=problem.cases(found.cases).gold())


def _references(config: TestcasesConfig, problem: Untested, written: Mapping[str, list[str]]) -> list[str]:
    """Return the first references that are programs in this version of Python."""
    found: list[str] = []
    for source in problem.references or written.get(f"{problem.id} reference", []):
        if len(found) < config.references and is_python(source):
            found.append(source)
    return found


def _inputs(config: TestcasesConfig, problem: Untested, generators: Sequence[str]) -> list[Any]:
    """Return different inputs, the same number from each generator as far as it has them."""
    seeds = [derive_seed("testcases", config.seed, problem.id, number) for number in range(len(generators))]
    each = -(-config.cases // len(generators))
    found = [generated(source, each, seed, problem.kind) for source, seed in zip(generators, seeds, strict=True)]
    turns = [inputs[place] for place in range(each) for inputs in found if place < len(inputs)]
    return list({json.dumps(given): given for given in turns}.values())[: config.cases]


def _nothing(problem: Untested) -> str | None:
    return None if problem.kind == "call" else ""


# --- what a model writes ----------------------------------------------------------------------------------------------


def _written(
    config: TestcasesConfig, problems: Sequence[Untested], path: Path, advance: Advance
) -> dict[str, list[str]]:
    """Return the programs of the model by problem and purpose; the model writes those that are missing."""
    texts = {line["id"]: line["text"] for line in _lines(path)}
    requests = [request for problem in problems for request in _requests(config, problem)]
    missing = [request for request in requests if request.id not in texts]
    if missing:
        engine = make_engine(*engine_of(config))
        with open_to_append(path) as file:
            for start in range(0, len(missing), AT_ONCE):
                for segment in generate(engine, missing[start : start + AT_ONCE]):
                    texts[segment.request_id] = str(segment)
                    file.write(json.dumps({"id": segment.request_id, "text": str(segment)}) + "\n")
                    file.flush()
                    advance("programs of the model", len(texts), len(requests))
    found: dict[str, list[str]] = {}
    for request in requests:
        if (source := program_of(texts[request.id])) is not None:
            found.setdefault(request.id.rpartition(" ")[0], []).append(source)
    return found


def engine_of(config: TestcasesConfig) -> tuple[str, Mapping[str, Any], str]:
    """Return the name and the options of the engine, and the model for it. Raises ConfigError if the engine cannot run
    the model.
    """
    engine, _ = chosen_engine(config.engine, config.model, trains=False)
    model = engine_model(engine.name, config.model)
    check_engine(engine.name, engine.options, model)
    return engine.name, engine.options, model


def _requests(config: TestcasesConfig, problem: Untested) -> Iterator[GenerateRequest]:
    form = f" (the arguments of {problem.function}, as a list in JSON)" if problem.function else ""
    propose = PROPOSE.replace("{form}", form).replace("{answer}", ANSWER).replace("{question}", problem.question)
    for purpose, prompt, count in (
        ("generator", propose, 0 if problem.generator else config.generators),
        ("reference", SOLVE.replace("{question}", problem.question), 0 if problem.references else config.references),
    ):
        chat: Chat = (Message("user", prompt),)
        for number in range(count):
            name = f"{problem.id} {purpose} {number}"
            seed = derive_seed("testcases", config.seed, name)
            yield GenerateRequest(name, chat, config.max_tokens, Sampling(temperature=config.temperature), seed)


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file; a last line that was cut short is removed. Raises DataError if another line is
    damaged.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_atomic(path, whole)
    with reading(path, remedy=AGAIN):
        return [json.loads(line) for line in whole.splitlines()]
