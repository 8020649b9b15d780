"""Several runs side by side, with curves and paired differences; runs that differ only in the seed are one group.

folders --grouped--> [Group ...] --> keys that differ, figures, Difference of each group from the first
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import stdev
from typing import Any

from kgym.board.view import names_of
from kgym.errors import ConfigError
from kgym.experiments.verdicts import Interval, seed_interval
from kgym.files import reading
from kgym.folders import numbered
from kgym.neutral import one_line
from kgym.runs.folder import RunFolder
from kgym.runs.manifest import KIND, kind_of
from kgym.runs.metrics import read_metrics
from kgym.score.comparability import differences, flat
from kgym.score.paired import PairedTest, paired_difference
from kgym.score.results import EvalResult
from kgym.score.store import read_results

OWN = "validation"
"""Label of the validation of a training on one environment."""
MOST_NAMING_KEYS = 3
"""Most keys in the name of a group; groups that differ in more keys are named after a folder."""
MOST_RUNS = 500


@dataclass(frozen=True)
class Run:
    """A run of any kind, finished or not."""

    folder: Path
    kind: str
    seed: int
    settings: dict[str, Any]
    """Its configuration without the seed, by dotted key."""

    @cached_property
    def lines(self) -> list[dict[str, float]]:
        """Its metrics; [] for an evaluation."""
        return read_metrics(self.folder / "metrics.jsonl")

    @cached_property
    def scores(self) -> dict[str, EvalResult]:
        """Its newest validations and benchmarks by label; for an evaluation, the result by its benchmark."""
        if self.kind == KIND:
            if not (self.folder / "results.json").is_file():
                return {}
            found = read_results(self.folder)
            return {str(found["benchmark"]): EvalResult.from_json(found)}
        root = self.folder / "eval"
        places = {OWN: root} | {path.name: path for path in sorted(root.glob("*")) if path.is_dir()}
        newest = {
            label: files[max(files)] for label, place in places.items() if (files := numbered(place, "step", ".json"))
        }
        return {label: _result(file) for label, file in newest.items()}


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the seed."""

    name: str
    runs: tuple[Run, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """See `Run.settings`."""
        return self.runs[0].settings

    @property
    def seeds(self) -> list[int]:
        """Seeds in the order of the runs."""
        return [run.seed for run in self.runs]

    def accuracies(self, label: str) -> dict[int, float]:
        """Return the newest accuracy of the runs that have one, in points, by seed: the mean of runs with one seed."""
        by_seed: dict[int, list[float]] = {}
        for seed, result in self.results(label):
            by_seed.setdefault(seed, []).append(100 * result.accuracy)
        return {seed: math.fsum(found) / len(found) for seed, found in by_seed.items()}

    def results(self, label: str) -> list[tuple[int, EvalResult]]:
        """Return the newest result of each run that has one, with the seed of the run."""
        return [(run.seed, run.scores[label]) for run in self.runs if label in run.scores]


@dataclass(frozen=True)
class Difference:
    """How much a group differs from another one in the score of one set of problems, in points."""

    label: str
    of: str
    than: str
    over_problems: PairedTest | None = None
    """Test of the means over seeds, paired by problem: for these trained models on problems like these."""
    by_seed: tuple[float, ...] = ()
    """Difference for each seed that both groups have."""
    why_not: str = ""
    """Why there is no difference."""

    @property
    def over_seeds(self) -> Interval:
        """95 % interval by Student's t over seeds: for other runs with the same settings."""
        return seed_interval(self.by_seed)


@dataclass(frozen=True)
class Comparison:
    """Result of `compare`."""

    groups: tuple[Group, ...]
    keys: tuple[str, ...]
    """Keys of the configuration that differ between groups."""
    differences: tuple[Difference, ...] = field(default=())

    @property
    def labels(self) -> list[str]:
        """Labels of the scores that any run has."""
        return list(dict.fromkeys(label for group in self.groups for run in group.runs for label in run.scores))


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare runs; the folder of a sweep stands for all of its runs. Each group is compared with the first one.

    Raises ConfigError for a folder that is neither a run nor a sweep, DataError for a damaged run.
    """
    runs = [_run(folder) for folder in dict.fromkeys(path for given in folders for path in _runs_in(given))]
    if len(runs) < 2:
        raise ConfigError(f"{folders[0]} is one run; name two or more to compare, or the folder of a sweep")
    if len(runs) > MOST_RUNS:
        raise ConfigError(f"{len(runs)} runs are more than a comparison shows ({MOST_RUNS}); name fewer")
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(json.dumps([run.kind, run.settings], sort_keys=True), []).append(run)
    grouped = list(members.values())
    for group in grouped:
        group.sort(key=lambda run: run.seed)
    keys = _differing([group[0].settings for group in grouped])
    names = _names(grouped, keys)
    groups = tuple(Group(name, tuple(group)) for name, group in zip(names, grouped, strict=True))
    return Comparison(groups, keys, tuple(_differences(groups)))


def _runs_in(folder: Path) -> list[Path]:
    if (folder / "manifest.json").exists():
        return [folder]
    inside = sorted(path.parent for path in folder.glob("runs/*/manifest.json"))
    if not inside:
        raise ConfigError(f"{folder} is not a run folder or a sweep: it has no manifest.json, and no runs below runs/")
    return inside


def _run(folder: Path) -> Run:
    manifest = RunFolder(folder).read_manifest()
    kind = kind_of(manifest)
    config = dict(manifest["request"] if kind == KIND else manifest["config"])
    seed = int(config.pop("seed", 0))
    settings = {key.replace(".options.", "."): value for key, value in flat(config).items()}
    return Run(folder, kind, seed, settings)


def _differing(settings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    keys = dict.fromkeys(key for each in settings for key in each)
    return tuple(key for key in keys if any(each.get(key) != settings[0].get(key) for each in settings))


def _names(groups: Sequence[Sequence[Run]], keys: Sequence[str]) -> list[str]:
    """Name groups by the keys that differ, or by their first folder if these are none or too many."""
    by_folder = names_of([group[0].folder for group in groups])
    if not 0 < len(keys) <= MOST_NAMING_KEYS:
        return [by_folder[group[0].folder] for group in groups]
    found = [", ".join(f"{_short(key)}={_said(group[0].settings.get(key))}" for key in keys) for group in groups]
    return found if len(set(found)) == len(found) else [by_folder[group[0].folder] for group in groups]


def _short(key: str) -> str:
    section, _, last = key.rpartition(".")
    return section.rpartition(".")[2] if last == "name" and section else last


def setting(group: "Group", key: str) -> str:
    """Return the value of a key for people; "-" if the configuration does not have the key."""
    return _said(group.settings[key]) if key in group.settings else "-"


def _said(value: Any) -> str:
    return one_line("none" if value is None else value if isinstance(value, str) else json.dumps(value), 40)


def _differences(groups: Sequence[Group]) -> Iterable[Difference]:
    first, *others = groups
    for other in others:
        for label in dict.fromkeys(label for run in first.runs for label in run.scores):
            yield _difference(first, other, label)


def _difference(first: Group, other: Group, label: str) -> Difference:
    results = [group.results(label) for group in (first, other)]
    if not results[1]:
        return Difference(label, other.name, first.name, why_not="it has no such score yet")
    _, reference = results[0][0]
    for _, result in [*results[0], *results[1]]:
        if result.comparability != reference.comparability:
            said_why = "; ".join(differences(reference.facts, result.facts))
            return Difference(label, other.name, first.name, why_not=f"they measure different things: {said_why}")
    before, after = (_mean_scores(found) for found in results)
    ours, theirs = other.accuracies(label), first.accuracies(label)
    by_seed = tuple(ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys()))
    try:
        test = paired_difference(before, after)
    except ValueError as error:
        return Difference(label, other.name, first.name, by_seed=by_seed, why_not=str(error))
    return Difference(label, other.name, first.name, test, by_seed)


def _mean_scores(results: Sequence[tuple[int, EvalResult]]) -> dict[str, float]:
    """Return the mean score over seeds of each problem that has a score in all runs; `results` are with their seeds.

    Runs with one seed count together as much as a single run with another.
    """
    runs = Counter(seed for seed, _ in results)
    common = set.intersection(*(set(result.scores) for _, result in results))
    return {
        name: math.fsum(result.scores[name] / runs[seed] for seed, result in results) / len(runs)
        for name in results[0][1].scores
        if name in common
    }


def _result(file: Path) -> EvalResult:
    with reading(file, remedy="remove it to see the run without its figures"):
        return EvalResult.from_json(json.loads(file.read_text(encoding="utf-8")))


def mean_and_spread(values: Iterable[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation; NaN for too few values."""
    found = list(values)
    mean = math.fsum(found) / len(found) if found else math.nan
    return mean, stdev(found) if len(found) > 1 else math.nan


def facts_of(found: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values."""
    groups = []
    for group in found.groups:
        scores = {}
        for label in found.labels:
            by_seed = group.accuracies(label)
            mean, spread = mean_and_spread(by_seed.values())
            scores[label] = {
                "mean": mean,
                "spread": spread,
                "interval": seed_interval(list(by_seed.values())),
                "by_seed": by_seed,
            }
        own = {key: group.settings.get(key) for key in found.keys}
        runs = [str(run.folder) for run in group.runs]
        groups.append(
            {"name": group.name, "runs": runs, "seeds": group.seeds, "settings": own, "accuracy_points": scores}
        )
    return {
        "keys": found.keys,
        "groups": groups,
        "differences": [_difference_facts(each) for each in found.differences],
    }


def _difference_facts(each: Difference) -> dict[str, Any]:
    test = each.over_problems
    over_problems = None
    if test is not None:
        interval = [100 * end for end in test.interval]
        over_problems = {
            "difference": 100 * test.difference,
            "interval": interval,
            "p_value": test.p_value,
            "test": test.name,
            "n": test.n,
        }
    return {
        "label": each.label,
        "of": each.of,
        "than": each.than,
        "over_problems": over_problems,
        "over_seeds": {"by_seed": each.by_seed, "interval": each.over_seeds},
        "why_not": each.why_not,
    }
