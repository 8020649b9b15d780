"""All measurements of kgym on a GPU, in less than eight minutes by its own clock.

    python benchmarks/gpu/run.py --out OUT              all parts
    python benchmarks/gpu/run.py --out OUT --only generate recipe
    python benchmarks/gpu/run.py --out OUT --smoke      the same code with tiny models
    python benchmarks/gpu/run.py --out OUT --cpu-smoke  the same code with tiny models on a CPU, to see that it runs

    OUT/gpu.json   written after each figure, so that an interrupted run leaves what it has
    OUT/gpu.md     the tables

What the machine needs is in `README.md` beside this file. The parts are: `generate` (tokens per second of sampling),
`recipe` (steps of the recipe for one GPU), `train` (ten steps of `kgym train`), `passes` (of large models), and the
tests marked `gpu`. Each has a share of the time (`SHARES`); parts that did not fit into the time are listed as left
out. Nothing is downloaded.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
import tomllib
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CHECKOUT = [str(ROOT / folder) for folder in ("", "envs", "plugins", "leaderboards")]
sys.path[:0] = [str(HERE), str(HERE.parent), *CHECKOUT]  # passes.py, synthetic.py and kgym, which need no installation
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

GAP = "policy/engine_gap_nats"
SHARES = {"generate": 0.36, "recipe": 0.28, "train": 0.45, "passes": 0.6, "tests": 1.0}
"""The parts in their order, and the share that each may take of the time that is left."""


class Record:
    """What was found so far: printed, and kept in a file."""

    def __init__(self, out: Path, minutes: float) -> None:
        self.file = out / "gpu.json"
        self.began = time.monotonic()
        self.seconds = 60 * minutes
        self._part_ends = self.began + self.seconds
        self.found: dict[str, Any] = {"passes": [], "generate": []}

    @property
    def left_s(self) -> float:
        """Seconds until the time is over."""
        return self.seconds - (time.monotonic() - self.began)

    @property
    def part_s(self) -> float:
        """Seconds until the time of this part is over."""
        return min(self.left_s, self._part_ends - time.monotonic())

    def share(self, share: float) -> None:
        """Give the next part so much of the time that is left."""
        self._part_ends = time.monotonic() + share * self.left_s

    def keep(self, said: str) -> None:
        """Write the file, and say something with the time."""
        self.found["seconds"] = round(time.monotonic() - self.began, 1)
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(self.found, indent=1) + "\n")
        part.replace(self.file)
        print(f"[{self.found['seconds']:5.0f} s] {said}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure part by part and write the tables."""
    args = parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    record = Record(args.out, args.minutes)
    offer_components(args.out / "kgym")
    import torch

    if not args.cpu_smoke and not torch.cuda.is_available():
        print("no CUDA device is available; --cpu-smoke tries the code on a CPU", file=sys.stderr)
        return 2
    device = torch.device("cpu" if args.cpu_smoke else "cuda")
    describe(record, device, smoke=args.smoke)
    parts = {
        "generate": run_sampling,
        "recipe": run_recipe,
        "train": run_training,
        "passes": run_passes,
        "tests": run_tests,
    }
    for name, share in SHARES.items():
        if not args.only or name in args.only:
            record.share(share if not args.only or name != args.only[-1] else 1.0)
            try:
                parts[name](record, device, args)
            except Exception:  # the other parts have their own figures
                record.found.setdefault("failed", {})[name] = traceback.format_exc()
                record.keep(f"{name} failed:\n{traceback.format_exc()}")
    text = report(record.found)
    (args.out / "gpu.md").write_text(text + "\n")
    print(text)
    bad = [name for name in ("recipe", "train", "tests") if record.found.get(name, {}).get("status")]
    return 1 if bad or "failed" in record.found else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--minutes", type=float, default=7.5, help="time for everything (default: 7.5)")
    parser.add_argument("--only", nargs="+", choices=SHARES, help="parts (default: all)")
    parser.add_argument("--smoke", action="store_true", help="tiny models, to see that the code runs")
    parser.add_argument("--cpu-smoke", action="store_true", help="the same on a CPU")
    args = parser.parse_args(argv)
    args.smoke |= args.cpu_smoke
    return args


