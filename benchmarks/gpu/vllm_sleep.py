"""Whether vLLM gives its memory back while the policy is updated, and has the new weights when it wakes.

    python benchmarks/gpu/vllm_sleep.py --vllm-python PY                  on a GPU that trainer and vLLM share
    python benchmarks/gpu/vllm_sleep.py --vllm-python PY --transfer ipc   weights go from GPU memory to GPU memory
    python benchmarks/gpu/vllm_sleep.py --vllm-python PY --cpu-smoke      the same calls on a CPU, which keeps memory

A random model shaped like Qwen2 0.5B is sampled from, put to sleep, given new weights and woken. Printed as JSON are
the seconds of each step and the GiB that the device has in use after it; the share of vLLM's memory that sleep has
freed; and the mean difference, in nats, of the log-probabilities of vLLM and of the new weights, beside that of what
the old weights sampled. Exit status 1 if less than nine tenths are freed, or the difference is too large.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.extend(
    str(Path(__file__).parents[2] / folder) for folder in ("benchmarks", "", "envs", "plugins", "leaderboards")
)

import torch
from synthetic import Shape, write_model

from kgym.models.policy import load_policy
from kgym.models.weights import ModelWeights
from kgym.rollout.engine import generate
from kgym.types import GenerateRequest, Message, Sampling, Segment
from kgym_plugins.engines.vllm import VLLMEngine, VLLMOptions

LARGE = Shape(hidden=896, layers=24, heads=14, kv_heads=2, ff=4864)
SMALL = Shape(hidden=64, layers=2, heads=2, kv_heads=2, ff=128)
FREED_FRAC, GAP_NATS = 0.9, {"cpu": 1e-4, "cuda": 0.05}
"""What has to be freed, and how far rounding may go in float32 and in bfloat16."""
REQUESTS = [
    GenerateRequest(
        str(i), (Message("user", f"What is {i}+{i}?"),), 64, Sampling(temperature=1.0), seed=i, context_tokens=512
    )
    for i in range(64)
]


class Steps:
    """Seconds of each step, and what the device has in use after it."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.found: dict[str, dict[str, float]] = {}

    def take(self, name: str, step: Callable[[], Any]) -> Any:
        """Take a step."""
        begin = time.perf_counter()
        result = step()
        self.found[name] = {"s": round(time.perf_counter() - begin, 3), "used_gib": round(self.used_gib(), 3)}
        return result

    def used_gib(self) -> float:
        """Return what all processes have on the GPU."""
        if self.device == "cpu":
            return 0.0
        free, total = torch.cuda.mem_get_info()
        return (total - free) / (1 << 30)


def main(arguments: Sequence[str] | None = None) -> int:
    """Sample, sleep, load, wake; print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm-python", required=True, help="Python of the virtual environment that has vLLM")
    parser.add_argument("--memory-frac", type=float, default=0.5, help="vLLM's share of the GPU (default: 0.5)")
    parser.add_argument(
        "--transfer", choices=("memory", "ipc"), default="memory", help="see engine.transfer (default: memory)"
    )
    parser.add_argument("--cpu-smoke", action="store_true", help="a tiny model on a CPU")
    args = parser.parse_args(arguments)
    device = "cpu" if args.cpu_smoke else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device is available; --cpu-smoke tries the code on a CPU")
    steps = Steps(device)
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "model", SMALL if args.cpu_smoke else LARGE, context=512)
        model = load_policy(Path(folder) / "model", device=device).model
        options = VLLMOptions(python=args.vllm_python, memory_frac=args.memory_frac, transfer=args.transfer)
        before = steps.used_gib()
        engine: VLLMEngine = steps.take("start", lambda: VLLMEngine(options, Path(folder) / "model"))
        gap, other = measured(engine, model, steps)
        engine.close()
    share = max(found["used_gib"] for found in steps.found.values()) - before
    freed = (steps.found["sample"]["used_gib"] - steps.found["sleep"]["used_gib"]) / share if share else None
    print(
        json.dumps(
            {
                "device": device,
                "steps": steps.found,
                "vllm_gib": round(share, 3),
                "freed_frac": freed,
                "gap_nats": gap,
                "old_gap_nats": other,
            },
            indent=1,
        )
    )
    return int(gap > min(GAP_NATS[device], other / 3) or (freed is not None and freed < FREED_FRAC))


def measured(engine: VLLMEngine, model: Any, steps: Steps) -> tuple[float, float]:
    """Sample, change the weights while the engine sleeps, sample again.

    Return the gap of the last segments to the new weights, and that of the first ones, which old weights have sampled.
    """
    steps.take("load", lambda: engine.load(1, ModelWeights(model)))
    old = steps.take("sample", lambda: list(generate(engine, REQUESTS)))
    steps.take("sleep", engine.sleep)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator).to(weight.device, weight.dtype)
            weight.mul_(1 + 0.05 * noise)
    steps.take("load asleep", lambda: engine.load(2, ModelWeights(model)))
    steps.take("wake", engine.wake)
    new = steps.take("sample again", lambda: list(generate(engine, REQUESTS)))
    gap, other = (sum(gap_nats(model, segment) for segment in segments) / len(segments) for segments in (new, old))
    return gap, other


@torch.no_grad()
def gap_nats(model: Any, segment: Segment) -> float:
    """Return the mean difference of the log-probabilities of a segment from the model's."""
    ids = torch.tensor([[*segment.prompt_ids, *segment.token_ids]], device=model.device)
    n = len(segment.token_ids)
    logprobs = model(input_ids=ids).logits[0, -n - 1 : -1].float().log_softmax(-1).gather(1, ids[0, -n:, None])[:, 0]
    return float((logprobs.cpu() - torch.tensor(segment.engine_logprobs)).abs().mean())


if __name__ == "__main__":
    sys.exit(main())
