"""Examples of completions: worked solutions of an environment or of a file, or completions that a run has stored."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kgym.envs.setup import EnvSetup
from kgym.errors import ConfigError, DataError
from kgym.models.policy import Learner
from kgym.runs.answers import answer_batches, answer_files
from kgym.seeding import derive_seed
from kgym.train.supervised.rows import ENDLESS, Row, checked_row, encode_row, read_jsonl, shuffled
from kgym.types import Chat, Message

QUESTION_KEYS = ("question", "prompt")


class Example(NamedTuple):
    """A prompt and the completion to learn: Example((Message("user", "What is 2+3?"),), "2+3=5\\n\\\\boxed{5}")."""

    prompt: Chat
    solution: str


class Sampled(NamedTuple):
    """A completion that a run has stored, with the tokens that were sampled: they are never encoded again."""

    problem_id: str
    prompt_ids: list[int]
    token_ids: list[int]
    text: str


Examples = Callable[[int], Example | Sampled]
"""The n-th example of a run, n = 0, 1, ...: a pure function."""


def solved_examples(setup: EnvSetup, *, seed: int) -> Callable[[int], Example]:
    """Worked solutions of an environment's problems, after the prompts that a policy is given.

    They are drawn at random from an endless source, and otherwise in shuffled passes.

    Raises DataError, when it meets one, for a problem without a worked solution.
    """
    source = setup.source

    def example(index: int) -> Example:
        problem = source[index]
        if not problem.solution:
            raise DataError(
                f"problem {problem.id} has no worked solution to learn from; use another environment, or --data FILE"
            )
        return Example(setup.prompt(problem), problem.solution)

    size = source.size
    if size is None:
        return lambda n: example(derive_seed("sft", seed, n) % ENDLESS)
    order = shuffled(range(size), seed=seed)
    return lambda n: example(order(n))


def sampled_examples(run: Path) -> list[Sampled]:
    """Return the correct completions that a run of `kgym train` or `kgym eval` has stored, each once, in order.

    Completions that a budget ended and those with observations are left out. Raises ConfigError if there is none, or if
    an earlier version stored them, without their tokens.
    """
    files = answer_files(run)
    if not files:
        raise ConfigError(f"{run} has no stored completions: neither episodes/ of kgym train nor samples/ of kgym eval")
    columns = ["problem_id", "status", "truncated", "text", "prompt_ids", "token_ids", "pieces"]
    found: dict[tuple[str, str], Sampled] = {}
    n_without_tokens = 0
    for batch in answer_batches(files, columns, remedy="remove it to learn from the others"):
        for row in batch.to_pylist():
            if row["status"] != "correct" or row["truncated"]:
                continue
            if not row["token_ids"]:
                n_without_tokens += 1
            elif all(piece["role"] is None for piece in row["pieces"]):
                sampled = Sampled(row["problem_id"], row["prompt_ids"], row["token_ids"], row["text"])
                found.setdefault((sampled.problem_id, sampled.text), sampled)
    if not found and n_without_tokens:
        raise ConfigError(
            f"{run} was written by an earlier version, which stored no tokens; score its model again with kgym eval "
            "--run"
        )
    if not found:
        raise ConfigError(f"{run} has no correct completion to learn from; use another run, or --env")
    return list(found.values())


def shortest(sampled: Sequence[Sampled]) -> list[Sampled]:
    """Return the completion with the fewest tokens of each problem, the first one of equal ones; problems in the order
    in which they first occur.
    """
    found: dict[str, Sampled] = {}
    for one in sampled:
        best = found.setdefault(one.problem_id, one)
        if len(one.token_ids) < len(best.token_ids):
            found[one.problem_id] = one
    return list(found.values())


def encoded(learner: Learner, example: Example | Sampled) -> Row:
    """Return the ids of the prompt and of the completion. Raises ConfigError for a sampled one whose tokens decode to
    another text here.
    """
    if isinstance(example, Example):
        return encode_row(learner, *example)
    said = learner.tokenizer.decode(example.token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if not said.startswith(example.text):
        raise ConfigError(
            f"the stored tokens of {example.problem_id} are from another tokenizer than that of {learner.folder}; "
            "use a model with the tokenizer of the run"
        )
    return checked_row(learner, (example.prompt_ids, example.token_ids), example.problem_id)


def read_examples(path: Path) -> list[Example]:
    """Read JSON lines: {"question": "What is 2+3?", "solution": "2+3=5\\n\\\\boxed{5}"}; `prompt` may replace
    `question`.

    Raises DataError, naming the line, for one that is not such an object.
    """
    examples = [_example(row, where) for where, row in read_jsonl(path)]
    if not examples:
        raise DataError(f'{path} is empty; wanted JSON lines {{"question": ..., "solution": ...}}')
    return examples


def _example(row: Any, where: str) -> Example:
    keys = [key for key in QUESTION_KEYS if isinstance(row, dict) and key in row]
    if len(keys) != 1 or not all(isinstance(row.get(key), str) and row[key] for key in (keys[0], "solution")):
        raise DataError(
            f'{where}: wanted an object with the texts "question" (or "prompt") and "solution", neither empty'
        )
    return Example((Message("user", row[keys[0]]),), row["solution"])
