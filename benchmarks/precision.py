"""What the types of numbers do to training: how far weights move, and the learning curves of bfloat16 against float32.

    python benchmarks/precision.py            both parts; runs that are in OUT already are not run again
    python benchmarks/precision.py --moves    only how far weights move, in seconds
    python benchmarks/precision.py --quick    one seed, three steps, small batches: whether everything works

    OUT/DTYPE-seedN/    a run of `kgym train`, with its defaults but for `train.dtype`
    OUT/precision.md    the tables

Moves: each weight gets the same gradient in every step, the most favourable case, since changes of one sign add up.
`Kahan` are compensated sums in bfloat16 (weight and compensation), which take as much memory as `adamw-split`.

Curves: both types of a seed have the same problems in the same order. Their completions differ from the
first token on that rounding changes, so curves of one seed differ like those of two seeds; the question is whether they
differ on average. The standard error is that of the mean of the paired differences over the seeds.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import torch
from torch import Tensor, nn

from kgym.files import write_atomic
from kgym.runs.metrics import read_metrics
from kgym.score.stats import t_quantile
from kgym.train.optim import SplitAdamW, make_optimizer

DTYPES = ("float32", "bfloat16")
CURVE = "eval/accuracy"
FIGURES = ("policy/engine_gap_nats", "policy/entropy_nats", "optim/grad_norm", "episode/correct_frac")
QUICK = ("rollout.problems_per_step=3", "rollout.group_size=4", "env.max_tokens=32", "eval.problems=8", "eval.every=1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and write the tables."""
    args = parse(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    parts = [moves_table()]
    if not args.moves:
        for seed in range(args.seeds):
            for dtype in DTYPES:
                run(args.out, dtype, seed, args)
        parts += [curves_table(args.out, args.seeds), figures_table(args.out, args.seeds)]
    text = "\n\n".join(parts)
    print(text)
    write_atomic(args.out / "precision.md", text + "\n")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", action="store_true", help="only how far weights move")
    parser.add_argument("--quick", action="store_true", help="one seed, three steps, small batches")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each type (default: 3)")
    parser.add_argument("--steps", type=int, default=12, help="steps of a run (default: 12)")
    parser.add_argument("--out", type=Path, default=Path("runs/precision"))
    args = parser.parse_args(arguments)
    if args.quick:
        args.seeds, args.steps = 1, 3
    return args


# --- how far weights move


def moves_table(steps: int = 20) -> str:
    """Return the shares of the way that weights go, for matrices (deviation 0.02) and for gains (around 1)."""
    lines = [
        "| weights, learning rate, steps | float32 | bfloat16 | bfloat16, Kahan | bfloat16, adamw-split |",
        "|---|---|---|---|---|",
    ]
    for name, mean, deviation, rates, n in (
        ("matrix of deviation 0.02", 0.0, 0.02, (1e-4, 1e-5, 1e-6, 1e-7), steps),
        ("the same", 0.0, 0.02, (1e-6, 1e-7), 100 * steps),
        ("gains around 1", 1.0, 0.1, (1e-6,), 100 * steps),
    ):
        for lr in rates:
            torch.manual_seed(0)
            start = torch.empty(128, 128).normal_(mean, deviation).bfloat16()
            shares = (
                moved(start.float(), lr, n),
                moved(start, lr, n),
                kahan(start, lr, n),
                moved(start, lr, n, split=True),
            )
            lines.append(f"| {name}, {lr:g}, {n} | {' | '.join(f'{share:.1%}' for share in shares)} |")
    return "\n".join(lines)


def moved(start: Tensor, lr: float, steps: int, *, split: bool = False) -> float:
    """Return how far AdamW moves weights along one constant gradient, as a share of the way of exact sums."""
    layer = nn.Linear(*start.shape, bias=False, dtype=start.dtype)
    layer.weight.data = start.clone()
    optimizer = make_optimizer(layer, lr=lr, weight_decay=0.0, betas=(0.9, 0.95), split=split)
    for _ in range(steps):
        layer.weight.grad = torch.ones_like(layer.weight)
        optimizer.step()
    end = optimizer.masters(layer.weight) if isinstance(optimizer, SplitAdamW) else layer.weight.detach()
    return share(start, end.double(), lr * steps)


def kahan(start: Tensor, lr: float, steps: int) -> float:
    """Return the same for compensated sums in bfloat16; a step along a constant gradient is the learning rate."""
    weights, compensation = start.clone(), torch.zeros_like(start)
    for _ in range(steps):
        compensation -= lr
        before = weights.clone()
        weights += compensation
        compensation += before - weights
    return share(start, weights.double() + compensation.double(), lr * steps)


def share(start: Tensor, end: Tensor, way: float) -> float:
    """Return the mean way from start to end as a share of the whole one."""
    return ((start.double() - end).mean() / way).item()


# --- learning curves


def run(out: Path, dtype: str, seed: int, args: argparse.Namespace) -> None:
    """Train once; continue with a run that was interrupted, and leave one that has ended alone."""
    folder = out / f"{dtype}-seed{seed}"
    if (folder / "summary.json").exists():
        return
    command = [sys.executable, "-m", "kgym", "train", "--run", str(folder), "-q"]
    if (folder / "manifest.json").exists():
        command += ["--resume"]
    else:
        settings = [
            f"train.dtype={dtype}",
            "train.master_dtype=float32",
            "train.device=cpu",
            *(QUICK if args.quick else ()),
        ]
        command += [
            "--seed",
            str(seed),
            "--steps",
            str(args.steps),
            *(part for one in settings for part in ("--set", one)),
        ]
    print(f"{folder} ...", file=sys.stderr)
    subprocess.run(command, check=True)


def lines(out: Path, dtype: str, seed: int) -> dict[int, dict[str, float]]:
    """Return the metrics of a run by step."""
    return {int(line["step"]): line for line in read_metrics(out / f"{dtype}-seed{seed}" / "metrics.jsonl")}


def curves_table(out: Path, seeds: int) -> str:
    """Return the accuracy of each validation, by type, and their differences."""
    found = {(dtype, seed): lines(out, dtype, seed) for dtype in DTYPES for seed in range(seeds)}
    steps = [step for step, line in found[DTYPES[0], 0].items() if CURVE in line]
    head = [f"{dtype}, seed {seed}" for dtype in DTYPES for seed in range(seeds)]
    text = [f"| step | {' | '.join(head)} | difference |", f"|{'---|' * (len(head) + 2)}"]
    for step in steps:
        values = {key: 100 * line[step][CURVE] for key, line in found.items()}
        differences = [values["bfloat16", seed] - values["float32", seed] for seed in range(seeds)]
        text.append(
            f"| {step} | {' | '.join(f'{value:.1f}' for value in values.values())} "
            f"| {with_error(differences, '+.1f')} |"
        )
    return "\n".join(text)


def figures_table(out: Path, seeds: int) -> str:
    """Return the mean over the steps and seeds of some metrics, by type."""
    text = ["| mean over the steps | float32 | bfloat16 | difference |", "|---|---|---|---|"]
    for figure in FIGURES:
        means = {
            dtype: [
                statistics.mean(line[figure] for line in lines(out, dtype, seed).values() if figure in line)
                for seed in range(seeds)
            ]
            for dtype in DTYPES
        }
        differences = [short - exact for exact, short in zip(means["float32"], means["bfloat16"], strict=True)]
        cells = [f"{statistics.mean(means[dtype]):.3g}" for dtype in DTYPES]
        text.append(f"| `{figure}` | {' | '.join(cells)} | {with_error(differences, '+.2g')} |")
    return "\n".join(text)


def with_error(differences: Sequence[float], form: str) -> str:
    """Return a mean of paired differences with its standard error, and with its 95 % interval by Student's t."""
    mean = format(statistics.mean(differences), form)
    if len(differences) < 2:
        return mean
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    reach = t_quantile(0.975, len(differences) - 1) * error
    return f"{mean} (standard error {error:.2g}, 95 % ± {reach:.2g})"


if __name__ == "__main__":
    sys.exit(main())
