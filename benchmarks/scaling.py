"""What training costs as it grows: CPU seconds and memory against the length of a sequence, the size of a group and the
number of prompts.

    python benchmarks/scaling.py            all points, less than ten minutes on two quiet cores
    python benchmarks/scaling.py --quick    the two smallest points of each line, to see that it runs

    OUT/scaling.json   a figure for each point, and the slopes
    OUT/scaling.md     the table
    OUT/scaling.png    the picture

The training part of a step (log-probabilities before the update, forward and backward, optimizer) is measured on packed
batches of random tokens, each in a fresh process; whole steps are those of `kgym train`, with sampling and judging.
Memory is what a step adds to the process at its peak. The model is a random Qwen2 of two layers and half a million
parameters; no completion ends before its budget.

A slope is the exponent s of cost ~ x^s, fitted by least squares in the logarithms of the three largest points of a
line; that of all points is beside it. Of a sequence it goes from 1 to 2, as attention grows with the square; of groups
and prompts it is 1 at most.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from metering import Meter
from synthetic import Shape, make_batch, write_model
from train_step import HERE, Side, machine

from kgym.files import write_atomic

SHAPE = Shape(hidden=128, layers=2, heads=4, kv_heads=2, ff=384)
CONTEXT = 40_960
BLUE, GREY = "#1f5fa8", "#8a8a8a"


@dataclass(frozen=True)
class Line:
    """One way to grow."""

    name: str
    sizes: tuple[int, ...]
    whole: tuple[int, ...]
    """Sizes of which a whole step is measured too."""

    def batch(self, size: int) -> tuple[int, int, int, int]:
        """Return prompts, group size, tokens of a prompt and tokens of a completion."""
        match self.name:
            case "sequence length":
                return 1, 1, 64, size - 64
            case "group size":
                return 8, size, 512, 64
            case _:
                return size, 4, 64, 32

    def case(self, size: int) -> dict[str, int]:
        """Return the whole step of a size; prompts are those of `aime`."""
        match self.name:
            case "sequence length":
                return {"problems": 1, "group_size": 4, "max_tokens": size - 128}
            case "group size":
                return {"problems": 8, "group_size": size, "max_tokens": 64}
            case _:
                return {"problems": size, "group_size": 4, "max_tokens": 32}


LINES = (
    Line("sequence length", (1024, 2048, 4096, 8192, 16_384, 32_768), (1024, 2048, 4096, 8192)),
    Line("group size", (1, 2, 4, 8, 16, 32, 64), (2, 4, 8, 16, 32, 64)),
    Line("prompts", (16, 32, 64, 128, 256, 512, 1024), (16, 32, 64, 128, 256, 512, 1024)),
)
QUICK = (
    Line("sequence length", (256, 512), (256, 512)),
    Line("group size", (1, 2), (2, 4)),
    Line("prompts", (2, 4), (2, 4)),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the table and the picture."""
    args = parse(argv)
    lines = QUICK if args.quick else LINES
    deadline = time.monotonic() + 60 * args.minutes
    found: dict[str, Any] = {"machine": machine(args.threads), "training": {}, "step": {}}
    os.environ |= {"OMP_NUM_THREADS": str(args.threads)}
    with tempfile.TemporaryDirectory() as folder:
        model = str(write_model(Path(folder) / "model", SHAPE, context=CONTEXT))
        for kind, points in (
            ("training", training_points(lines, model, args)),
            ("step", step_points(lines, model, args)),
        ):
            for name, size, figures in points:
                found[kind].setdefault(name, {})[size] = figures
                text = f"{kind}, {name} {size:,}: {figures['cpu_s']:.2f} CPU s, {figures['peak_gib']:.3f} GiB"
                print(text, file=sys.stderr, flush=True)
                if time.monotonic() > deadline:
                    print(f"{args.minutes:g} minutes are over; what is missing is left out", file=sys.stderr)
                    break
    found["slopes"] = {
        kind: {name: slopes(points) for name, points in found[kind].items()} for kind in ("training", "step")
    }
    text = report(found)
    print(json.dumps(found) if args.json else text)
    if args.out or not args.quick:
        out = args.out or HERE / "results"
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "scaling.json", json.dumps(found, indent=1) + "\n")
        write_atomic(out / "scaling.md", text + "\n")
        draw(found, out / "scaling.png")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default: 2)")
    parser.add_argument(
        "--minutes", type=float, default=9.0, help="minutes after which no further point begins (default: 9)"
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of kgym train")
    parser.add_argument("--quick", action="store_true", help="the smallest points")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--out", type=Path, help="folder for the results (default: benchmarks/results; none with --quick)"
    )
    return parser.parse_args(argv)


# --- the training part of a step

Point = tuple[str, int, dict[str, Any]]


