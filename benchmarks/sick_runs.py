"""Runs that are made sick on purpose, and the plots of `docs/sick-runs.md`.

    python benchmarks/sick_runs.py --runs runs/sick                  # the runs, then the plots; finished runs are kept
    python benchmarks/sick_runs.py --runs runs/sick --only length    # one illness and its cure
    python benchmarks/sick_runs.py --runs runs/sick --plots-only

Each run trains `nano` on `aime` for 12 steps of 8 groups of 8 on one thread: about 20 seconds of processor time.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ROOT / "benchmarks/sick_parts.py"
COMMON = ("--steps", "12", "--set", "rollout.problems_per_step=8", "train.threads=1", "eval.every=0")
RED, BLUE = "#c44e52", "#4c72b0"


@dataclass(frozen=True)
class Panel:
    """One metric, of both runs."""

    metric: str
    logarithmic: bool = False
    of_healthy: str = ""
    """The same figure of the healthy run, where it has another name there."""


@dataclass(frozen=True)
class Illness:
    """A run that is sick, and what it is compared with."""

    settings: tuple[str, ...]
    panels: tuple[Panel, ...]
    cure: str = "healthy"
    """The run after the cure."""


SHORTER = ("shapers.length_penalty.weight=0.5", "shapers.length_penalty.warmup_steps=0")
BOLD = ("rollout.temperature=1.3", "train.lr=5e-4", "algo.inner_steps=4")

RUNS: dict[str, tuple[str, ...]] = {
    "healthy": (),
    "short": SHORTER,
    "bold": (*BOLD, *SHORTER),
}
ILLNESSES = {
    "entropy": Illness(
        ("sampler=prioritized", "sampler.pool=8", "train.lr=3e-4", "algo.inner_steps=4"),
        (Panel("policy/entropy_nats", logarithmic=True), Panel("group/informative_frac"), Panel("reward/mean")),
    ),
    "length": Illness(
        (*BOLD, "shapers.thorough.weight=0.1"),
        (Panel("episode/tokens_mean"), Panel("episode/truncated_frac"), Panel("episode/correct_frac")),
        cure="bold",
    ),
    "hacking": Illness(
        ("verifier.name=form", "audit={}", *SHORTER),
        (
            Panel("reward/mean"),
            Panel("audit/correct_frac", of_healthy="episode/correct_frac"),
            Panel("episode/tokens_mean"),
        ),
        cure="short",
    ),
    "truncation": Illness(
        ("env.max_tokens=24",),
        (Panel("episode/truncated_frac"), Panel("episode/tokens_mean"), Panel("episode/correct_frac")),
    ),
    "mismatch": Illness(
        ("engine.dtype=bfloat16",),
        (
            Panel("policy/engine_gap_nats", logarithmic=True),
            Panel("mismatch/gap_max_nats", logarithmic=True),
            Panel("reward/mean"),
        ),
    ),
    "stale": Illness(
        (
            "rollout.schedule=partial",
            "rollout.oversample=6",
            "rollout.max_age=50",
            "rollout.old_tokens=correct",
            "train.lr=3e-4",
        ),
        (Panel("rollout/age_mean"), Panel("mismatch/gap_nats", logarithmic=True), Panel("mismatch/ess_frac")),
    ),
}


def command(run: Path, settings: Sequence[str]) -> list[str]:
    """Return the command line of a run."""
    return [sys.executable, "-m", "kgym", "-p", str(PARTS), "-q", "train", *COMMON, *settings, "--run", str(run)]


def play(folder: Path, names: Sequence[str]) -> None:
    """Make the runs that are not complete."""
    settings = RUNS | {name: illness.settings for name, illness in ILLNESSES.items()}
    for name in names:
        run = folder / name
        if not (run / "summary.json").exists():
            print(name, *settings[name], flush=True)
            subprocess.run(command(run, settings[name]), check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def curve(run: Path, metric: str) -> tuple[list[int], list[float]]:
    """Return the steps and the values of a metric, where it has one."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    known = [(line["step"], line[metric]) for line in lines if line.get(metric) is not None]
    return [step for step, _ in known], [value for _, value in known]


def plot(folder: Path, name: str, out: Path) -> None:
    """Draw the panels of an illness: the sick run and the one after the cure."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    illness = ILLNESSES[name]
    style = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25}
    with mpl.rc_context(style | {"font.size": 9, "svg.hashsalt": name, "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 2.7), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(illness.panels)), illness.panels, strict=True):
            axes.plot(*curve(folder / name, panel.metric), color=RED, marker=".", label="sick")
            cured = panel.of_healthy or panel.metric
            axes.plot(
                *curve(folder / illness.cure, cured), color=BLUE, marker=".", linestyle="--", label="after the cure"
            )
            axes.set_title(panel.metric, fontsize=9)
            axes.set_xlabel("step")
            axes.locator_params(axis="x", integer=True)
            if panel.logarithmic:
                axes.set_yscale("log")
            else:
                axes.set_ylim(bottom=0)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
        figure.savefig(out, dpi=110)


def main() -> None:
    """Make the runs and the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--only", choices=ILLNESSES, help="one illness")
    parser.add_argument("--plots-only", action="store_true", help="plot the runs that are there")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/sick", help="folder of the plots")
    args = parser.parse_args()
    chosen = [args.only] if args.only else list(ILLNESSES)
    if not args.plots_only:
        play(args.runs, list(dict.fromkeys([*(ILLNESSES[name].cure for name in chosen), *chosen])))
    args.out.mkdir(exist_ok=True)
    for name in chosen:
        plot(args.runs, name, args.out / f"{name}.png")


if __name__ == "__main__":
    main()
