"""Preferences: several completions of one prompt, and which of them is better than which.

They come from a file, from the completions that a run has stored, or from generated problems: the worked solution
against the same working with another answer in the box. K completions ranked without ties have K-choose-2 pairs;
completions that are equally good have no pair between them.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgym.envs.setup import EnvSetup
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, DataError
from kgym.runs.answers import answer_batches, answer_files
from kgym.runs.manifest import labelled_specs
from kgym.seeding import derive_seed
from kgym.supervised_config import PairsConfig
from kgym.train.supervised.rows import ENDLESS, read_jsonl, shuffled
from kgym.types import Chat, Message, Problem, VerifyItem

BOX = "\\boxed{"
WRONG_DRAWS = 20
"""Candidates that are tried at most until the verifier has found enough of them wrong."""
LONGER = 1.5
"""How many times longer a correct completion must be to lose to the shortest; Kimi k1.5, section 2.4."""

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Comparison:
    """One prompt, its completions, and the pairs (number of the better one, number of the worse one) among them; at
    least one pair.

    One: Comparison((Message("user", "What is 2+3?"),), "What is 2+3?", "5", (r"2+3=\\boxed{5}", r"2+3=\\boxed{6}"),
    ((0, 1),)).
    """

    prompt: Chat
    """The prompt as the policy sees it."""
    question: str
    """The question, without the text that an environment adds to it."""
    gold: str
    """The gold answer; "" if it is unknown."""
    answers: tuple[str, ...]
    pairs: Pairs

    @property
    def best(self) -> str:
        """A completion that no other one is better than."""
        beaten = {worse for _, worse in self.pairs}
        return next(self.answers[better] for better, _ in self.pairs if better not in beaten)


Comparisons = Callable[[int], Comparison]
"""The n-th comparison of a run, n = 0, 1, ...: a pure function."""


@dataclass(frozen=True)
class PreferenceData:
    """The comparisons that a model learns from, and those that it is measured on."""

    train: Comparisons
    held_out: Sequence[Comparison]
    """Comparisons that are never learned from; may be empty."""


def batch_of(comparisons: Comparisons, step: int, batch_size: int) -> list[Comparison]:
    """Return the comparisons of a step, counted from 1."""
    return [comparisons(n) for n in range((step - 1) * batch_size, step * batch_size)]


# --- from a file ------------------------------------------------------------------------------------------------------


def read_comparisons(path: Path) -> list[Comparison]:
    """Read JSON lines {"prompt", "chosen", "rejected"} or {"prompt", "ranked": [best, ..., worst]}; "gold" is optional.

    Raises DataError, naming the line, for one that is neither.
    """
    found = [_comparison(row, where) for where, row in read_jsonl(path)]
    if not found:
        raise DataError(f'{path} is empty; wanted JSON lines {{"prompt": ..., "chosen": ..., "rejected": ...}}')
    return found


def _comparison(row: Any, where: str) -> Comparison:
    wanted = (
        f'{where}: wanted {{"prompt", "chosen", "rejected"}} or {{"prompt", "ranked": [best, ..., worst]}}, '
        "all of them texts"
    )
    if not isinstance(row, Mapping) or ("ranked" in row) == ("chosen" in row or "rejected" in row):
        raise DataError(wanted)
    answers = row["ranked"] if "ranked" in row else [row.get("chosen"), row.get("rejected")]
    prompt, gold = row.get("prompt"), row.get("gold", "")
    if (
        not isinstance(answers, list)
        or not all(isinstance(text, str) for text in (prompt, gold, *answers))
        or not prompt
    ):
        raise DataError(wanted)
    if len(answers) < 2 or len(set(answers)) < len(answers):
        raise DataError(
            f"{where}: wanted two or more different completions, got {len(answers)}, {len(set(answers))} of them "
            "different"
        )
    return Comparison((Message("user", prompt),), prompt, gold, tuple(answers), all_pairs(len(answers)))


def all_pairs(k: int) -> Pairs:
    """Return the K-choose-2 pairs of a ranking, best first.

    >>> all_pairs(3)
    ((0, 1), (0, 2), (1, 2))
    """
    return tuple((better, worse) for better in range(k) for worse in range(better + 1, k))


# --- from generated problems ------------------------------------------------------------------------------------------


def generated_comparisons(setup: EnvSetup, options: PairsConfig, *, seed: int) -> Comparisons:
    """Worked solutions of an environment's problems against the same working with wrong answers in the box.

    A wrong answer is close to the gold one if that is an integer, and otherwise the answer to another problem; the
    environment's verifier finds each of them wrong. Raises DataError, when it meets one, for a problem without a worked
    solution that ends in a box.
    """
    size = setup.source.size
    order = None if size is None else shuffled(range(size), seed=seed)

    def nth(n: int) -> Comparison:
        problem = setup.source[derive_seed("comparisons", seed, n) % ENDLESS if order is None else order(n)]
        head, box, _ = problem.solution.rpartition(BOX)
        if not box:
            raise DataError(
                f"problem {problem.id} has no worked solution with an answer in a box; use another environment, or "
                "--data FILE"
            )
        rng = random.Random(derive_seed("comparisons", seed, n, "wrong"))  # noqa: S311  (not a secret)
        answers = [problem.solution]
        for candidate in _candidates(problem, setup, rng):
            answer = f"{head}{BOX}{candidate}}}"
            (verdict,) = setup.verifier.verify_many([VerifyItem(problem.gold, answer, problem.question, problem.id)])
            if verdict.status == "wrong" and answer not in answers:
                answers.append(answer)
            if len(answers) == options.answers:
                break
        if len(answers) < 2:
            raise DataError(f"problem {problem.id}: the verifier found none of {WRONG_DRAWS} other answers wrong")
        pairs = tuple((0, wrong) for wrong in range(1, len(answers)))
        return Comparison(setup.prompt(problem), problem.question, problem.gold, tuple(answers), pairs)

    return nth


def _candidates(problem: Problem, setup: EnvSetup, rng: random.Random) -> Iterator[str]:
    """Yield answers that may be wrong: with a digit changed, a nearby number, or the answer to another problem."""
    for _ in range(WRONG_DRAWS):
        if re.fullmatch(r"-?[0-9]{1,15}", problem.gold):
            value = int(problem.gold)
            change = rng.choice((1, 1, 2, 10 ** rng.randrange(len(problem.gold.lstrip("-"))))) * rng.choice((-1, 1))
            yield str(value + change if value + change >= 0 or value < 0 else value - change)
        else:
            yield setup.source[rng.randrange(setup.source.size or ENDLESS)].gold


# --- from stored completions ------------------------------------------------------------------------------------------


def stored_comparisons(run: Path, options: PairsConfig, *, seed: int) -> list[Comparison]:
    """Compare the completions that a run of `kgym train` or `kgym eval` stored, problem by problem, in the order of the
    problems' ids.

    Unscored and truncated completions are left out, and so are problems whose completions are all equally good. Raises
    ConfigError for a folder that is not a run, DataError if no comparison is left.
    """
    by_problem: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in _stored_rows(run):
        if row["score"] is not None and not row["truncated"]:
            by_problem.setdefault((row["problem_id"], row.get("env") or ""), []).append(row)
    setups = _setups_of(run)
    found = []
    for (problem_id, label), rows in sorted(by_problem.items()):
        setup = setups[label]
        rng = random.Random(derive_seed("comparisons", seed, problem_id))  # noqa: S311  (not a secret)
        kept = _choose(rows, options, rng)
        pairs = _pairs(kept, options.prefer)
        if pairs:
            row = kept[0]
            problem = Problem(problem_id, row["question"], row["gold"], row["level"], row["subject"])
            answers = tuple(row["text"] for row in kept)
            found.append(Comparison(setup.prompt(problem), problem.question, problem.gold, answers, pairs))
    if not found:
        raise DataError(
            f"no two completions of a problem in {run} have different scores; sample more for each problem (kgym eval "
            "--samples "
            "8)"
        )
    return found


def _choose(rows: Sequence[Mapping[str, Any]], options: PairsConfig, rng: random.Random) -> list[Mapping[str, Any]]:
    """Return at most `answers` different completions, taken in turn from the best and the worst."""
    different = list({row["text"]: row for row in rows}.values())
    rng.shuffle(different)
    if options.prefer == "short":
        shortest = min((row for row in different if row["score"] == 1.0), key=lambda row: row["tokens"], default=None)
        if shortest is None:
            return []
        losers = [row for row in different if _loses(row, shortest)]
        return [shortest, *losers[: options.answers - 1]]
    different.sort(key=lambda row: -row["score"])
    kept: list[Mapping[str, Any]] = []
    while different and len(kept) < options.answers:
        kept.append(different.pop(0 if len(kept) % 2 == 0 else -1))
    return kept


def _loses(row: Mapping[str, Any], shortest: Mapping[str, Any]) -> bool:
    tokens: int = row["tokens"]
    return tokens > shortest["tokens"] if row["score"] < 1.0 else tokens >= LONGER * shortest["tokens"]


def _pairs(kept: Sequence[Mapping[str, Any]], prefer: str) -> Pairs:
    if prefer == "short":
        return tuple((0, worse) for worse in range(1, len(kept)))
    return tuple((i, j) for i, one in enumerate(kept) for j, other in enumerate(kept) if one["score"] > other["score"])


def _stored_rows(run: Path) -> Iterable[Mapping[str, Any]]:
    files = answer_files(run)
    if not files:
        raise ConfigError(f"{run} has no stored completions: neither episodes/ of kgym train nor samples/ of kgym eval")
    columns = [
        "env",
        "problem_id",
        "question",
        "gold",
        "level",
        "subject",
        "text",
        "score",
        "tokens",
        "truncated",
        "pieces",
    ]
    for batch in answer_batches(files, columns, remedy="remove it to learn from the others"):
        for row in batch.to_pylist():
            if all(
                piece["role"] is None for piece in row.pop("pieces") or ()
            ):  # a completion of several turns is not one text
                yield row


def _setups_of(run: Path) -> dict[str, EnvSetup]:
    """Return the environments of a run, which make prompts of questions, by their labels in its rows."""
    from kgym.runs.folder import RunFolder  # noqa: PLC0415

    manifest = RunFolder(run).read_manifest()
    return {label: spec.setup() for label, spec in labelled_specs(manifest).items()}


# --- what is held out -------------------------------------------------------------------------------------------------


def from_list(comparisons: Sequence[Comparison], options: PairsConfig, *, seed: int) -> PreferenceData:
    """Learn from comparisons in shuffled passes; a part of them, at most a fifth, is held out."""
    order = list(comparisons)
    random.Random(derive_seed("held out", seed)).shuffle(order)  # noqa: S311  (not a secret)
    n_held_out = min(options.held_out, len(order) // 5)
    return PreferenceData(shuffled(order[n_held_out:], seed=seed), order[:n_held_out])


def from_env(spec: EnvSpec, options: PairsConfig, *, seed: int) -> PreferenceData:
    """Learn from generated comparisons of the train split; those held out are of the validation split."""
    train = generated_comparisons(spec.with_split("train").setup(), options, seed=seed)
    held_out = generated_comparisons(spec.with_split("validation").setup(), options, seed=seed)
    return PreferenceData(train, [held_out(n) for n in range(options.held_out)])
