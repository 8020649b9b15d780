"""Planned against measured memory: short runs of kgym train on a CPU, on nano and on random models with its tokenizer.

    python benchmarks/plan.py                  # all of them; about a minute each on a free core
    python benchmarks/plan.py nano llama-25m   # some

Measured is the peak of the whole process minus what it had when the run was planned. Random models rarely end an
answer, so that completions use their budgets, as the plan assumes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from kgym.models.names import resolve_model

FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
ENDS = {"pad_token_id": 0, "eos_token_id": 2, "bos_token_id": None, "max_position_embeddings": 2048}
MODELS = {
    "llama-25m": (
        "llama",
        {"vocab_size": 8000, "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 6},
        (8, 4, True),
    ),
    "qwen2-130m": (
        "qwen2",
        {"vocab_size": 32000, "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12},
        (12, 4, False),
    ),
    "gemma2-20m": (
        "gemma2",
        {"vocab_size": 8000, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6},
        (6, 2, True),
    ),
}
"""Architecture, sizes, and heads, key-value heads and whether the head is tied to the embedding."""
SHORT = ("rollout.problems_per_step=2", "rollout.group_size=4", "env.max_tokens=48")
RUNS = {
    "nano": ("nano", ()),
    "nano, micro-batches of 4,096": ("nano", ("train.microbatch_tokens=4096",)),
    "llama-25m": ("llama-25m", SHORT),
    "llama-25m, LoRA of rank 16": ("llama-25m", (*SHORT, "train.lora.rank=16")),
    "llama-25m, bfloat16": ("llama-25m", (*SHORT, "train.dtype=bfloat16")),
    "llama-25m, ppo": ("llama-25m", (*SHORT, "algo.name=ppo", "algo.inner_steps=1")),
    "qwen2-130m": ("qwen2-130m", SHORT),
    "gemma2-20m": ("gemma2-20m", SHORT),
}
"""Model and settings of each run."""


def make_model(name: str, root: Path) -> str:
    """Return the folder of a model with random weights, or the name of a registered one."""
    if name not in MODELS:
        return name
    kind, sizes, (heads, kv_heads, tied) = MODELS[name]
    config = AutoConfig.for_model(
        kind,
        **sizes,
        **ENDS,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=64,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, trust_remote_code=False).save_pretrained(root / name)
    for file in FILES:
        shutil.copy(Path(resolve_model("nano")) / file, root / name / file)
    return str(root / name)


def measure(title: str, root: Path) -> dict[str, float | str]:
    """Run two steps and return GiB, planned and measured."""
    name, settings = RUNS[title]
    run = root / "run"
    shutil.rmtree(run, ignore_errors=True)
    always = (
        "algo.name=reinforce",
        "train.steps=2",
        "eval.every=0",
        "train.save_every=0",
        "train.threads=1",
        "train.device=cpu",
    )
    arguments = [part for item in (*always, *settings) for part in ("--set", item)]
    command = [sys.executable, "-m", "kgym", "train", "--run", str(run), "--model", make_model(name, root), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    plan = json.loads((run / "manifest.json").read_text())["memory"]
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return {
        "planned": plan["peak_gib"],
        "phase": plan["phase"],
        "measured": last["memory/peak_gib"] - plan["process_gib"],
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help="parts of the names of runs (default: all)")
    args = parser.parse_args()
    print("| run | planned | peak phase | measured | planned / measured |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        for title in RUNS:
            if not args.runs or any(part in title for part in args.runs):
                found = measure(title, Path(root))
                share = float(found["planned"]) / float(found["measured"])
                print(
                    f"| {title} | {found['planned']:.2f} | {found['phase']} | {found['measured']:.2f} | {share:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
