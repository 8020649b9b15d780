"""Partial rollouts against waiting for the longest completion: tokens per second by the length of the tail, and the
effect on training.

    python benchmarks/partial_rollouts.py                   teach a model, measure speed and accuracy, write OUT
    python benchmarks/partial_rollouts.py --part speed      only the speed, with the model of OUT
    python benchmarks/partial_rollouts.py --part accuracy   only the trainings

    OUT/model/                the model, see `long_tail.py`
    OUT/lengths.json          the lengths of its completions
    OUT/speed.json            one entry for each token budget and each number of open groups
    OUT/SCHEDULE-seedN/       a training run; its validation is in OUT/accuracy.json
    OUT/partial_rollouts.md   the tables
    OUT/partial_rollouts.png  lengths, speed by the tail, speed by the number of open groups, learning curves

Speed: both schedules play the same number of groups a step, step by step in turn, each on its own engine of the kind
`transformers`. After each step the engine gets weights of a new version, as in training, so open completions are read
again, and that time counts. The values of the weights do not change, so that the lengths stay the same. The first
steps, in which the pool of `partial` fills, are not counted. On a shared machine the seconds of the process are the
better figure; those of the clock are printed next to them.

The token budget cuts the tail: with a small one, all completions have nearly the same length.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))  # the environment of long_tail.py, also in worker processes
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from long_tail import teach

from kgym.config import RunConfig
from kgym.files import write_atomic
from kgym.keys import load_config
from kgym.registry import configure
from kgym.rollout.engine import make_engine
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import read_metrics
from kgym.score.stats import t_quantile
from kgym.types import Engine, Group, UpdatePlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kgym.rollout.groups import Rollouts

SCHEDULES = ("sync", "partial")
BUDGETS = (32, 128, 512, 2048)
OVERSAMPLES = (2.0, 3.0, 6.0)
MAX_AGE = 400
"""Updates that an open completion may live through: none is dropped, so both schedules sample from the same
lengths.
"""
BLUE, GREY = "#1f5fa8", "#8a8a8a"


def main() -> int:
    """Measure what is asked for, write tables and picture."""
    args = parse()
    import torch

    torch.set_num_threads(1)
    configure(["long_tail"])
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "model" / "config.json").exists():
        teach(args.out / "model")
    if not (args.out / "lengths.json").exists():
        write(args.out / "lengths.json", lengths(args.out / "model"))
    if args.part != "accuracy":
        write(args.out / "speed.json", speed(args))
    if args.part != "speed":
        write(args.out / "accuracy.json", accuracy(args))
    text = report(args.out)
    print(text)
    write_atomic(args.out / "partial_rollouts.md", text + "\n")
    draw(args.out)
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("all", "speed", "accuracy"), default="all")
    parser.add_argument("--problems", type=int, default=8, help="groups in a step (default: 8)")
    parser.add_argument("--group-size", type=int, default=8, help="completions of each problem (default: 8)")
    parser.add_argument(
        "--oversample",
        type=float,
        default=4.0,
        help="groups open at once, as a multiple of those of a step (default: 4)",
    )
    parser.add_argument(
        "--budgets", type=int, nargs="+", default=BUDGETS, help="token budgets to measure the speed with"
    )
    parser.add_argument("--warmup", type=int, default=8, help="steps that do not count (default: 8)")
    parser.add_argument("--steps", type=int, default=8, help="steps that count (default: 8)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings for each schedule (default: 3)")
    parser.add_argument("--train-steps", type=int, default=6, help="steps of a training (default: 6)")
    parser.add_argument("--train-problems", type=int, default=6, help="groups in a step of a training (default: 6)")
    parser.add_argument("--out", type=Path, default=Path("runs/partial_rollouts"))
    return parser.parse_args()


def write(file: Path, data: Any) -> None:
    """Keep figures."""
    write_atomic(file, json.dumps(data, indent=1) + "\n")


# --- lengths


def lengths(model: Path, n: int = 1024) -> list[int]:
    """Return the lengths of completions that no budget of interest cuts."""
    rollouts, engine = player(config_of(model, "sync", 1.0, max(BUDGETS), *sizes(n // 16, 16)))
    played = rollouts.play(engine, 1, lambda done, total: None)
    return [episode.n_tokens for group in played.sampled for episode in group.episodes]


# --- speed


def config_of(model: Path, schedule: str, oversample: float, budget: int, *more: str) -> RunConfig:
    """Return the configuration of a run, as `kgym train` would have it."""
    partial = [f"rollout.oversample={oversample}", f"rollout.max_age={MAX_AGE}"] if schedule == "partial" else []
    common = ["env.name=sums", f"env.max_tokens={budget}", "engine.max_batch=1024", "train.threads=1"]
    return load_config(None, [f"model={model}", f"rollout.schedule={schedule}", *partial, *common, *more])


def sizes(problems: int, group_size: int) -> list[str]:
    """Return the settings of the size of a step."""
    return [f"rollout.problems_per_step={problems}", f"rollout.group_size={group_size}"]


def player(config: RunConfig) -> "tuple[Rollouts, Engine]":
    """Return what plays the steps of a run, and its engine."""
    from kgym.envs.mixture import members
    from kgym.train.rl.streams import make_rollouts

    return make_rollouts(config, members(config), UpdatePlan()), make_engine(
        config.engine.name, config.engine.options, config.model
    )


def speed(args: argparse.Namespace) -> dict[str, Any]:
    """Measure by the tail, and with the longest one by the number of open groups."""
    longest = max(args.budgets)
    by_tail = [measure(args, budget, args.oversample) for budget in args.budgets]
    by_open = [measure(args, longest, oversample) for oversample in OVERSAMPLES if oversample != args.oversample]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, one thread, Python {platform.python_version()}"
    return {"machine": machine, "command": " ".join(["python", *sys.argv]), "by_tail": by_tail, "by_open": by_open}


def measure(args: argparse.Namespace, budget: int, oversample: float) -> dict[str, Any]:
    """Play steps of both schedules in turn, and return their figures."""
    from kgym.models.weights import ModelWeights

    model = args.out / "model"
    players = {
        name: player(config_of(model, name, oversample, budget, *sizes(args.problems, args.group_size)))
        for name in SCHEDULES
    }
    weights = {name: ModelWeights(engine.model) for name, (_, engine) in players.items()}  # type: ignore[attr-defined]
    steps: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEDULES}
    for step in range(1, args.warmup + args.steps + 1):
        for name, (rollouts, engine) in players.items():
            clock, cpu = time.perf_counter(), time.process_time()
            played = rollouts.play(engine, step, lambda done, total: None)
            seconds = {"s": time.perf_counter() - clock, "cpu_s": time.process_time() - cpu}
            figures = {
                "tokens": played.n_tokens,
                "carried": played.carried,
                "dropped": played.dropped,
                "open": played.left_open,
            }
            steps[name].append(seconds | figures | of_batch(played.batch, engine.version))
            engine.load(step, weights[name])
    counted = {name: summed(found[args.warmup :]) for name, found in steps.items()}
    found = {"budget": budget, "oversample": oversample} | counted | {"factor": factors(counted)}
    print(
        f"budget {budget}, oversample {oversample:g}: longest / median "
        f"{counted['sync']['longest'] / counted['sync']['median']:.0f}, "
        f"partial is {found['factor']['cpu']:.2f} times as fast ({found['factor']['clock']:.2f} by the clock)",
        file=sys.stderr,
        flush=True,
    )
    return found


def of_batch(batch: Sequence[Group], version: int) -> dict[str, Any]:
    """Describe the completions that a step trains on."""
    episodes = [episode for group in batch for episode in group.episodes]
    old = [sum(0 <= one < version for one in episode.versions) for episode in episodes]
    return {
        "episodes": len(episodes),
        "lengths": [episode.n_tokens for episode in episodes],
        "old_tokens": sum(old),
        "old_episodes": sum(count > 0 for count in old),
    }


def summed(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the steps that count."""
    total = {
        key: sum(step[key] for step in steps)
        for key in ("s", "cpu_s", "tokens", "dropped", "episodes", "old_tokens", "old_episodes")
    }
    played = [length for step in steps for length in step["lengths"]]
    return total | {
        "tokens_per_s": total["tokens"] / total["s"],
        "tokens_per_cpu_s": total["tokens"] / total["cpu_s"],
        "trained_per_cpu_s": (sum(played) - total["old_tokens"]) / total["cpu_s"],
        "step_cpu_s": total["cpu_s"] / len(steps),
        "median": statistics.median(played),
        "mean": statistics.fmean(played),
        "longest": max(played),
        "carried_share": statistics.fmean(step["carried"] for step in steps) / (total["episodes"] / len(steps)),
        "old_episode_share": total["old_episodes"] / total["episodes"],
        "masked_share": total["old_tokens"] / sum(played),
        "open_mean": statistics.fmean(step["open"] for step in steps),
    }


