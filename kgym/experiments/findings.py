"""From finished runs to figures with intervals and verdicts."""

import math
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kgym.experiments.measures import measured, of_the_clock, unit_of
from kgym.experiments.planning import Planner, scored_name
from kgym.experiments.table import Claim, Finding
from kgym.experiments.verdicts import Interval, Verdict, seed_interval, together, verdict


@dataclass(frozen=True)
class Figure:
    """The measured figure of a finding."""

    claim: Claim
    finding: Finding
    means: tuple[float, ...]
    """Means over seeds: of the arm, and of the one that it is compared with."""
    by_seed: tuple[float, ...]
    """The figure of each seed."""
    interval: Interval
    verdict: Verdict
    missing: str = ""
    """Why the figure is missing; "" if it is not."""

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return math.fsum(self.by_seed) / len(self.by_seed) if self.by_seed else math.nan

    @property
    def unit(self) -> str:
        """See `unit_of`."""
        return unit_of(self.finding.measure, relative=self.finding.relative)

    @property
    def of_the_clock(self) -> bool:
        """See `of_the_clock`."""
        return of_the_clock(self.finding.measure)


def figures(planner: Planner, claims: Collection[str], seeds: Sequence[int], failed: Collection[str]) -> list[Figure]:
    """Return the figure of each finding, in order; `failed` are the keys of runs that did not end well."""
    found = []
    for claim in planner.experiment.claims:
        if claim.id in claims:
            found += [_figure(planner, claim, finding, seeds, failed) for finding in claim.findings]
    return found


def verdicts_of(found: Sequence[Figure]) -> dict[str, Verdict]:
    """Return the verdict on each claim."""
    ids = dict.fromkeys(figure.claim.id for figure in found)
    return {name: together([figure.verdict for figure in found if figure.claim.id == name]) for name in ids}


def commands(planner: Planner, finding: Finding, seed: int) -> list[str]:
    """Return the commands whose runs a figure is computed from, after those that they need."""
    names = [scored_name(planner.experiment, arm, finding.measure) for arm in (finding.of, finding.than) if arm]
    return [f"kgym {shlex.join(run.words)}" for run in planner.runs(seed, names)]


def _figure(planner: Planner, claim: Claim, finding: Finding, seeds: Sequence[int], failed: Collection[str]) -> Figure:
    arms = [arm for arm in (finding.of, finding.than) if arm]
    names = [scored_name(planner.experiment, arm, finding.measure) for arm in arms]
    for name in names:
        if lacking := planner.lacks(name):
            return Figure(
                claim, finding, (), (), seed_interval(()), "cannot tell", f"not run: it needs a value for {lacking}"
            )
    columns = []
    for name in names:
        runs = [run for seed in seeds if (run := planner.run(name, seed)) is not None]
        if broken := [run for run in runs if not run.done]:
            why = "failed" if any(run.key in failed for run in broken) else "has not ended"
            return Figure(
                claim, finding, (), (), seed_interval(()), "cannot tell", f"the run {broken[0].folder.name} {why}"
            )
        columns.append([measured(run, finding.measure) for run in runs])
    bounded = finding.than is None and finding.measure.startswith("correlation")
    by_seed = columns[0]
    if len(columns) > 1:
        by_seed = [a - b for a, b in zip(*columns, strict=True)]
        if finding.relative:
            by_seed = [
                100 * difference / b if b else math.nan for difference, b in zip(by_seed, columns[1], strict=True)
            ]
    low, high = seed_interval(by_seed)
    interval = (max(low, -1.0), min(high, 1.0)) if bounded and math.isfinite(low) else (low, high)
    means = tuple(math.fsum(column) / len(column) for column in columns)
    return Figure(claim, finding, means, tuple(by_seed), interval, verdict(finding.rule, interval, finding.margin))
