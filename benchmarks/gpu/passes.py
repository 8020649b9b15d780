"""Forward and backward passes of large random models, with and without each option: tokens per second, share of the
peak, memory.
"""

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from synthetic import Shape, make_batch

if TYPE_CHECKING:
    from kgym.train.policy import TrainedPolicy
    from kgym.train_config import TrainConfig
    from kgym.types import PackedBatch

SHAPES = {
    "0.5B": Shape(hidden=896, layers=24, heads=14, kv_heads=2, ff=4864, vocab=151_936, tied=True),
    "1.5B": Shape(hidden=1536, layers=28, heads=12, kv_heads=2, ff=8960, vocab=151_936, tied=True),
}
"""Those of Qwen2 0.5B and 1.5B."""
SMOKE = {"tiny": Shape(hidden=32, layers=2, heads=2, kv_heads=1, ff=64, vocab=102, tied=True)}

WHOLE_HEAD = "whole head"
"""Not a setting: the head is computed in one piece."""
OPTIONS = {
    "as kgym does by itself": [],
    "padded rows": ["train.layout=padded"],
    "without checkpointing": ["train.gradient_checkpointing=false"],
    "head in one piece": [WHOLE_HEAD],
    "float32 instead of bfloat16": ["train.dtype=float32"],
}
"""What is changed against the defaults, one at a time."""


@dataclass(frozen=True)
class Load:
    """Groups of episodes: the prompt is half of the longest, completions are between a quarter and a half of it."""

    length: int
    groups: int
    group_size: int

    def batch(self, vocab: int) -> "PackedBatch":
        """Return it packed."""
        prompt, n = self.length // 2, self.groups * self.group_size
        longest = self.length - prompt
        completions = [longest - (longest // 2) * (place % self.group_size) // self.group_size for place in range(n)]
        return make_batch([prompt] * n, completions, self.group_size, vocab=vocab)


LOADS = (Load(2048, 2, 8), Load(8192, 1, 4), Load(32_768, 1, 1))
SMOKE_LOADS = (Load(64, 2, 4), Load(128, 1, 4), Load(256, 1, 1))


def matmul_flops(device: torch.device, dtype: torch.dtype, n: int) -> float:
    """Return the operations a second of a product of n x n matrices, the best of three tries."""
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    a @ b
    best = 0.0
    for _ in range(3):
        synchronize(device)
        began = time.perf_counter()
        for _ in range(10):
            a @ b
        synchronize(device)
        best = max(best, 20.0 * n**3 / (time.perf_counter() - began))
    return best


def synchronize(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def learner(shape: Shape, device: torch.device, dtype: torch.dtype) -> Any:
    """Return a random Qwen2 with the tokenizer of nano, which no one asks."""
    from transformers import AutoTokenizer, Qwen2ForCausalLM

    from kgym.models.names import resolve_model
    from kgym.models.policy import Policy

    nano = resolve_model("nano")
    with torch.device(device):
        model = Qwen2ForCausalLM(shape.config(max_position_embeddings=65_536)).to(dtype)
    return Policy(model.eval(), AutoTokenizer.from_pretrained(nano, trust_remote_code=False), nano)


def policy_with(settings: Sequence[str], bare: Any, device: str) -> "TrainedPolicy":
    """Return a policy on an existing model."""
    from kgym.keys import load_config
    from kgym.train.policy import TrainedPolicy

    chosen = [f"train.device={device}", "train.microbatch_tokens=32768", *settings]
    config: TrainConfig = load_config(None, chosen).train
    return TrainedPolicy(bare, config)


def measure(policy: "TrainedPolicy", batch: "PackedBatch", shape: Shape, load: Load, repeats: int) -> dict[str, float]:
    """Compute gradients of the mean log-probability, once to warm up and then so often; return the figures of the
    fastest.
    """
    device = policy.device
    lengths = torch.bincount(batch.episode_ids, minlength=batch.n_episodes)
    completions = torch.bincount(batch.episode_ids[batch.mask], minlength=batch.n_episodes)
    flops = 3 * shape.forward_flops((lengths - completions).tolist(), completions.tolist(), load.group_size)
    times = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(repeats + 1):
        policy.zero_grad()
        synchronize(device)
        began = time.perf_counter()
        for micro, *_ in policy.microbatches(batch):
            logprobs, _ = policy.logprobs(micro)
            (logprobs * micro.mask).sum().div(-batch.totals.tokens).backward()
        synchronize(device)
        times.append(time.perf_counter() - began)
    seconds = min(times[1:])
    found = {
        "seconds": seconds,
        "tokens": batch.n_tokens,
        "tokens_per_s": batch.n_tokens / seconds,
        "flops_per_s": flops / seconds,
    }
    if device.type == "cuda":
        found["peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    policy.zero_grad()
    return found


def free() -> None:
    """Give memory back before the next try."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def passes(device: torch.device, *, smoke: bool, over: Any) -> Iterator[dict[str, Any]]:
    """Yield an entry for each model, length and option, until `over()` says that the time is over."""
    for name, shape in (SMOKE if smoke else SHAPES).items():
        for load in SMOKE_LOADS if smoke else LOADS:
            batch = load.batch(shape.vocab)
            batch = replace(
                batch,
                **{key: value.to(device) for key, value in vars(batch).items() if isinstance(value, torch.Tensor)},
            )
            for option, settings in OPTIONS.items():
                entry = {"model": name, "length": load.length, "episodes": batch.n_episodes, "option": option}
                if over():
                    yield entry | {"left_out": "no time left"}
                    continue
                yield entry | one(batch, shape, load, settings, repeats=1 if smoke else 2)


def one(batch: "PackedBatch", shape: Shape, load: Load, settings: Sequence[str], *, repeats: int) -> dict[str, Any]:
    """Return the figures of an option, on a fresh model, or why there are none."""
    from kgym.train import logprobs as head

    chunk, device = head.CHUNK_ELEMENTS, batch.input_ids.device
    try:
        if WHOLE_HEAD in settings:
            head.CHUNK_ELEMENTS = 1 << 62
        bare = learner(shape, device, torch.float32)
        policy = policy_with([setting for setting in settings if setting != WHOLE_HEAD], bare, str(device))
        return measure(policy, batch, shape, load, repeats)
    except torch.OutOfMemoryError as error:
        return {"left_out": f"out of memory: {str(error).splitlines()[0]}"}
    finally:
        head.CHUNK_ELEMENTS = chunk
        bare = policy = None
        free()
