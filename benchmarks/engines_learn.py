"""Learning curves of the quickstart with other engines, against those of the built-in one.

    python benchmarks/engines_learn.py --vllm-python .venv-vllm/bin/python     finished runs in OUT are not repeated
    python benchmarks/engines_learn.py --vllm-python PY --quick                one seed, three small steps: a test

    OUT/ENGINE-seedN/                               a run of `kgym train`, with its defaults except for the engine
    benchmarks/results/engines_learn.{md,json,png}  the table, the figures and the picture

Runs of one seed have the same problems in the same order. The engines draw their random numbers in different ways, so
their completions differ from the first step on, and curves of one seed differ like those of two seeds. The question is
whether they differ on average. The standard error is that of the mean of the paired differences over the seeds.

`policy/engine_gap_nats` compares the engine's log-probabilities with the trainer's in every step. It shows at once if
weights did not arrive, or only in part.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from train_step import HERE, machine

from kgym.files import write_atomic
from kgym.runs.metrics import read_metrics
from kgym.score.stats import t_quantile

ENGINES = ("transformers", "vllm")
COLOURS = {"transformers": "#8a8a8a", "vllm": "#1f5fa8"}
CURVE, GAP = "eval/accuracy", "policy/engine_gap_nats"
FIGURES = ("time/rollout_s", "time/train_s", "speed/tokens_per_s", "episode/tokens_mean", "policy/entropy_nats")
QUICK = ("rollout.problems_per_step=3", "rollout.group_size=4", "env.max_tokens=32", "eval.problems=8", "eval.every=1")

Runs = Mapping[tuple[str, int], Mapping[int, Mapping[str, float]]]
"""The metrics of each step, by engine and seed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing; write the table and the picture."""
    args = parse(arguments)
    for seed in range(args.seeds):
        for engine in ENGINES:
            train(args, engine, seed)
    runs = {(engine, seed): metrics(folder(args.out, engine, seed)) for seed in range(args.seeds) for engine in ENGINES}
    manifest = json.loads((folder(args.out, "vllm", 0) / "manifest.json").read_text())
    place = machine(args.threads) | {"commit": manifest.get("checkout", {}).get("commit", "")[:7]}
    found = {"machine": place, "steps": args.steps, **summary(runs, args.seeds)}
    text = report(found, runs, args.seeds)
    print(text)
    results = args.out if args.quick else HERE / "results"
    write_atomic(results / "engines_learn.json", json.dumps(found, indent=1) + "\n")
    write_atomic(results / "engines_learn.md", text + "\n")
    draw(runs, results / "engines_learn.png")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm-python", required=True, help="Python of the virtual environment that has vLLM")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each engine (default: 3)")
    parser.add_argument("--steps", type=int, default=12, help="steps of a run (default: 12)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    parser.add_argument("--quick", action="store_true", help="one seed, three small steps")
    parser.add_argument("--out", type=Path, default=Path("runs/engines_learn"))
    args = parser.parse_args(arguments)
    if args.quick:
        args.seeds, args.steps = 1, 3
    return args


def folder(out: Path, engine: str, seed: int) -> Path:
    """Return where a run is."""
    return out / f"{engine}-seed{seed}"


def train(args: argparse.Namespace, engine: str, seed: int) -> None:
    """Train once; resume a run that was interrupted, and leave one that has ended alone."""
    run = folder(args.out, engine, seed)
    if (run / "summary.json").exists():
        return
    command = [sys.executable, "-m", "kgym", "train", "--run", str(run), "-q"]
    if (run / "manifest.json").exists():
        command += ["--resume"]
    else:
        settings = list(QUICK) if args.quick else []
        if engine == "vllm":
            settings.append(f"engine.python={args.vllm_python}")
        command += ["--engine", engine, "--seed", str(seed), "--steps", str(args.steps)]
        command += [word for setting in settings for word in ("--set", setting)]
    print(f"{run} ...", file=sys.stderr, flush=True)
    subprocess.run(
        command, check=True, env=os.environ | {"OMP_NUM_THREADS": str(args.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    )


def metrics(run: Path) -> dict[int, dict[str, float]]:
    """Return the metrics of a run by step."""
    return {int(line["step"]): line for line in read_metrics(run / "metrics.jsonl")}


# --- the figures


def summary(runs: Runs, seeds: int) -> dict[str, Any]:
    """Return the curves, the largest gap of each run, and the means of some metrics over steps and seeds."""
    steps = [step for step, line in runs[ENGINES[0], 0].items() if CURVE in line]
    curves = {
        f"{engine}-seed{seed}": {step: line[step][CURVE] for step in steps} for (engine, seed), line in runs.items()
    }
    gaps = {
        f"{engine}-seed{seed}": max(line[GAP] for line in lines.values() if GAP in line)
        for (engine, seed), lines in runs.items()
    }
    figures = {
        engine: {
            figure: statistics.mean(
                line[figure] for seed in range(seeds) for line in runs[engine, seed].values() if figure in line
            )
            for figure in FIGURES
        }
        for engine in ENGINES
    }
    return {"curves": curves, "gap_nats_max": gaps, "means": figures}


def report(found: Mapping[str, Any], runs: Runs, seeds: int) -> str:
    """Return the tables as Markdown."""
    place = found["machine"]
    curves = found["curves"]
    steps = list(next(iter(curves.values())))
    text = [
        f"`python benchmarks/engines_learn.py` at {place['commit']}, {place['cpu']}, {place['threads']} thread(s), a "
        "shared machine.",
        "Per cent of 500 validation problems, one completion each, at temperature 1:",
        "",
        f"| step | {' | '.join(f'{engine}, seed {seed}' for engine in ENGINES for seed in range(seeds))} "
        "| difference |",
        f"|{'---|' * (len(runs) + 2)}",
    ]
    for step in steps:
        values = {name: 100 * curve[step] for name, curve in curves.items()}
        cells = [f"{values[f'{engine}-seed{seed}']:.1f}" for engine in ENGINES for seed in range(seeds)]
        differences = [values[f"vllm-seed{seed}"] - values[f"transformers-seed{seed}"] for seed in range(seeds)]
        text.append(f"| {step} | {' | '.join(cells)} | {with_error(differences)} |")
    gaps = {engine: max(found["gap_nats_max"][f"{engine}-seed{seed}"] for seed in range(seeds)) for engine in ENGINES}
    text += ["", f"| | {' | '.join(ENGINES)} |", f"|{'---|' * (len(ENGINES) + 1)}"]
    text.append(f"| `{GAP}`, largest of all steps | {' | '.join(f'{gaps[engine]:.1g}' for engine in ENGINES)} |")
    for figure in FIGURES:
        means = [found["means"][engine][figure] for engine in ENGINES]
        text.append(f"| `{figure}`, mean | {' | '.join(f'{mean:.3g}' for mean in means)} |")
    return "\n".join(text)


def with_error(differences: Sequence[float]) -> str:
    """Return a mean of paired differences with its standard error, and with its 95 % interval by Student's t."""
    mean = f"{statistics.mean(differences):+.1f}"
    if len(differences) < 2:
        return mean
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{mean} (standard error {error:.1f}, 95 % ± {t_quantile(0.975, len(differences) - 1) * error:.1f})"


def draw(runs: Runs, file: Path) -> None:
    """Draw accuracy and gap against the step, a line for each run."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for (engine, seed), lines in runs.items():
        label = engine if seed == 0 else None
        for ax, key, factor in ((left, CURVE, 100), (right, GAP, 1)):
            points = {step: factor * line[key] for step, line in lines.items() if key in line}
            ax.plot(
                list(points), list(points.values()), "o-", color=COLOURS[engine], alpha=0.8, markersize=4, label=label
            )
    left.set(
        xlabel="step",
        ylabel="validation problems solved, per cent",
        title="accuracy, three seeds" if len(runs) == 6 else "accuracy",
    )
    right.set(xlabel="step", ylabel="nats", title="engine_gap_nats: engine against trainer")
    right.set_ylim(bottom=0)
    for ax in (left, right):
        ax.grid(alpha=0.25)
        ax.legend()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
