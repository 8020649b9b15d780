"""Scoring: the environment and the engine of training, played over a list of problems, k answers each.

    Evaluation(spec, k ...) --missing attempts--> Player --episodes--> store, frame --summarise--> EvalResult

An answer's seed derives from (seed, "eval", problem id, attempt): scoring more problems, or more answers of each,
leaves those that are there as they are. So an evaluation that was killed goes on, and one that is asked for a larger k
only generates what is missing.
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
"""Called when an answer has ended, and every few seconds."""


class Store(Protocol):
    """Keeps the answers of an evaluation, so that it can go on."""

    def add(self, answers: "pa.Table") -> None:
        """Keep answers, as `kgym.runs.episodes` stores them; they are safe when this returns."""

    def count(self, usage: Mapping[str, int]) -> None:
        """Keep what the engine has counted since this run began, instead of what it had counted before."""

    def frame(self) -> "DataFrame | None":
        """Return the answers kept so far with the columns of `kgym.score.results.COLUMNS`, None if there are none."""


SLOTS = 256
"""Answers played at once, unless told otherwise."""


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
        slots: int = SLOTS,
        template: Mapping[str, Any] | None = None,
    ) -> None:
        """Build the environment. `problems` is how many of the split, from its first on; 0 is all. `slots` answers are
        played at once. `template` has the values that the engine was given for variables of the chat template.

        Raises ConfigError for numbers that cannot be, MissingData for a split whose problems the user has yet to add.
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
        """Put the questions to an engine, but for those that `store` has the answers to, and summarise all answers.

        `stored` sees the scores of answers as they are stored, NaN where masked, first those of the store. Without
        missing answers the engine may be None. Each rank of `world` asks its own engine a part of the questions; all
        have the same result.
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
        """Return which problems have a prompt that leaves no room for an answer; see
        `kgym.rollout.prompts.check_prompts`.
        """
        return check_prompts(engine, self.setup, len(self.indices))

    def n_missing(self, store: Store) -> int:
        """How many answers an engine has yet to give."""
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
        """Play this rank's part, and hand over all answers: as they end, or where there are several ranks at the
        end.
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
        """Whether the verifier takes the second answer of each pair for the first."""
        items = [VerifyItem(gold=one, response=f"\\boxed{{{other}}}") for one, other in pairs]
        return [verdict.status == "correct" for verdict in self.setup.verifier.verify_many(items)]

    def _problem(self, index: int) -> Problem:
        """Return a problem; one that is asked for several times in a row is made once."""
        if self._newest is None or self._newest[0] != index:
            self._newest = index, self.setup.problem(index)
            self._known[index] = self._newest[1].id
        return self._newest[1]

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
            f"{where} generates problems without end; say how many (kgym eval --problems N), "
            "or name a benchmark that sets a number (kgym plugins list --kind benchmark)"
        )
    if size is not None and problems > size:
        raise ConfigError(f"problems={problems}: {where} has {size}; ask for as many or fewer, or for 0, which is all")
    return problems or size or 0