def training_points(lines: Sequence[Line], model: str, args: argparse.Namespace) -> Iterator[Point]:
    """Measure each size in a process that has done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "transformers", "kgym.train.rl.update", "scaling"])
    for line in lines:
        for size in line.sizes:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=measure, args=(sender, model, line.batch(size), args.threads, args.set))
            process.start()
            sender.close()
            try:
                yield line.name, size, receiver.recv()
            except EOFError:
                process.join()
                raise SystemExit(f"{line.name} {size}: its process has ended with status {process.exitcode}") from None
            process.join()


def measure(sender: Any, model: str, sizes: tuple[int, int, int, int], threads: int, settings: Sequence[str]) -> None:
    """Update once on a small batch, then once on a batch of these sizes, and send what the second update cost."""
    import torch

    from kgym.keys import load_config

    torch.set_num_threads(threads)
    config = load_config(None, ["algo=grpo", "algo.kl_coef=0", "algo.aggregation=token_mean", *settings])
    updates = updater(config, model)
    updates(make_batch([8, 8], [8, 8], 2))
    prompts, group_size, prompt, completion = sizes
    episodes = prompts * group_size
    batch = make_batch([prompt] * episodes, [completion] * episodes, group_size)
    meter = Meter()
    updates(batch)
    sender.send(meter.take() | {"tokens": batch.n_tokens})


def updater(config: Any, model: str) -> Any:
    """Return a function that updates a policy on a batch, as a step of `kgym train` does."""
    import random

    from kgym.registry import registry
    from kgym.train.policy import TrainedPolicy
    from kgym.train.rl.update import update

    policy = TrainedPolicy.load(model, config.train)
    algorithm = registry().create("algorithm", config.algo.name, config.algo.options)
    return lambda batch: update(
        policy, algorithm, batch, temperature=1.0, max_grad_norm=config.train.max_grad_norm, rng=random.Random(0)
    )


# --- whole steps


def step_points(lines: Sequence[Line], model: str, args: argparse.Namespace) -> Iterator[Point]:
    """Take one step of `kgym train` of each size, in one process."""
    side = Side("kgym", sys.executable, args.threads)
    side.hello()
    common = {"model": model, "steps": 1, "temperature": 1.0, "lr": 1e-5, "reward": "odd", "set": args.set}
    try:
        for line in (Line("", (2,), (2,)), *lines):  # the first warms up
            for size in line.whole:
                side.send("case", case=common | line.case(size))
                figures = side.step()
                side.receive("done")
                if line.name:
                    yield line.name, size, figures | {"tokens": sum(figures.pop("completions")), "prompts": None}
    finally:
        side.close()


# --- slopes, table and picture


def _slope(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the slope of a line through the points, NaN for a single one."""
    return round(float(np.polyfit(*zip(*pairs, strict=True), 1)[0]), 2) if len(pairs) > 1 else float("nan")


def slopes(points: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the exponents of the last three points and of all of them, for the seconds and the memory.

    >>> slopes({1: {"cpu_s": 2.0, "peak_gib": 1.0}, 2: {"cpu_s": 8.0, "peak_gib": 1.0}})["cpu_s"]["last"]
    2.0
    """
    found = {}
    for key in ("cpu_s", "peak_gib"):
        pairs = [(np.log(size), np.log(max(figures[key], 1e-6))) for size, figures in sorted(points.items())]
        found[key] = {"last": _slope(pairs[-3:]), "all": _slope(pairs)}
    return found


NAMES = {"training": "training part", "step": "whole step"}


def report(found: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    where = found["machine"]
    on = f"{where['cpu']}, {where['cores']} cores, {where['threads']} threads, load before {where['load_before']}"
    rows = [
        "| cost against | of | from | to | CPU s | slope (all points) | GiB | slope (all points) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, name in NAMES.items():
        for line, points in found[kind].items():
            sizes, slope = sorted(points), found["slopes"][kind][line]
            first, last = points[sizes[0]], points[sizes[-1]]
            cells = [line, name, f"{sizes[0]:,}", f"{sizes[-1]:,}", f"{first['cpu_s']:.2f} to {last['cpu_s']:.2f}"]
            cells += [
                f"**{slope['cpu_s']['last']}** ({slope['cpu_s']['all']})",
                f"{first['peak_gib']:.3f} to {last['peak_gib']:.3f}",
            ]
            cells += [f"**{slope['peak_gib']['last']}** ({slope['peak_gib']['all']})"]
            rows.append("| " + " | ".join(cells) + " |")
    return f"{on}; kgym at {where['commit']}.\n\n" + "\n".join(rows)


def draw(found: Mapping[str, Any], file: Path) -> None:
    """Draw seconds and memory against each size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = list(found["training"])
    figure, axes = plt.subplots(2, len(names), figsize=(12, 6.5), layout="constrained", sharex="col", squeeze=False)
    for row, (key, label) in enumerate((("cpu_s", "CPU seconds"), ("peak_gib", "memory added at the peak, GiB"))):
        for column, name in enumerate(names):
            ax = axes[row, column]
            for kind, color in (("training", BLUE), ("step", GREY)):
                points = found[kind].get(name, {})
                slope = found["slopes"][kind].get(name, {}).get(key, {}).get("last")
                ax.plot(
                    sorted(points),
                    [points[size][key] for size in sorted(points)],
                    "o-",
                    color=color,
                    label=f"{NAMES[kind]}, slope {slope}",
                )
            ax.set(xscale="log", yscale="log", title=f"by {name}" if row == 0 else None)
            ax.set_xlabel(name if row else None)
            ax.set_ylabel(label if column == 0 else None)
            ax.set_xticks(ticks := sorted(found["training"][name]), [f"{size:,}" for size in ticks], fontsize=8)
            ax.minorticks_off()
            ax.grid(alpha=0.25)
            ax.legend(fontsize=8, loc="upper left")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
