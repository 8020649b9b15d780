"""Steps of the recipe for one GPU, by the command of a user, on a random model: seconds of the phases, share of the
peak, memory.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from passes import SHAPES, SMOKE, free
from synthetic import write_model

RECIPE = Path(__file__).parent.parent.parent / "recipes" / "k15_one_gpu.toml"
STEPS, TRACED = 5, 2
"""How many are measured, and which of them is also traced, so that its times are not looked at."""
MEAN_TOKENS = 200
"""Of a completion: its length is geometric."""
ASKED = ["rollout.problems_per_step=8", "rollout.group_size=8", "env.max_tokens=512"]
TINY = ["rollout.problems_per_step=2", "rollout.group_size=2", "env.max_tokens=16", "train.threads=1"]


Start = Callable[[Sequence[str], Any], "subprocess.Popen[str]"]
"""Starts Python with these arguments, which writes to a file."""


def recipe_steps(start: Start, device: str, folder: Path, timeout_s: float, *, smoke: bool) -> dict[str, Any]:
    """Run the recipe until it has made its steps, or the time is over, and end it: nothing is saved. Return the
    figures.
    """
    steps = 2 if smoke else STEPS
    with TemporaryDirectory() as place:
        name, shape = ("tiny", SMOKE["tiny"]) if smoke else ("1.5B", SHAPES["1.5B"])
        dtype = "float32" if smoke else "bfloat16"
        end = 1 / (8 if smoke else MEAN_TOKENS)
        began = time.monotonic()
        model = write_model(Path(place) / "model", shape, end=end, context=8192, device=device, dtype=dtype)
        free()
        written_s = time.monotonic() - began
        config = Path(place) / "recipe.toml"
        config.write_text(with_built_in_engine(RECIPE.read_text(encoding="utf-8")), encoding="utf-8")
        words = [
            "-m",
            "kgym",
            "train",
            "--config",
            str(config),
            "--model",
            str(model),
            "--run",
            str(folder),
            "--steps",
            str(steps),
        ]
        words += ["--profile", "--eval-every", "0", "--set", f"train.device={device}", f"engine.device={device}"]
        words += ["train.save_every=0", *(TINY if smoke else ASKED)]
        with (folder.parent / "recipe.log").open("w+", encoding="utf-8") as log:
            process = start(words, log)
            try:
                status = wait_for(process, folder / "metrics.jsonl", steps, timeout_s)
            finally:
                process.kill()
                process.wait()
            log.seek(0)
            printed = log.read()
    lines = steps_of(folder / "metrics.jsonl")
    manifest = folder / "manifest.json"
    plan = json.loads(manifest.read_text()).get("memory", {}) if manifest.exists() else {}
    return {
        "model": name,
        "status": status,
        "written_s": written_s,
        "steps": lines,
        "plan": plan,
        "printed": printed[-6000:] if status else "",
    }


def with_built_in_engine(text: str) -> str:
    """Return the recipe with the engine that needs no further package."""
    return re.sub(r"(?ms)^\[engine\]\n.*?(?=^\[)", '[engine]\nname = "transformers"\n\n', text)


def wait_for(process: subprocess.Popen[str], metrics: Path, steps: int, timeout_s: float) -> int:
    """Return 0 once there are the metrics of so many steps, else the status of the process; 124 if the time is over."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if len(steps_of(metrics)) >= steps:
            return 0
        if process.poll() is not None:
            return process.returncode or 1
        time.sleep(0.5)
    return 124


def steps_of(metrics: Path) -> list[dict[str, Any]]:
    """Return the lines of the steps; the last line may be half written."""
    text = metrics.read_text(encoding="utf-8") if metrics.exists() else ""
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    return [line for line in lines if line["step"] > 0]


def phases(steps: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the median seconds of each phase, without the first step, in which things are made, and the traced one."""
    looked_at = [step for step in steps if step["step"] > TRACED] or list(steps)
    names = sorted({name for step in looked_at for name in step if name.startswith(("time/", "speed/"))})
    return {name: median(step.get(name, 0.0) for step in looked_at) for name in names}


def sentence(found: Mapping[str, float]) -> str:
    """Say the phases in a line."""
    return ", ".join(
        f"{name.removeprefix('time/').removesuffix('_s')} {s:.2f} s"
        for name, s in found.items()
        if name.startswith("time/")
    )


def report(found: Mapping[str, Any]) -> str:
    """Describe the steps."""
    steps = found["steps"]
    if found["status"] or not steps:
        return f"The recipe ended with status {found['status']} after {len(steps)} steps."
    medians, plan = phases(steps), found["plan"]
    sampled = median(
        step["rollout/tokens"] / step["time/rollout_s"]
        for step in steps
        if step["step"] > TRACED or len(steps) <= TRACED
    )
    mfu = medians.get("speed/train_mfu_frac")
    peak = max(step.get("memory/peak_gib", 0.0) for step in steps)
    planned = f", planned {plan['peak_gib']:.1f} GiB ({plan['phase']})" if plan else ""
    return (
        f"The recipe for one GPU, a random Qwen2 of {found['model']} parameters and the built-in engine, {len(steps)} "
        f"steps of 8 x 8 completions of at most 512 tokens, "
        f"medians from step {TRACED + 1} on: {sentence(medians)}; {sampled:,.0f} tokens/s sampled, "
        f"{medians.get('speed/train_tokens_per_s', 0.0):,.0f} trained"
        + (f" at {mfu:.1%} MFU" if mfu else "")
        + f"; peak {peak:.1f} GiB{planned}."
    )
