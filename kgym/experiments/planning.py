"""From the table to runs. A run is one command of kgym with its folder, the file that exists once it has ended well,
and the runs that it needs.

A run is identified by its settings: the name of its folder ends in a hash of the command, in which the folders of other
runs are replaced by their hashes. So equal arms share a run, a changed setting gives a new run, and a run on disk is
found again.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kgym.errors import UnknownName
from kgym.experiments.table import PLACE, SCORED, Arm, Experiment, Scale

DONE = {
    "train": "summary.json",
    "sft": "summary.json",
    "dpo": "summary.json",
    "rm": "summary.json",
    "eval": "results.json",
    "long2short": "after/results.json",
    "models": "config.json",
    "rescore": "rescored.json",
}
"""File in the folder of a finished run, by the first word of its command."""
RESUMED = ("train", "sft", "dpo", "rm")
"""Commands that get `--resume`; the others find their stored work by themselves."""
PRINTS = ("rescore",)
"""Commands whose result is what they print."""
FOLDER_FLAG = {"long2short": "--out", "models": "--out"}
"""The flag that names the folder, if it is not `--run`."""
SCORE = ".score"
"""End of the name of an arm's evaluation."""


@dataclass(frozen=True)
class Run:
    """A command, identified by its key."""

    arm: str
    seed: int
    key: str
    folder: Path
    words: tuple[str, ...] = field(repr=False)
    """The command line of the first start, without `kgym`."""
    needs: tuple["Run", ...] = field(repr=False)
    """Runs whose folders it reads."""
    seconds: float
    """Expected time on one core; NaN if it is not known."""
    again: tuple[str, ...] = field(default=(), repr=False)
    """Options that it also gets when it is resumed."""

    @property
    def command(self) -> str:
        """The first word."""
        return self.words[0]

    @property
    def done_file(self) -> Path:
        """The file that exists once it has ended well."""
        return self.folder / DONE[self.command]

    @property
    def done(self) -> bool:
        """Whether it has ended well."""
        return self.done_file.is_file()

    @property
    def words_now(self) -> tuple[str, ...]:
        """The command line to start now: a training that has begun is resumed with the settings of its manifest."""
        if self.command in RESUMED and (self.folder / "manifest.json").exists():
            return self.command, "--run", str(self.folder), "--resume", *self.again
        return self.words


class Planner:
    """The runs of an experiment at a scale."""

    def __init__(self, experiment: Experiment, scale: str, out: Path, base: str, given: Mapping[str, str]) -> None:
        """`base` names a base of the table, and `given` are values that replace those of the table."""
        self.experiment = experiment
        self.scale: Scale = experiment.scales[scale]
        self.out = out
        values = {**experiment.bases[base], **self.scale.values, **given}
        self.values = {name: str(value) for name, value in values.items() if value != ""}
        self._unset = {name for name in values if name not in self.values}
        self._known: dict[tuple[str, int], Run | None] = {}
        self._by_key: dict[str, Run] = {}
        self._prepared: set[int] = set()

    def runs(self, seed: int, names: Collection[str]) -> list[Run]:
        """Return the runs of arms with a seed, each after those that it needs; arms that lack a value are left out."""
        found: dict[str, Run] = {}

        def add(run: Run) -> None:
            for needed in run.needs:
                add(needed)
            found.setdefault(run.key, run)

        for name in names:
            if (run := self.run(name, seed)) is not None:
                add(run)
        return list(found.values())

    def says(self, arm: str) -> str:
        """Return what an arm is, with its values."""
        return self._filled(self.experiment.arms[arm].says, self.values)

    def lacks(self, name: str) -> str:
        """Return a value that an arm needs and that was not given; "" if it has all values."""
        arm = self._arm(name)
        for place in self._places(arm):
            if place in self._unset:
                return place
            if self._is_arm(place) and (lacking := self.lacks(place)):
                return lacking
        return ""

    def run(self, name: str, seed: int) -> Run | None:
        """Return the run of an arm, or of its score, with a seed; None if it lacks a value."""
        if seed not in self._prepared:
            self._prepared.add(seed)
            for arm in self.experiment.arms:  # in order: the name of a folder must not depend on what is asked for
                self.run(arm, seed)
        if (name, seed) not in self._known:
            self._known[name, seed] = None if self.lacks(name) else self._made(name, seed)
        return self._known[name, seed]

    def _made(self, name: str, seed: int) -> Run:
        arm = self._arm(name)
        words = [*arm.words, *self.experiment.flags_of(arm)]
        needs = {
            place: run
            for place in self._places(arm)
            if self._is_arm(place) and (run := self.run(place, seed)) is not None
        }
        values = {**self.values, "seed": str(seed)}
        keyed = [self._filled(word, values | {place: run.key for place, run in needs.items()}) for word in words]
        key = hashlib.sha256(json.dumps(keyed).encode()).hexdigest()
        if key in self._by_key:
            return self._by_key[key]
        if name.endswith(SCORE):
            name = f"{needs[name.removesuffix(SCORE)].arm}{SCORE}"
        folder = self.out / "runs" / f"{name.replace('.', '-')}-{seed}-{key[:8]}"
        given = [
            self._filled(word, values | {place: str(run.folder) for place, run in needs.items()}) for word in words
        ]
        where = () if arm.words[0] in PRINTS else (FOLDER_FLAG.get(arm.words[0], "--run"), str(folder))
        seconds = arm.cost * self.scale.seconds.get(arm.command, self.scale.seconds.get(arm.words[0], 10.0))
        run = Run(name, seed, key, folder, (*given, *where), tuple(needs.values()), seconds)
        self._by_key[key] = run
        return run

    def _arm(self, name: str) -> Arm:
        if name.endswith(SCORE):
            inner = name.removesuffix(SCORE)
            return Arm(says=f"{self.experiment.arms[inner].says}, scored", command="eval", flags=f"--model {{{inner}}}")
        return self.experiment.arms[name]

    def _is_arm(self, place: str) -> bool:
        return place in self.experiment.arms

    def _places(self, arm: Arm) -> Iterator[str]:
        for word in self.experiment.flags_of(arm):
            yield from PLACE.findall(word)

    def _filled(self, word: str, values: Mapping[str, str]) -> str:
        def value(match: re.Match[str]) -> str:
            if match[1] not in values:
                raise UnknownName.near("value", match[1], {*values, *self.experiment.arms})
            return values[match[1]]

        return PLACE.sub(value, word)


def scored_name(experiment: Experiment, arm: str, measure: str) -> str:
    """Return the arm whose run has a measure of `arm`: itself, or the evaluation of the model that it trained."""
    trains = experiment.arms[arm].words[0] not in ("eval", "long2short")
    return f"{arm}{SCORE}" if measure in SCORED and trains else arm


def wanted(experiment: Experiment, claims: Collection[str]) -> list[str]:
    """Return the arms, and scores of arms, that the figures and plots of claims need, in order."""
    names: dict[str, None] = {}
    for claim in experiment.claims:
        if claim.id not in claims:
            continue
        for finding in claim.findings:
            names |= dict.fromkeys(
                scored_name(experiment, arm, finding.measure) for arm in (finding.of, finding.than) if arm
            )
        for plot in claim.plots:
            measure = f"mean {plot.y}" if plot.kind == "curves" else "accuracy"
            names |= dict.fromkeys(scored_name(experiment, arm, measure) for arm in plot.arms)
    return list(names)
