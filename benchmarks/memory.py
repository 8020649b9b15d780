"""Peak memory of a forward and backward pass over one long sequence: kgym's against the plain one of transformers.

    python benchmarks/memory.py
    python benchmarks/memory.py --lengths 1024 2048 4096 --full 32768

The model is a random one in the shape of Qwen2, with the vocabulary and the hidden size of its smallest member and two
layers, in float32 on the CPU. Each pass runs in its own process, whose peak is the high-water mark of its resident
memory above what it was when the model had been made. `plain` is the loss of `model(...)`: the logits of the whole
sequence, and no gradient checkpointing. It needs more memory than most machines have, so it is measured at the shorter
lengths and extrapolated along a straight line. Gradients are compared at the shortest length.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from kgym.algorithms.batch import pack
from kgym.train.scorer import Scorer, checkpoint_layers

GIB = 2**30


def make_model(length: int) -> PreTrainedModel:
    """Return the random model; it is the same for every length."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=151_936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=2,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=max(length, 64),
        tie_word_embeddings=True,
    )
    return Qwen2ForCausalLM(config).eval()


def loss_of(model: PreTrainedModel, ids: list[int], *, plain: bool) -> Tensor:
    """Return the mean negative log-likelihood of every token but the first."""
    if plain:
        input_ids = torch.tensor([ids])
        found: Tensor = model(input_ids=input_ids, labels=input_ids, use_cache=False).loss
        return found
    batch = pack(prompt_ids=[ids[:1]], token_ids=[ids[1:]], rewards=[0.0], group_ids=[0])
    return -Scorer(model)(batch)[0].sum() / (len(ids) - 1)


def measure(length: int, *, plain: bool, gradient: Path | None) -> None:
    """Print the peak of one pass in bytes, as a child process; write the gradient if there is a place for it."""
    model = make_model(length)
    if not plain:
        checkpoint_layers(model)
    ids = torch.randint(0, model.config.vocab_size, (length,), generator=torch.Generator().manual_seed(1)).tolist()
    before = resident()
    loss = loss_of(model, ids, plain=plain)
    loss.backward()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if gradient is not None:
        torch.save([weight.grad for weight in model.parameters()], gradient)
    print(json.dumps({"bytes": peak - before, "loss": float(loss.detach())}))


def resident() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def child(length: int, *, plain: bool, gradient: Path | None = None) -> dict[str, float]:
    """Measure in its own process."""
    command = [sys.executable, __file__, "--child", str(length), "--plain" if plain else "--ours"]
    command += [] if gradient is None else ["--gradient", str(gradient)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def line(lengths: list[int], peaks: list[float]) -> tuple[float, float]:
    """Return slope and intercept of the least-squares line."""
    x, y = torch.tensor(lengths, dtype=torch.float64), torch.tensor(peaks, dtype=torch.float64)
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
    return slope, float(y.mean()) - slope * float(x.mean())


def main() -> None:
    """Print one line for each pass, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[1024, 2048, 4096], help="tokens at which both are measured"
    )
    parser.add_argument(
        "--full",
        type=int,
        default=32_768,
        help="tokens at which kgym's pass is measured and the plain one extrapolated",
    )
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--gradient", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        measure(args.child, plain=args.plain, gradient=args.gradient)
        return
    with tempfile.TemporaryDirectory() as folder:
        plain, ours = Path(folder) / "plain.pt", Path(folder) / "ours.pt"
        peaks = []
        for number, length in enumerate(args.lengths):
            first = number == 0
            found = child(length, plain=True, gradient=plain if first else None)
            other = child(length, plain=False, gradient=ours if first else None)
            peaks.append(found["bytes"])
            print(
                f"{length:>6} tokens   plain {found['bytes'] / GIB:6.2f} GiB   kgym {other['bytes'] / GIB:6.2f} GiB",
                flush=True,
            )
            if first:
                one, two = torch.load(plain, weights_only=True), torch.load(ours, weights_only=True)
                apart = max(float((a - b).norm() / b.norm()) for a, b in zip(two, one, strict=True))
                print(f"{length:>6} tokens   gradients differ by {apart:.1e} of their norm at most", flush=True)
    slope, intercept = line(args.lengths, peaks)
    extended = slope * args.full + intercept
    full = child(args.full, plain=False)["bytes"]
    peaks_text = f"plain {extended / GIB:6.2f} GiB   kgym {full / GIB:6.2f} GiB"
    print(f"{args.full:>6} tokens   {peaks_text}   1 / {extended / full:.1f}   (plain: extended)")


if __name__ == "__main__":
    main()
