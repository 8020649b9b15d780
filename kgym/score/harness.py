"""Scoring: the environment and the engine of training, played over a list of problems, k answers each.

    Evaluation(spec, k ...) --chunks--> EpisodePool --groups--> store, frame --summarise--> EvalResult

An answer's seed derives from (seed, "eval", problem id, attempt): scoring more problems, or more answers of each, leaves those that are
there as they are. So an evaluation that was killed goes on, and one that is asked for a larger k only generates what is missing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError
from kgym.rollout.episodes import play_groups
from kgym.rollout.prompts import check_prompts
from kgym.runs.episodes import episode_table
from kgym.score.comparability import comparability_facts, comparability_hash
from kgym.score.results import COLUMNS, EvalResult, counted_score, summarise
from kgym.score.votes import Pair
from kgym.types import Engine, Group, ProblemSource, Sampling, VerifyItem
from kgym.world import ALONE, World

if TYPE_CHECKING:
    import pyarrow as pa
    from pandas import DataFrame, Series

Progress = Callable[[int, int], None]
"""Called as (answers that have stopped, answers asked for), those of an earlier run included."""


class Store(Protocol):
    """Keeps the answers of an evaluation, so that it can go on."""

    def add(self, answers: "pa.Table") -> None:
        """Keep the answers of one chunk, as `kgym.runs.episodes` stores them; they are safe when this returns."""

    def frame(self) -> "DataFrame | None":
        """Return the answers kept so far with the columns of `kgym.score.results.COLUMNS`, None if there are none."""


@dataclass(frozen=True)
class Chunk:
    """Answers that are played at once: `attempts` for each problem, numbered from `first_attempt`."""

    indices: tuple[int, ...]
    first_attempt: int
    attempts: int


class Evaluation:
    """What is asked, ready to be put to any number of engines."""

    def __init__(
        self,
        spec: EnvSpec,
        *,
        problems: int = 0,
        samples: int = 1,
        sampling: Sampling | None = None,
        seed: int = 0,
        slots: int = 256,
        template: Mapping[str, Any] | None = None,
    ) -> None:
        """Build the environment. `problems` is how many of the split, from its first on; 0 is all. `slots` answers are played at once.
        `template` has the values that the engine was given for variables of the chat template.

        Raises ConfigError for numbers that cannot be, MissingData for a split whose problems the user has yet to bring.
        """
        for name, value, least in (("samples", samples, 1), ("problems", problems, 0), ("slots", slots, 1)):
            if value < least:
                raise ConfigError(f"{name}={value}: an evaluation needs at least {least}")
        self.spec = spec
        self.samples = samples
        self.seed = seed
        self.sampling = sampling or Sampling()
        self._slots = slots
        self._known: dict[int, str] = {}
        self.setup = spec.setup()
        self.source: ProblemSource = self.setup.source
        self.indices = range(_n_problems(spec, self.source.size, problems))
        self.truncated: str = self.setup.options.truncated
        self.env_facts: dict[str, Any] = self.setup.facts()
        self.facts = comparability_facts(self.env_facts, sampling=self.sampling, n_problems=len(self.indices), template=template)
        self.comparability = comparability_hash(self.facts)

    def run(
        self,
        engine: Engine | None,
        *,
        store: Store | None = None,
        progress: Progress | None = None,
        chunk_finished: Callable[["Series[float]"], None] | None = None,
        world: World = ALONE,
    ) -> EvalResult:
        """Put the questions to an engine, but for those that `store` has the answers to, and summarise all answers.

        `chunk_finished` sees the scores of each chunk, NaN where masked, first those of the store. Without missing answers the engine may
        be None. Each rank of `world` asks its own engine a part of the questions; all have the same result.
        """
        import pandas as pd  # noqa: PLC0415  (heavy; training without validation does not need it)

        kept = store.frame() if store is not None else None
        frames = [] if kept is None else [self._asked(kept)]
        if frames and chunk_finished is not None:
            chunk_finished(counted_score(frames[0], self.truncated))
        done = sum(map(len, frames))
        total = len(self.indices) * self.samples
        for chunk in self._missing(frames[0] if frames else None, n_engines=world.size):
            assert engine is not None, "answers are missing and there is no engine"
            groups = self._play(engine, chunk, done=done, total=total, progress=progress, world=world)
            table = episode_table(groups)
            if store is not None:
                store.add(table)
            frame = table.select(list(COLUMNS)).to_pandas()
            frames.append(frame)
            done += len(frame)
            if chunk_finished is not None:
                chunk_finished(counted_score(frame, self.truncated))
        return summarise(
            self._in_order(pd.concat(frames, ignore_index=True)),
            samples=self.samples,
            truncated=self.truncated,
            facts=self.facts,
            comparability=self.comparability,
            same=self._same,
        )

    def long_prompts(self, engine: Engine) -> dict[str, int]:
        """Return which problems have a prompt that leaves no room for an answer; see `kgym.rollout.prompts.check_prompts`."""
        return check_prompts(engine, self.setup, len(self.indices))

    def n_missing(self, store: Store) -> int:
        """How many answers an engine has yet to give."""
        kept = store.frame()
        return sum(len(chunk.indices) * chunk.attempts for chunk in self._missing(None if kept is None else self._asked(kept)))

    def _play(self, engine: Engine, chunk: Chunk, *, done: int, total: int, progress: Progress | None, world: World) -> list[Group]:
        own = play_groups(
            self.setup,
            engine,
            world.share(chunk.indices),
            attempts=range(chunk.first_attempt, chunk.first_attempt + chunk.attempts),
            sampling=self.sampling,
            seed_parts=(self.seed, "eval"),
            progress=None
            if progress is None
            else lambda stopped, _asked, _tokens: progress(min(done + stopped * world.size, total), total),
        )
        groups = world.merge(own)
        self._known |= {index: group.problem.id for index, group in zip(chunk.indices, groups, strict=True)}
        return groups

    def _same(self, pairs: Sequence[Pair]) -> list[bool]:
        """Whether the verifier takes the second answer of each pair for the first."""
        items = [VerifyItem(gold=one, response=f"\\boxed{{{other}}}") for one, other in pairs]
        return [verdict.status == "correct" for verdict in self.setup.verifier.verify_many(items)]

    def _id(self, index: int) -> str:
        """The id of a problem; a generated one is made for it no more than once."""
        if index not in self._known:
            self._known[index] = self.source[index].id
        return self._known[index]

    def _ids(self) -> dict[str, int]:
        """Problem ids with their places in the evaluation."""
        return {self._id(index): index for index in self.indices}

    def _asked(self, kept: "DataFrame") -> "DataFrame":
        """Leave out stored answers beyond the k that is asked for now."""
        return kept[kept["attempt"] < self.samples]

    def _in_order(self, frame: "DataFrame") -> "DataFrame":
        """Sort by problem and attempt, so that sums do not depend on when an answer was generated."""
        places = frame["problem_id"].map(self._ids())
        return frame.assign(place=places).sort_values(["place", "attempt"], kind="stable", ignore_index=True)

    def _missing(self, kept: "DataFrame | None", *, n_engines: int = 1) -> Iterator[Chunk]:
        """Cut what is not kept into chunks of at most `slots` answers an engine; attempts of a problem are kept without gaps, from 0 on."""
        have = {} if kept is None else dict(kept["problem_id"].value_counts())
        first_attempts = {index: have.get(self._id(index), 0) for index in self.indices} if have else dict.fromkeys(self.indices, 0)
        for first, run in groupby(self.indices, key=first_attempts.__getitem__):
            lacking = self.samples - first
            if lacking <= 0:
                continue
            indices = tuple(run)
            attempts = min(lacking, self._slots)
            width = max(1, self._slots // attempts) * n_engines
            for start in range(0, len(indices), width):
                for offset in range(0, lacking, attempts):
                    yield Chunk(indices[start : start + width], first + offset, min(attempts, lacking - offset))


def evaluate(
    engine: Engine | None,
    spec: EnvSpec,
    *,
    store: Store | None = None,
    progress: Progress | None = None,
    **what: Any,
) -> EvalResult:
    """Score a live engine; `what` are the arguments of `Evaluation`."""
    return Evaluation(spec, **what).run(engine, store=store, progress=progress)


def _n_problems(spec: EnvSpec, size: int | None, problems: int) -> int:
    where = f"{spec.name}:{spec.split}"
    if size is None and problems == 0:
        raise ConfigError(
            f"{where} is generated and has no end; say how many problems (kgym eval --problems N), "
            "or name a benchmark that has a number of its own (kgym plugins list --kind benchmark)"
        )
    if size is not None and problems > size:
        raise ConfigError(f"problems={problems}: {where} has {size}; ask for as many or fewer, or for 0, which is all")
    return problems or size or 0
