"""The table of an experiment, as a TOML file: claims, the arms that each compares, and the rule that judges the
difference.

    title = "Does practice help?"
    source = "A. Author 2025, section 3"

    [bases.nano]                                  what the flags below may name as {NAME}, for --base nano
    model = "nano"
    env = "aime"

    [scales.full]
    seeds = 3
    values = { steps = 24, score = 500 }
    seconds = { train = 60, eval = 10 }           of one run, for the estimate of the time

    [common]                                      flags of every run of a command
    train = "--model {model} --env {env} --steps {steps} --seed {seed}"
    eval = "--bench {env}:validation --problems {score} --seed {seed}"

    [arms.before]
    says = "the model as it is"
    command = "eval"
    flags = "--model {model}"

    [arms.after]
    says = "trained"
    command = "train"

    [[claims]]
    id = "a"
    says = "training helps"
    source = "section 3.1"

    [[claims.findings]]
    says = "accuracy"
    of = "after"
    than = "before"
    measure = "accuracy"
    rule = "greater"

An arm is one command of kgym for each seed. `{ARM}` in its flags is the folder of that arm's run with the same seed.
Arms with equal commands are one run. An arm that trains is scored by `kgym eval` with the common flags if a finding
asks for accuracy or tokens.
"""

import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from kgym.errors import ConfigError
from kgym.options import Options, validated

PLACE = re.compile(r"\{([A-Za-z0-9_.-]+)\}")
"""A name in flags, of a value or an arm."""
SCORED = ("accuracy", "tokens", "efficiency")
"""Measures that are taken from an evaluation."""
OF_STEPS = ("mean", "first", "last", "final", "sum", "correlation")
"""First words of the measures that are taken from the metrics of a training; see `kgym.experiments.measures`."""
Rule = Literal["greater", "less", "equal", "at_least", "at_most"]


class Arm(Options):
    """One setting, run once for each seed."""

    says: str
    """What it is, in a few words."""
    command: str
    """`train`, `sft`, `dpo`, `rm`, `eval`, `rescore`, `models merge` or `long2short METHOD`."""
    flags: str = ""
    """Flags after the common ones."""
    common: str | None = None
    """Name of the common flags; without it those of the command, in full or by its first word."""
    cost: float = Field(1.0, gt=0)
    """Its time, as a multiple of the usual run of the command."""

    @property
    def words(self) -> list[str]:
        """The words of the command, such as `long2short`, `rl`."""
        return self.command.split()


class Finding(Options):
    """One figure: a measure of an arm, or its difference from that of another arm."""

    says: str
    of: str
    than: str | None = None
    measure: str
    """`accuracy`, `tokens`, `efficiency` (right completions in 1,000 tokens), `agreement` (of `rescore`), or, over the
    steps of a training, `mean KEY`, `first KEY` and `last KEY` (halves of the run), `final KEY` (the last value),
    `sum KEY`, `correlation KEY KEY`.
    """
    relative: bool = False
    """Whether the difference is in percent of the other arm."""
    rule: Rule
    margin: float = Field(0.0, ge=0)
    """Largest difference that does not count, in the unit of the figure."""

    @model_validator(mode="after")
    def _can_be_measured(self) -> Self:
        first, *keys = self.measure.split()
        n_keys = 2 if first == "correlation" else int(first in OF_STEPS)
        if first not in (*SCORED, "agreement", *OF_STEPS) or len(keys) != n_keys:
            raise ValueError(
                f"measure={self.measure!r} must be {', '.join(SCORED)}, agreement, or one of {', '.join(OF_STEPS)} "
                "with KEY"
            )
        if self.relative and self.than is None:
            raise ValueError("relative=true needs another arm to compare with; set than")
        if self.rule in ("equal", "at_least", "at_most") and not self.margin:
            raise ValueError(f"rule={self.rule} needs a margin, since every interval has a width; set margin")
        return self


class Plot(Options):
    """The picture of a claim."""

    kind: Literal["curves", "tradeoff", "points"]
    """`curves`: a metric of training by samples. `tradeoff`: accuracy by tokens. `points`: accuracy of each arm."""
    arms: tuple[str, ...] = Field(min_length=1)
    y: str = "episode/correct_frac"
    """Metric of `curves`."""


class Claim(Options):
    """A claim of the paper, and the figures that support or contradict it."""

    id: str = Field(min_length=1)
    says: str
    source: str
    findings: tuple[Finding, ...] = Field(min_length=1)
    plots: tuple[Plot, ...] = ()


class Scale(Options):
    """How large the runs are."""

    seeds: int = Field(3, ge=1)
    values: dict[str, str | int | float] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    """Seconds of one run of each command on one core, for the estimate of the time."""


class Experiment(Options):
    """See the module."""

    title: str
    source: str
    lead: tuple[str, ...] = ()
    """Sentences at the top of the page."""
    bases: dict[str, dict[str, str | int | float]] = Field(min_length=1)
    """By the name for `--base`: the model, its environment and what depends on them. The first is the default. A value
    "" has to be given by the user; otherwise the arms that name it are left out.
    """
    scales: dict[str, Scale] = Field(min_length=1)
    common: dict[str, str] = Field(default_factory=dict)
    arms: dict[str, Arm] = Field(min_length=1)
    claims: tuple[Claim, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        for name, arm in self.arms.items():
            if arm.common is not None and arm.common not in self.common:
                raise ValueError(f"the arm {name!r} names the common flags {arm.common!r}, which are not in the table")
        ids = [claim.id for claim in self.claims]
        if len(set(ids)) < len(ids):
            raise ValueError(f"two claims have the id {Counter(ids).most_common(1)[0][0]}")
        for name, where in self._arms_named():
            if name not in self.arms:
                raise ValueError(f"{where} names the arm {name!r}, which is not in the table")
        known = {
            name for part in (*self.bases.values(), *(scale.values for scale in self.scales.values())) for name in part
        } | {"seed"}
        if both := known & self.arms.keys():
            raise ValueError(f"{min(both)} is the name of an arm and of a value; rename one of them")
        return self

    def _arms_named(self) -> Iterator[tuple[str, str]]:
        for claim in self.claims:
            for finding in claim.findings:
                for name in filter(None, (finding.of, finding.than)):
                    yield name, f"claim {claim.id}"
            for plot in claim.plots:
                yield from ((name, f"a plot of claim {claim.id}") for name in plot.arms)

    def flags_of(self, arm: Arm) -> list[str]:
        """Return the words after the command, with `{NAME}` in them."""
        names = [arm.command, arm.words[0]] if arm.common is None else [arm.common]
        common = next((self.common[name] for name in names if name in self.common), "")
        return [*shlex.split(common), *shlex.split(arm.flags)]

    def claim(self, name: str) -> Claim:
        """Return a claim by its id."""
        return next(claim for claim in self.claims if claim.id == name)


def load(path: Path) -> Experiment:
    """Read a table. Raises ConfigError, with one line, for a table that cannot be run."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the experiment {path}: {getattr(error, 'strerror', None) or error}") from error
    return validated(Experiment, values)