def factors(counted: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return how many times as fast `partial` is."""
    keys = {"cpu": "tokens_per_cpu_s", "clock": "tokens_per_s", "trained": "trained_per_cpu_s"}
    return {name: counted["partial"][key] / counted["sync"][key] for name, key in keys.items()}


# --- accuracy


def accuracy(args: argparse.Namespace) -> dict[str, Any]:
    """Train with both schedules and each seed, on equal numbers of completions."""
    found: dict[str, Any] = {
        "train_steps": args.train_steps,
        "answers": args.train_steps * args.train_problems * args.group_size,
    }
    for seed in range(args.seeds):
        for name in SCHEDULES:
            found.setdefault(name, []).append(train(args, name, seed))
    return found


def train(args: argparse.Namespace, schedule: str, seed: int) -> dict[str, Any]:
    """Train `nano` on `aime` once and return the figures; a run that is there is read."""
    from kgym.train.rl.objective import reinforcement

    path = args.out / f"{schedule}-seed{seed}"
    of_schedule = ["rollout.schedule=partial", "rollout.oversample=2"] if schedule == "partial" else []
    checks = [
        f"train.steps={args.train_steps}",
        f"eval.every={args.train_steps}",
        "eval.problems=200",
        "train.save_every=0",
    ]
    size = sizes(args.train_problems, args.group_size)
    config = load_config(None, ["env.name=aime", "train.threads=1", f"seed={seed}", *of_schedule, *checks, *size])
    if not (path / "summary.json").exists():
        reinforcement(config, RunFolder(path)).run()
    lines = read_metrics(path / "metrics.jsonl")
    curve = {int(line["step"]): line["eval/accuracy"] for line in lines if "eval/accuracy" in line}
    tokens = sum(line.get("rollout/tokens", 0) for line in lines)
    result = {
        "curve": curve,
        "after": curve[max(curve)],
        "before": curve[0],
        "tokens": tokens,
        "rollout_s": sum(line.get("time/rollout_s", 0.0) for line in lines),
        "unscored": statistics.fmean(
            line["verdict/unscored_frac"] for line in lines if "verdict/unscored_frac" in line
        ),
    }
    print(f"{schedule}, seed {seed}: {result['before']:.1%} to {result['after']:.1%}", file=sys.stderr, flush=True)
    return result


# --- tables and picture


def report(out: Path) -> str:
    """Return the tables as Markdown."""
    known = sorted(json.loads((out / "lengths.json").read_text()))
    median = statistics.median(known)
    text = [
        f"{len(known):,} completions: median {median:.0f} tokens, mean {statistics.fmean(known):.0f}, 95 % up to "
        f"{known[math.ceil(0.95 * len(known)) - 1]}, longest {known[-1]:,}, which is {known[-1] / median:.0f} times "
        "the median."
    ]
    if (out / "speed.json").exists():
        found = json.loads((out / "speed.json").read_text())
        text += [
            table(found["by_tail"]),
            table(sorted([*found["by_open"], found["by_tail"][-1]], key=lambda row: row["oversample"])),
        ]
    if (out / "accuracy.json").exists():
        text += [accuracy_text(json.loads((out / "accuracy.json").read_text()))]
    return "\n\n".join(text)


HEAD = (
    "budget",
    "open groups",
    "longest / median",
    "sync, tokens/s",
    "partial, tokens/s",
    "factor",
    "by the clock",
    "trained tokens",
    "completions across an update",
    "masked tokens",
)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of speed."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for row in rows:
        sync, partial, factor = row["sync"], row["partial"], row["factor"]
        cells = [
            f"{row['budget']:,}",
            f"x {row['oversample']:g}",
            f"{sync['longest'] / sync['median']:.0f}",
            f"{sync['tokens_per_cpu_s']:,.0f}",
            f"{partial['tokens_per_cpu_s']:,.0f}",
            f"**{factor['cpu']:.2f}**",
            f"{factor['clock']:.2f}",
            f"{factor['trained']:.2f}",
            f"{partial['old_episode_share']:.1%}",
            f"{partial['masked_share']:.1%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def accuracy_text(found: Mapping[str, Any]) -> str:
    """Compare the trainings seed by seed."""
    lines = ["| schedule | before, by seed | after | mean | tokens | rollouts, s |", "|---|---|---|---|---|---|"]
    for name in SCHEDULES:
        runs = found[name]
        before, after = (", ".join(f"{run[key]:.1%}" for run in runs) for key in ("before", "after"))
        mean = statistics.fmean(run["after"] for run in runs)
        seconds = statistics.fmean(run["rollout_s"] for run in runs)
        tokens = statistics.fmean(run["tokens"] for run in runs)
        lines.append(f"| `{name}` | {before} | {after} | {mean:.1%} | {tokens:,.0f} | {seconds:.0f} |")
    gaps = [100 * (one["after"] - other["after"]) for one, other in zip(found["partial"], found["sync"], strict=True)]
    spread = (
        t_quantile(0.975, len(gaps) - 1) * statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
    )
    return "\n".join(lines) + (
        f"\n\n`partial` minus `sync`, {found['answers']:,} completions each: {statistics.fmean(gaps):+.1f} ± "
        f"{spread:.1f} points (Student's t, 95 %, over {len(gaps)} seeds)."
    )


def draw(out: Path) -> None:
    """Draw the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    draw_lengths(axes[0, 0], json.loads((out / "lengths.json").read_text()))
    if (out / "speed.json").exists():
        draw_speed(axes[0, 1], axes[1, 0], json.loads((out / "speed.json").read_text()))
    if (out / "accuracy.json").exists():
        draw_curves(axes[1, 1], json.loads((out / "accuracy.json").read_text()))
    figure.savefig(out / "partial_rollouts.png", dpi=110)


def draw_lengths(ax: "Axes", known: list[int]) -> None:
    """Draw the share of completions that are longer than a length."""
    known = sorted(known)
    ax.step(known, [1 - place / len(known) for place in range(len(known))], where="post", color=BLUE)
    median = statistics.median(known)
    for value, name in ((median, f"median {median:.0f}"), (known[-1], f"longest {known[-1]:,}")):
        ax.axvline(value, color=GREY, linewidth=1, linestyle="--")
        ax.annotate(name, (value, 0.002), rotation=90, ha="right", va="bottom", color=GREY, fontsize=9)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="tokens",
        ylabel="share of completions at least as long",
        title="Lengths of the completions",
    )


