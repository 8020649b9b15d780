"""Scoring: the environment and the engine of training, played over a list of problems, k completions each.

    Evaluation(spec, k ...) --missing attempts--> Player --episodes--> store, frame --summarise--> EvalResult

A completion's seed derives from (seed, "eval", problem id, attempt): scoring more problems, or more completions of
each, leaves the stored ones unchanged. So an evaluation that was killed resumes, and one that is asked for a larger k
generates only what is missing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError
from kgym.rollout.prompts import check_prompts
from kgym.runs.episodes import episode_table
from kgym.score.comparability import comparability_facts, comparability_hash
from kgym.score.playing import Player, Standing, usage_of
from kgym.score.results import COLUMNS, EvalResult, counted_score, summarise
from kgym.score.votes import Pair
from kgym.types import Engine, Episode, Problem, ProblemSource, Sampling, VerifyItem
from kgym.world import ALONE, World

if TYPE_CHECKING:
    import pyarrow as pa
    from pandas import DataFrame, Series

Progress = Callable[[Standing], None]
"""Called when a completion has ended, and every few seconds."""


class Store(Protocol):
    """Keeps the completions of an evaluation, so that it can resume."""

    def add(self, answers: "pa.Table") -> None:
        """Keep completions, as `kgym.runs.episodes` stores them; they are safe when this returns."""

    def count(self, usage: Mapping[str, int]) -> None:
        """Keep what the engine has counted since this run began, instead of its earlier counts."""

    def frame(self) -> "DataFrame | None":
        """Return the completions kept so far with the columns of `kgym.score.results.COLUMNS`; None without any."""


SLOTS = 256
"""Completions played at the same time, by default."""


class Evaluation:
    """Problems and settings, ready to be played by any number of engines."""

    def __init__(
        self,
        spec: EnvSpec,
        *,
        problems: int = 0,
        samples: int = 1,
        sampling: Sampling | None = None,
        seed: int = 0,
        slots: int = SLOTS,
        template: Mapping[str, Any] | None = None,
    ) -> None:
        """Build the environment. The first `problems` of the split are played; 0 is all. `slots` completions are played
        at the same time. `template` has the values that the engine was given for variables of the chat template.

        Raises ConfigError for numbers out of range, MissingData for a split whose problems the user has yet to add.
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
        self._newest: tuple[int, Problem] | None = None
        self.setup = spec.setup()
        self.source: ProblemSource = self.setup.source
        self.indices = range(_n_problems(spec, self.source.size, problems))
        self.truncated: str = self.setup.options.truncated
        self.env_facts: dict[str, Any] = self.setup.facts()
        self.facts = comparability_facts(
            self.env_facts, sampling=self.sampling, n_problems=len(self.indices), template=template
        )
        self.comparability = comparability_hash(self.facts)

    def run(
        self,
        engine: Engine | None,
        *,
        store: Store | None = None,
        progress: Progress | None = None,
        stored: Callable[["Series[float]"], None] | None = None,
        world: World = ALONE,
    ) -> EvalResult:
        """Play the attempts that `store` does not have with an engine, and summarise all completions.

        `stored` gets the scores of completions as they are stored, NaN where masked, and first those of the store. The
        engine may be None if no completion is missing. Each rank of `world` plays a part with its own engine; all
        return the same result.
        """
        import pandas as pd  # noqa: PLC0415  (heavy; training without validation does not need it)

        kept = store.frame() if store is not None else None
        frames = [] if kept is None else [self._asked(kept)]
        if frames and stored is not None:
            stored(counted_score(frames[0], self.truncated))

        def keep(episodes: list[Episode]) -> None:
            table = episode_table(episodes)
            if store is not None:
                store.add(table)
            frames.append(table.select(list(COLUMNS)).to_pandas())
            if stored is not None:
                stored(counted_score(frames[-1], self.truncated))

        if missing := self._missing(frames[0] if frames else None):
            assert engine is not None, "completions are missing, and no engine was given"
            self._play(engine, missing, keep, store=store, progress=progress, world=world)
        return summarise(
            self._in_order(pd.concat(frames, ignore_index=True)),
            samples=self.samples,
            truncated=self.truncated,
            facts=self.facts,
            comparability=self.comparability,
            same=self._same,
        )

    def long_prompts(self, engine: Engine) -> dict[str, int]:
        """Return the problems whose prompt leaves no room for a completion; see
        `kgym.rollout.prompts.check_prompts`.
        """
        return check_prompts(engine, self.setup, len(self.indices))

    def n_missing(self, store: Store) -> int:
        """Return how many completions an engine has yet to generate."""
        kept = store.frame()
        return sum(len(attempts) for _, attempts in self._missing(None if kept is None else self._asked(kept)))

    def _play(
        self,
        engine: Engine,
        missing: "Sequence[tuple[int, Sequence[int]]]",
        keep: Callable[[list[Episode]], None],
        *,
        store: Store | None,
        progress: Progress | None,
        world: World,
    ) -> None:
        """Play this rank's part, and hand over all completions: as they end, or at the end if there are several
        ranks.
        """
        before, total = usage_of(engine), len(self.indices) * self.samples
        done = total - sum(len(attempts) for _, attempts in missing)
        own: list[Episode] = []

        def take(episodes: list[Episode]) -> None:
            if world.size > 1:
                own.extend(episodes)
            elif episodes:
                keep(episodes)
            if store is not None:
                store.count(usage_of(engine, before))

        def tell(ended: int, tokens: int) -> None:
            if progress is not None:
                played = min(ended * world.size, total - done)
                progress(Standing(done + played, total, played, tokens * world.size, usage_of(engine, before)))

        player = Player(
            self.setup,
            engine,
            slots=self._slots,
            sampling=self.sampling,
            seed_parts=(self.seed, "eval"),
            problem=self._problem,
            keep=take,
            progress=tell,
        )
        player.play((index, attempt) for index, attempts in world.share(missing) for attempt in attempts)
        if world.size > 1:
            keep([episode for part in world.gather(own) for episode in part])

    def _same(self, pairs: Sequence[Pair]) -> list[bool]:
        """Return for each pair whether the verifier accepts the second answer where the first is the gold answer."""
        items = [VerifyItem(gold=one, response=f"\\boxed{{{other}}}") for one, other in pairs]
        return [verdict.status == "correct" for verdict in self.setup.verifier.verify_many(items)]

    def _problem(self, index: int) -> Problem:
        """Return a problem; if the same one is asked for several times in a row, it is made once."""
        if self._newest is None or self._newest[0] != index:
            self._newest = index, self.setup.problem(index)
            self._known[index] = self._newest[1].id
        return self._newest[1]

    def _id(self, index: int) -> str:
        """Return the id of a problem; a generated problem is made at most once for this."""
        if index not in self._known:
            self._known[index] = self.source[index].id
        return self._known[index]

    def _ids(self) -> dict[str, int]:
        """Return the ids of the problems with their places in the evaluation."""
        return {self._id(index): index for index in self.indices}

    def _asked(self, kept: "DataFrame") -> "DataFrame":
        """Leave out stored completions beyond the k that is asked for now."""
        return kept[kept["attempt"] < self.samples]

    def _in_order(self, frame: "DataFrame") -> "DataFrame":
        """Sort by problem and attempt, so that sums do not depend on when a completion was generated."""
        places = frame["problem_id"].map(self._ids())
        return frame.assign(place=places).sort_values(["place", "attempt"], kind="stable", ignore_index=True)

    def _missing(self, kept: "DataFrame | None") -> list[tuple[int, Sequence[int]]]:
        """Return the attempts that are not kept, by the index of their problem, in order."""
        everything = range(self.samples)
        if kept is None or kept.empty:
            return [(index, everything) for index in self.indices]
        counts = dict(kept["problem_id"].value_counts())
        lacking = [index for index in self.indices if counts.get(self._id(index), 0) < self.samples]
        names = {self._id(index) for index in lacking}
        some = kept[kept["problem_id"].isin(names)].groupby("problem_id")["attempt"].agg(set).to_dict()
        return [(index, [n for n in everything if n not in some.get(self._id(index), ())]) for index in lacking]


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
            f"{where} generates problems without end; set a number (kgym eval --problems N), "
            "or name a benchmark that sets a number (kgym plugins list --kind benchmark)"
        )
    if size is not None and problems > size:
        raise ConfigError(f"problems={problems}: {where} has {size}; ask for as many or fewer, or for 0, which is all")
    return problems or size or 0
