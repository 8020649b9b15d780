"""A step of GRPO by kgym and by TRL: CPU seconds, tokens per second, and how well each phase uses the
machine.

    python -m venv TRL && TRL/bin/pip install torch==2.13.0 trl==1.16.0 transformers
    python benchmarks/train_step.py --trl-python TRL/bin/python            all cases, eleven minutes on two quiet cores
    python benchmarks/train_step.py --trl-python TRL/bin/python --quick    two small cases, to see that it runs
    python benchmarks/train_step.py                                        kgym alone

Both sides train the same model on the same prompts with the same group size, temperature, loss (clipped token ratios,
mean over the tokens of the batch, no KL, one optimizer step), optimizer (AdamW) and learning rate, in float32, each in
its own process with its own environment. They take their steps in turn: one waits while the other computes. The first
step of a case does not count. CPU seconds are the user and system time of a side with its worker processes, median of
the steps that count; those of the clock are in the JSON.

    a   the main job: nano, 24 problems x 8, prompts and completions of `aime`
    b   8 x 8, all completions 128 tokens: random models whose end token is never sampled
    c   8 x 8, geometric lengths with a mean of 200 tokens, at most 1,024: random models whose end token always has the
        chance 1/200

The random models are shaped like Qwen2, see `synthetic.py`; half of their completions get the reward 1. A step has
fewer problems if it would take minutes: 2 of them with 25M parameters, and 4 with 5M in c. `--trl-rows` lets TRL
compute a step in several forward passes; by default it takes all rows at once.

Shares are useful operations in a CPU second, against those of a matrix product of the same shapes on the same machine:
useful is a forward pass over each distinct token once, the prompt of a group counted once, and twice that for the
backward pass. A phase that reads a prompt eight times, or pads, has a lower share.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from synthetic import SHAPES, write_model

from kgym.files import write_atomic

HERE = Path(__file__).parent
SIDES = ("kgym", "trl")
RATES = ("kgym, tokens/CPU s", "TRL, tokens/CPU s")
PHASES = ("generate", "old log-probabilities", "forward and backward", "optimizer")
PASSES = {"generate": 1, "old log-probabilities": 1, "forward and backward": 3}
"""Forward passes that a phase amounts to; a backward pass is two."""
ADAM_FLOPS = 16
"""Operations of clipping and AdamW for each weight."""


@dataclass(frozen=True)
class Case:
    """What is trained, and how often."""

    name: str
    shape: str
    problems: int
    group_size: int
    max_tokens: int
    steps: int
    """At most, with the first, which does not count."""
    share: int = 1
    """Of the time, relative to the other cases."""
    end: float | None = None
    """Chance of the end token; None is the model `nano`, with its real completions."""
    lr: float = 1e-5
    temperature: float = 1.0
    trl_rows: int = 0
    """Completions in a forward pass of TRL; 0 is all of a step."""


CASES = (
    Case("a nano", "nano", 24, 8, 256, steps=6, share=2, lr=1e-4),
    Case("b 1M", "1M", 8, 8, 128, steps=6, share=1, end=0.0),
    Case("b 5M", "5M", 8, 8, 128, steps=6, share=2, end=0.0),
    Case("b 25M", "25M", 2, 8, 128, steps=6, share=2, end=0.0),
    Case("c 1M", "1M", 8, 8, 1024, steps=8, share=3, end=1 / 200),
    Case("c 5M", "5M", 4, 8, 1024, steps=8, share=4, end=1 / 200),
    Case("c 25M", "25M", 2, 8, 1024, steps=8, share=6, end=1 / 200),
)
QUICK = (Case("a nano", "nano", 2, 2, 32, steps=2, lr=1e-4), Case("c 1M", "1M", 2, 2, 32, steps=2, end=1 / 16))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables and keep them."""
    args, began = parse(argv), time.monotonic()
    cases = [
        case for case in (QUICK if args.quick else CASES) if not args.only or case.name.startswith(tuple(args.only))
    ]
    sides = {"kgym": Side("kgym", sys.executable, args.threads)}
    if args.trl_python:
        sides["trl"] = Side("trl", args.trl_python, args.threads)
    found = {
        "machine": machine(args.threads),
        "versions": {name: side.hello() for name, side in sides.items()},
        "cases": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        for place, case in enumerate(cases):
            left_s = began + 60 * args.minutes - time.monotonic()
            part_s = left_s * case.share / sum(other.share for other in cases[place:])
            found["cases"].append(measure(case, sides, Path(folder), args, part_s))
            print(line(found["cases"][-1]), file=sys.stderr, flush=True)
    for side in sides.values():
        side.close()
    text = report(found)
    print(json.dumps(found) if args.json else text)
    if args.out or not args.quick:
        out = args.out or HERE / "results"
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "train_step.json", json.dumps(found, indent=1) + "\n")
        write_atomic(out / "train_step.md", text + "\n")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trl-python", help="Python of an environment with TRL 1.16; without it kgym is measured alone"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of each side (default: 2)")
    parser.add_argument(
        "--minutes", type=float, default=11.0, help="minutes for all cases, which take fewer steps to fit (default: 11)"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="CASE", help="cases whose name begins with one of these"
    )
    parser.add_argument("--steps", type=int, help="steps of each case at most, the first of which does not count")
    parser.add_argument("--trl-rows", type=int, help="completions in a forward pass of TRL (default: by case)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of kgym train")
    parser.add_argument("--quick", action="store_true", help="two small cases")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--out", type=Path, help="folder for train_step.json and .md (default: benchmarks/results; none with --quick)"
    )
    return parser.parse_args(argv)