def draw_speed(by_tail: "Axes", by_open: "Axes", found: Mapping[str, Any]) -> None:
    """Draw the speed of both schedules by the tail, and the factor by the number of open groups."""
    rows = found["by_tail"]
    ratio = [row["sync"]["longest"] / row["sync"]["median"] for row in rows]
    for name, color in (("sync", GREY), ("partial", BLUE)):
        by_tail.plot(ratio, [row[name]["tokens_per_cpu_s"] for row in rows], "o-", color=color, label=name)
    for x, row in zip(ratio, rows, strict=True):
        y = row["partial"]["tokens_per_cpu_s"]
        by_tail.annotate(
            f"{row['factor']['cpu']:.1f} x", (x, y), textcoords="offset points", xytext=(0, 6), ha="center", fontsize=9
        )
    title = f"Speed by the tail (open groups x {rows[-1]['oversample']:g})"
    by_tail.set(
        xscale="log",
        ylim=(0, None),
        xlabel="longest completion / median",
        ylabel="tokens a second of the processor",
        title=title,
    )
    by_tail.margins(y=0.15)
    by_tail.legend(loc="lower left")
    rows = sorted([*found["by_open"], rows[-1]], key=lambda row: row["oversample"])
    opened = [1.0, *(row["oversample"] for row in rows)]
    for key, color, label in (("cpu", BLUE, "sampled"), ("trained", GREY, "trained on (not masked)")):
        by_open.plot(opened, [1.0, *(row["factor"][key] for row in rows)], "o-", color=color, label=label)
    by_open.axhline(1, color=GREY, linewidth=1, linestyle="--")
    title = f"Gain by the number of open groups (budget {rows[-1]['budget']:,})"
    by_open.set(xlabel="rollout.oversample", ylim=(0, None), ylabel="tokens a second, partial / sync", title=title)
    by_open.legend()


def draw_curves(ax: "Axes", found: Mapping[str, Any]) -> None:
    """Draw validation accuracy over the steps, a line for each seed."""
    for name, color in (("sync", GREY), ("partial", BLUE)):
        for number, run in enumerate(found[name]):
            steps = sorted(map(int, run["curve"]))
            ax.plot(
                steps, [100 * run["curve"][str(step)] for step in steps], color=color, label=None if number else name
            )
    ax.set(
        xlabel="step (as many completions for both)",
        ylabel="validation accuracy, %",
        title="Learning, three seeds each",
    )
    ax.legend()


if __name__ == "__main__":
    sys.exit(main())
