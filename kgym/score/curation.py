"""From problems to a data set worth training on: which of them a model solves, how often, and whether it could have
guessed the answer.

    problems -> texts (forms, duplicates, benchmarks) -> guesses -> pass rates -> balance -> data set with difficulty

Every step is an evaluation in its own folder, so an interrupted curation continues where it stopped.

Source: Kimi k1.5, arXiv:2501.12599, section 2.1: the pass rate of 10 completions at a rather high temperature is the
difficulty; a problem whose answer is guessed right without reasoning within 8 tries is left out.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from kgym.config import EngineConfig, Plain, VerifierConfig
from kgym.data.screening import duplicates, overlaps, unfit_form
from kgym.data.sources import data_source
from kgym.envs.spec import EnvSpec
from kgym.errors import DataError
from kgym.eval_config import EvalConfig
from kgym.options import Options
from kgym.score.evaluating import Listener, evaluate
from kgym.seeding import derive_seed
from kgym.types import Problem, ProblemSource

GUESS_PROMPT = "{question}\nDo not reason. Give the final answer at once in \\boxed{}, and nothing else."
HARDEST = 10
"""Level of a problem that was never solved; one that was always solved has level 1."""


class CurationConfig(Options):
    """What is sampled, and what is kept."""

    model: str = Field(min_length=1)
    """Model whose pass rates decide."""
    env: str = Field(min_length=1)
    """Environment of the problems; `data` with `env_options.dataset` for a data set that was added."""
    env_options: Plain = Field(default_factory=dict)
    """Options of the environment."""
    split: str = Field("train", min_length=1)
    """Split of the environment."""
    problems: int = Field(256, ge=1)
    """Problems to look at, the first of the split."""
    samples: int = Field(10, ge=2)
    """Completions of each problem, for its pass rate."""
    temperature: float = Field(1.0, gt=0)
    """Sampling temperature of these completions."""
    guesses: int = Field(8, ge=0)
    """Guesses without reasoning at each problem; one right guess leaves the problem out. 0 leaves none out."""
    guess_tokens: int = Field(32, ge=1)
    """Token budget of a guess."""
    min_rate: float = Field(0.0, ge=0, le=1)
    """Lowest pass rate of a problem that is kept."""
    max_rate: float = Field(1.0, ge=0, le=1)
    """Highest pass rate of a problem that is kept."""
    per_group: int = Field(0, ge=0)
    """Largest number of problems kept for each subject and level; 0 keeps all."""
    against: tuple[str, ...] = ()
    """Data sets whose problems are left out: names of `kgym data list`."""
    seed: int = Field(0, ge=0)
    """Seed of the sampling, and of the choice among a group with too many problems."""
    engine: EngineConfig = EngineConfig()
    verifier: VerifierConfig = VerifierConfig()

    @model_validator(mode="after")
    def _rates_in_order(self) -> "CurationConfig":
        if self.min_rate > self.max_rate:
            raise ValueError(f"min_rate={self.min_rate} is above max_rate={self.max_rate}; lower it or raise the other")
        return self


@dataclass(frozen=True)
class Curated:
    """The problems that were kept, and why the others were not."""

    kept: list[Problem]
    """The problems that were kept, with their level by pass rate, from 1 to `HARDEST`."""
    dropped: dict[str, str]
    """Why a problem was left out, by its id."""
    rates: dict[str, float]
    """Pass rate by id, for all problems that were sampled and scored."""
    looked_at: list[Problem] = field(repr=False)

    @property
    def reasons(self) -> dict[str, int]:
        """How many problems were left out for each reason, the most frequent first."""
        return dict(Counter(self.dropped.values()).most_common())


def curate(config: CurationConfig, folder: Path, listener: Listener | None = None) -> Curated:
    """Curate the problems of an environment; evaluations are stored in `folder`.

    Raises ConfigError, DataError, MissingData or UnknownName if something cannot be sampled or read, and DataError if
    no problem is left.
    """
    source = _spec(config).setup().source
    n = config.problems if source.size is None else min(config.problems, source.size)
    problems = [source[index] for index in range(n)]
    dropped = screened(problems, {name: _all(data_source(name)) for name in config.against})
    if config.guesses:
        guessed = _scores(
            config,
            folder / "guesses",
            listener,
            problems=n,
            samples=config.guesses,
            max_tokens=config.guess_tokens,
            prompt=GUESS_PROMPT,
        )
        dropped |= {id_: "guessed" for id_, score in guessed.items() if score > 0 and id_ not in dropped}
    rates = _scores(
        config, folder / "rates", listener, problems=n, samples=config.samples, temperature=config.temperature
    )
    for problem in problems:
        if problem.id not in rates:
            dropped.setdefault(problem.id, "not scored")
        elif not config.min_rate <= rates[problem.id] <= config.max_rate:
            dropped.setdefault(problem.id, "pass rate")
    fit = [replace(problem, level=level_of(rates[problem.id])) for problem in problems if problem.id not in dropped]
    kept = balanced(fit, config.per_group, config.seed)
    dropped |= {problem.id: "balance" for problem in fit if problem not in kept}
    if not kept:
        why = ", ".join(f"{reason}: {count}" for reason, count in Counter(dropped.values()).most_common())
        raise DataError(
            f"none of the {n} problems is left ({why}); look at more with --problems, or widen --min-rate and "
            "--max-rate"
        )
    return Curated(kept, dropped, rates, problems)


def screened(problems: Sequence[Problem], benchmarks: Mapping[str, Sequence[Problem]]) -> dict[str, str]:
    """Return by id why problems are left out because of their texts."""
    again, taken = duplicates(problems), overlaps(problems, benchmarks)
    found = {}
    for problem in problems:
        reason = unfit_form(problem.question, problem.gold)
        if not reason and problem.id in taken:
            reason = f"in {taken[problem.id]}"
        if reason or problem.id in again:
            found[problem.id] = reason or "duplicate"
    return found


def level_of(rate: float) -> int:
    """Return the difficulty for a pass rate.

    >>> level_of(1.0), level_of(0.5), level_of(0.1), level_of(0.0)
    (1, 5, 9, 10)
    """
    return 1 + math.floor(round((1 - rate) * (HARDEST - 1), 9))


def balanced(problems: Sequence[Problem], most: int, seed: int) -> list[Problem]:
    """Return at most `most` problems of each subject and level, in their order; all if `most` is 0."""
    if not most:
        return list(problems)
    groups: dict[tuple[str, int], list[Problem]] = defaultdict(list)
    for problem in problems:
        groups[problem.subject, problem.level].append(problem)
    chosen = {
        problem.id
        for group in groups.values()
        for problem in sorted(group, key=lambda one: derive_seed("curation", seed, one.id))[:most]
    }
    return [problem for problem in problems if problem.id in chosen]


def _spec(config: CurationConfig, **settings: Any) -> EnvSpec:
    return EnvSpec.of(config.env, config.split, {**config.env_options, **settings}, config.verifier)


def _scores(config: CurationConfig, run: Path, listener: Listener | None, **asked: Any) -> dict[str, float]:
    """Return the mean score of each problem that was scored, by id, from an evaluation in `run`."""
    prompt = asked.pop("prompt", None)
    env = {**config.env_options, **({} if prompt is None else {"prompt": prompt})}
    bench = f"{config.env}:{config.split}"
    evaluation = EvalConfig(
        model=config.model,
        benches=(bench,),
        seed=config.seed,
        env=env,
        engine=config.engine,
        verifier=config.verifier,
        **asked,
    )
    scores = evaluate(evaluation, run=run, listener=listener)[bench].scores
    return {id_: score for id_, score in scores.items() if not math.isnan(score)}


def _all(source: ProblemSource) -> list[Problem]:
    assert source.size is not None
    return [source[index] for index in range(source.size)]