class Side:
    """The process of one trainer."""

    def __init__(self, name: str, python: str, threads: int) -> None:
        self.name = name
        env = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed when the process has ended)
        self._process = subprocess.Popen(
            [python, str(HERE / f"train_step_{name}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=env,
        )

    def send(self, kind: str, **values: Any) -> None:
        """Send a message."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"kind": kind, **values}) + "\n")
        self._process.stdin.flush()

    def receive(self, kind: str) -> dict[str, Any]:
        """Wait for a message. Raises SystemExit if the process has ended or sends something else."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            status = self._process.wait()
            self._log.seek(0)
            said = self._log.read()
            self._shut()
            raise SystemExit(f"{said}\nthe side {self.name} has ended with status {status}; see above")
        message: dict[str, Any] = json.loads(text)
        if message.pop("kind") != kind:
            raise SystemExit(f"the side {self.name} sent {text!r} instead of {kind}")
        return message

    def hello(self) -> Any:
        """Wait until it has loaded its libraries, and return their versions."""
        return self.receive("hello")["versions"]

    def step(self) -> dict[str, Any]:
        """Let it take a step."""
        self.receive("ready")
        self.send("go")
        return self.receive("step")

    def stop(self) -> None:
        """Let it end a case before its last step."""
        self.receive("ready")
        self.send("stop")

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._shut()

    def _shut(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            assert pipe is not None
            pipe.close()


def measure(
    case: Case, sides: Mapping[str, Side], folder: Path, args: argparse.Namespace, part_s: float
) -> dict[str, Any]:
    """Take the steps of a case in turn, two at least and no more than fit into the seconds, and return its figures."""
    began = time.monotonic()
    model = folder / case.name.replace(" ", "-")
    if case.end is not None:
        write_model(model, SHAPES[case.shape], end=case.end)
    steps = args.steps or case.steps
    task = asdict(case) | {"model": str(model) if case.end is not None else "nano", "steps": steps, "set": args.set}
    task |= {"reward": "boxed" if case.end is None else "odd", "trl_rows": args.trl_rows or case.trl_rows}
    for name, side in sides.items():
        side.send("case", case=task if name == "kgym" else task | prompts(case, steps))
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(1, steps + 1):
        before = time.monotonic()
        for name, side in sides.items():
            taken[name].append(side.step())
        now = time.monotonic()
        if 2 <= number < steps and 2 * now - before - began > part_s:
            for side in sides.values():
                side.stop()
            break
    for side in sides.values():
        side.receive("done")
    if len({str([sorted(step["prompts"]) for step in found]) for found in taken.values()}) > 1:
        raise SystemExit(
            f"{case.name}: the two sides had other prompts; kgym's sampler and the rows for TRL do not agree"
        )
    shape, rows = SHAPES[case.shape], case.problems * case.group_size
    tokens = sum(taken["kgym"][-1]["prompts"]) + sum(taken["kgym"][-1]["completions"])
    sizes = {"generate": rows, "forward and backward": min(16_384, tokens)}
    sides["kgym"].send("rates", sizes=[[n, shape.hidden, shape.ff] for n in sizes.values()])
    rates = dict(zip(sizes, sides["kgym"].receive("rates")["rates"], strict=True))
    rates["old log-probabilities"] = rates["optimizer"] = rates["forward and backward"]
    figures = {name: summed(case, found[1:], rates) for name, found in taken.items()}
    ratios = (
        {key: figures["trl"][key] / figures["kgym"][key] for key in ("cpu_s", "wall_s")} if "trl" in figures else {}
    )
    return {
        "case": asdict(case) | {"steps": len(taken["kgym"])},
        "gflops": {key: rate / 1e9 for key, rate in rates.items()},
        "ratio": ratios,
        **figures,
    }


def prompts(case: Case, steps: int) -> dict[str, Any]:
    """Return what TRL trains on: the prompts of the environment in order, as kgym's sampler gives them, and its
    model folder.
    """
    from kgym.envs.spec import EnvSpec
    from kgym.models.names import resolve_model

    setup = EnvSpec("aime").setup()
    problems = [setup.problem(index) for index in range(case.problems * steps)]
    rows = [
        {
            "prompt": [{"role": role, "content": content} for role, content in setup.prompt(problem)],
            "gold": problem.gold,
        }
        for problem in problems
    ]
    return {"rows": rows, **({"model": resolve_model("nano")} if case.end is None else {})}


def summed(case: Case, steps: Sequence[Mapping[str, Any]], rates: Mapping[str, float]) -> dict[str, Any]:
    """Return the medians of the steps that count, and the share of the machine's rate that each phase reaches."""
    shape = SHAPES[case.shape]
    tokens = [sum(step["completions"]) for step in steps]
    seconds = {phase: statistics.median(step["phases"].get(phase, 0.0) for step in steps) for phase in PHASES}
    flops = [shape.forward_flops(step["prompts"], step["completions"], case.group_size) for step in steps]
    shares = {}
    for phase, spent in seconds.items():
        per_step = [PASSES[phase] * one if phase in PASSES else ADAM_FLOPS * shape.weights for one in flops]
        reached = [f / max(step["phases"].get(phase, 0.0), 1e-9) for f, step in zip(per_step, steps, strict=True)]
        shares[phase] = statistics.median(reached) / rates[phase] if spent else None
    return {
        "cpu_s": statistics.median(step["cpu_s"] for step in steps),
        "wall_s": statistics.median(step["wall_s"] for step in steps),
        "tokens_per_cpu_s": statistics.median(n / step["cpu_s"] for n, step in zip(tokens, steps, strict=True)),
        "tokens_per_s": statistics.median(n / step["wall_s"] for n, step in zip(tokens, steps, strict=True)),
        "tokens": statistics.fmean(tokens),
        "longest": max(max(step["completions"]) for step in steps),
        "prompt_tokens": statistics.fmean(n for step in steps for n in step["prompts"]),
        "phases": seconds
        | {
            "other": max(
                0.0, statistics.median(s["cpu_s"] - sum(s["phases"].get(p, 0.0) for p in PHASES) for s in steps)
            )
        },
        "shares": shares,
        "steps": [
            {key: step[key] for key in ("cpu_s", "wall_s", "phases")} | {"tokens": n}
            for step, n in zip(steps, tokens, strict=True)
        ],
    }


def machine(threads: int) -> dict[str, Any]:
    """Describe where it runs."""
    cpu = platform.machine()
    for text in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if text.startswith("model name"):
            cpu = text.partition(":")[2].strip()
            break
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    ).stdout.strip()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {"cpu": cpu, "cores": os.cpu_count(), "threads": threads, "load_before": round(load, 1), "commit": commit}


# --- tables


def line(case: Mapping[str, Any]) -> str:
    """Return a case in a line."""
    parts = [
        f"{name} {case[name]['cpu_s']:.2f} CPU s a step, {case[name]['tokens_per_cpu_s']:,.0f} tokens/s"
        for name in SIDES
        if name in case
    ]
    return f"{case['case']['name']}: {'; '.join(parts)}" + (
        f"; ratio {case['ratio']['cpu_s']:.2f}" if case["ratio"] else ""
    )


def report(found: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    where = found["machine"]
    versions = "; ".join(
        f"{name}: " + ", ".join(f"{key} {value}" for key, value in found["versions"][name].items())
        for name in found["versions"]
    )
    text = [
        f"{where['cpu']}, {where['cores']} cores, {where['threads']} threads, load before {where['load_before']}; "
        f"kgym at {where['commit']}; {versions}.",
        costs(found["cases"]),
        "CPU seconds of the phases, with the share of the matrix products' rate that they reach:",
        phases(found["cases"]),
    ]
    return "\n\n".join(text)


def costs(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of costs."""
    head = ("case", "completions", "steps", "tokens, kgym / TRL", "kgym, CPU s", "TRL, CPU s", "TRL / kgym", *RATES)
    rows = ["| " + " | ".join(head) + " |"]
    rows.append("|" + "---|" * 9)
    for case in cases:
        size, kgym, trl = case["case"], case["kgym"], case.get("trl")
        cells = [
            size["name"],
            f"{size['problems']} x {size['group_size']}",
            str(size["steps"] - 1),
            f"{kgym['tokens']:,.0f} / {trl['tokens']:,.0f}" if trl else f"{kgym['tokens']:,.0f}",
            f"{kgym['cpu_s']:.2f}",
            f"{trl['cpu_s']:.2f}" if trl else "-",
            f"**{case['ratio']['cpu_s']:.2f}**" if trl else "-",
            f"{kgym['tokens_per_cpu_s']:,.0f}",
            f"{trl['tokens_per_cpu_s']:,.0f}" if trl else "-",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def phases(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of phases."""
    rows = [
        "| case | side | " + " | ".join((*PHASES, "other")) + " | GFLOP/CPU s, rows of a batch / of a micro-batch |"
    ]
    rows.append("|" + "---|" * (len(PHASES) + 4))
    for case in cases:
        for side in (name for name in SIDES if name in case):
            found = case[side]
            cells = [case["case"]["name"], side]
            for phase in PHASES:
                share = found["shares"][phase]
                cells.append(f"{found['phases'][phase]:.2f} ({share:.1%})" if share is not None else "-")
            rates = case["gflops"]
            cells += [
                f"{found['phases']['other']:.2f}",
                f"{rates['generate']:.0f} / {rates['forward and backward']:.0f}",
            ]
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