def offer_components(folder: Path) -> None:
    """Let kgym find the components of this checkout where it is not installed: they come by entry points, as a
    package has them.
    """
    try:
        importlib.metadata.distribution("kgym")
    except importlib.metadata.PackageNotFoundError:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        info = folder / "kgym-0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kgym\nVersion: {project['version']}\n")
        points = "\n".join(f"{name} = {module}" for name, module in project["entry-points"]["kgym"].items())
        (info / "entry_points.txt").write_text(f"[kgym]\n{points}\n")
        CHECKOUT.append(str(folder))
        sys.path.append(str(folder))


def describe(record: Record, device: Any, *, smoke: bool) -> None:
    """Find out what the machine is, and how fast it multiplies matrices."""
    import torch
    import transformers
    from passes import matmul_flops

    from kgym.train.profiling import peak_flops

    n = 256 if smoke else 8192
    rates = {name: matmul_flops(device, getattr(torch, name), n) / 1e12 for name in ("bfloat16", "float32")}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}"
    peak = peak_flops(name)
    record.found["machine"] = {
        "device": name,
        "memory_gib": torch.cuda.get_device_properties(device).total_memory / 2**30 if device.type == "cuda" else None,
        "matmul_tflops": rates,
        "peak_tflops": peak and peak / 1e12,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "commit": commit(),
    }
    record.keep(
        f"{record.found['machine']['device']}: {rates['bfloat16']:.1f} TFLOP/s in bfloat16, {rates['float32']:.1f} in "
        "float32"
    )


def commit() -> str:
    """Return the commit of the checkout, "" if git does not say."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()


def run_sampling(record: Record, device: Any, args: argparse.Namespace) -> None:
    """Measure the sampling of tokens."""
    from sampling import sampling

    for entry in sampling(device.type, smoke=args.smoke, over=lambda: record.part_s <= 0):
        record.found["generate"].append(entry)
        what = f"sampling {entry['model']} {entry['dtype']} {entry.get('kind', '')} {entry.get('side', '')}"
        if "left_out" in entry:
            record.keep(f"{what}: left out: {entry['left_out']}")
        else:
            record.keep(f"{what}: {entry['tokens_per_s']:,.0f} tokens/s, the first time {entry['first_s']:.1f} s")


def run_recipe(record: Record, device: Any, args: argparse.Namespace) -> None:
    """Make steps of the recipe for one GPU."""
    from recipe import recipe_steps
    from recipe import report as described

    def start(words: Sequence[str], log: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=environment(), stdout=log, stderr=subprocess.STDOUT, text=True
        )

    folder = record.file.parent / f"recipe-{int(time.time())}"
    found = recipe_steps(start, device.type, folder, record.part_s, smoke=args.smoke)
    record.found["recipe"] = found
    record.keep(described(found) + found["printed"])


def run_passes(record: Record, device: Any, args: argparse.Namespace) -> None:
    """Measure forward and backward passes."""
    from passes import passes

    rates, peak = (record.found["machine"][key] for key in ("matmul_tflops", "peak_tflops"))
    for entry in passes(device, smoke=args.smoke, over=lambda: record.part_s <= 0):
        if "flops_per_s" in entry:
            kind = "float32" if "float32" in entry["option"] or device.type == "cpu" else "bfloat16"
            entry["of_matmul"] = entry["flops_per_s"] / 1e12 / rates[kind]
            if peak and kind == "bfloat16":
                entry["mfu"] = entry["flops_per_s"] / 1e12 / peak
            said = f"{entry['tokens_per_s']:,.0f} tokens/s, {entry['of_matmul']:.0%} of the matrix products' rate"
            said += f", {entry['peak_gib']:.1f} GiB" if "peak_gib" in entry else ""
        else:
            said = f"left out: {entry['left_out']}"
        record.found["passes"].append(entry)
        record.keep(f"{entry['model']}, {entry['length']:,} tokens, {entry['option']}: {said}")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a command of the checkout."""
    return (
        os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [*CHECKOUT, os.environ.get("PYTHONPATH", "")]))} | more
    )


def command(words: Sequence[str], timeout_s: float, **env: str) -> tuple[int, str]:
    """Run a command in the checkout; return its status, 124 if its time was over, and what it printed."""
    try:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=max(1.0, timeout_s),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return 124, str(error.stdout or "")
    return done.returncode, done.stdout


def run_training(record: Record, device: Any, args: argparse.Namespace) -> None:
    """Train nano for ten steps by the command of a user."""
    steps = 2 if args.smoke else 10
    folder = record.file.parent / f"nano-{int(time.time())}"
    words = ["-m", "kgym", "train", "--run", str(folder), "--steps", str(steps), "--eval-every", "0", "--profile"]
    words += ["--set", f"train.device={device.type}", f"engine.device={device.type}"]
    words += ["rollout.problems_per_step=2", "rollout.group_size=2", "env.max_tokens=16"] if args.smoke else []
    status, printed = command(words, record.part_s)
    lines = (
        [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()] if folder.exists() else []
    )
    lines = [line for line in lines if line["step"] > 0]
    record.found["train"] = {"status": status, "steps": lines, "printed": printed[-4000:] if status else ""}
    record.keep(f"kgym train: status {status}, {len(lines)} of {steps} steps {record.found['train']['printed']}")


def run_tests(record: Record, device: Any, args: argparse.Namespace) -> None:
    """Run the tests marked `gpu`."""
    words = ["-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "tests/test_gpu.py"]
    status, printed = command(words, record.left_s - 5, **({"KGYM_GPU_TESTS_ON": "cpu"} if args.cpu_smoke else {}))
    last = next((text for text in reversed(printed.splitlines()) if text.strip()), "")
    record.found["tests"] = {"status": status, "last_line": last, "printed": printed[-6000:] if status else ""}
    record.keep(f"pytest -m gpu: status {status}: {record.found['tests']['printed'] or last}")


# --- tables


def report(found: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    on = found["machine"]
    memory = f"{on['memory_gib']:.0f} GiB, " if on["memory_gib"] else ""
    rates = on["matmul_tflops"]
    sheet = f" ({on['peak_tflops']:.0f} by the data sheet, which MFU is measured against)" if on["peak_tflops"] else ""
    text = [
        f"{on['device']}, {memory}torch {on['torch']}, transformers {on['transformers']}, Python {on['python']}, kgym "
        f"at {on['commit']}; products of matrices: "
        f"{rates['bfloat16']:.1f} TFLOP/s in bfloat16{sheet}, {rates['float32']:.1f} in float32; "
        f"{found['seconds']:.0f} s in all."
    ]
    if found["generate"]:
        from sampling import table as rates

        text.append(rates(found["generate"]))
    if "recipe" in found:
        from recipe import report as described

        text.append(described(found["recipe"]))
    if found["passes"]:
        text.append(table(found["passes"]))
    if "train" in found:
        text.append(training(found["train"]))
    if "tests" in found:
        text.append(f"`pytest -m gpu`: status {found['tests']['status']}, {found['tests']['last_line'].strip('= ')}")
    return "\n\n".join(text)


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the passes."""
    rows = [
        "| model | tokens of an episode | episodes | option | tokens/s | MFU | share of the measured products' rate | "
        "peak, GiB |"
    ]
    rows.append("|---|---|---|---|---|---|---|---|")
    for entry in entries:
        cells = [entry["model"], f"{entry['length']:,}", str(entry["episodes"]), entry["option"]]
        if "left_out" in entry:
            cells += [entry["left_out"].replace("|", "/")[:90], "-", "-", "-"]
        else:
            mfu, gib = (
                format(entry[key], form) if key in entry else "-" for key, form in (("mfu", ".1%"), ("peak_gib", ".1f"))
            )
            cells += [f"{entry['tokens_per_s']:,.0f}", mfu, f"{entry['of_matmul']:.1%}", gib]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def training(found: Mapping[str, Any]) -> str:
    """Describe the steps of `kgym train`."""
    steps = found["steps"]
    if found["status"] or not steps:
        return f"`kgym train` ended with status {found['status']} after {len(steps)} steps."
    from recipe import TRACED, phases, sentence

    medians, gap = phases(steps), sum(step.get(GAP, 0.0) for step in steps) / len(steps)
    correct = [f"{step['episode/correct_frac']:.0%}" for step in (steps[0], steps[-1])]
    return (
        f"`kgym train` on nano, {len(steps)} steps, medians from step {TRACED + 1} on: {sentence(medians)}; "
        f"correct from {correct[0]} to {correct[1]} of the completions; gap of engine and trainer {gap:.4f} nats."
    )


if __name__ == "__main__":
    sys.exit(main())
