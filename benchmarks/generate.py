"""Tokens per second of the built-in engine against transformers' `generate`, its continuous batching, and vLLM on a
CPU.

    python benchmarks/generate.py            about ten minutes on two quiet cores
    python benchmarks/generate.py --replicas 2      also two built-in engines of one thread each, by the engine `ray`
    python benchmarks/generate.py --quick    the smallest model with few tokens, to see that it runs
    KGYM_VLLM_PYTHON=.venv-vllm/bin/python python benchmarks/generate.py      with vLLM as well

    OUT/generate.json   seconds of the clock and of the CPU, of each engine, size and load
    OUT/generate.md     the table

The models are random Qwen2 of 1, 25 and 500 million parameters in float32 that never end a completion by themselves, so
every engine samples the same number of tokens: `fixed`, as many for each request, or `long tail`, where the chance of a
length above x falls about like 1/x. Requests come in groups of 8 with the same prompt, as in training, at temperature
1. All engines have the same threads and the same number of completions at once; `generate`, which has neither, is given
one batch after another, with a criterion that ends each row at its length, so a batch takes as long as its longest row.
The engines take turns; the figures are the best of the rounds. Threads of torch wait for each other as they do by
default, by spinning, which is fastest on a quiet machine; kgym's own commands set `OMP_WAIT_POLICY=PASSIVE`.

The limit is what the matrix products alone would allow: all linear layers of the model, one after the other, on as many
rows as are sampled at once, without attention, prompts or anything between. `share` is that of the limit that was
reached.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from metering import tree_cpu_s
from synthetic import SHAPES, Shape, write_model
from train_step import HERE, machine

from kgym.files import write_atomic

GROUP = 8
PROMPT = "A gardener plants {a} rows of {b} beans. How many are there?"
PROMPT_TOKENS, PAGE, MOST_TOKENS = 128, 32, 1024
"""For `generate_batch`: bound of a prompt, columns of a page, tokens of a pass."""
BUILT_IN, GENERATE, CONTINUOUS, VLLM = "kgym transformers", "generate", "generate_batch", "kgym vllm"
REPLICAS = "kgym ray"


@dataclass(frozen=True)
class Load:
    """What is asked of a model."""

    size: str
    shape: Shape
    rows: int
    """Completions at once."""
    fixed: int
    """Tokens of each of as many completions."""
    tail: int
    """Tokens of the longest of `tail_requests` completions."""
    tail_requests: int
    rounds: int

    def lengths(self, kind: str) -> list[int]:
        """Return the tokens of each completion.

        >>> Load("1M", SHAPES["nano"], rows=4, fixed=3, tail=100, tail_requests=6, rounds=1).lengths("fixed")
        [3, 3, 3, 3]
        """
        if kind == "fixed":
            return [self.fixed] * self.rows
        rng = random.Random(0)
        return [
            self.tail,
            *(min(self.tail, int(self.tail / 32 / (1 - rng.random()))) for _ in range(self.tail_requests - 1)),
        ]


HALF_BILLION = Shape(hidden=1280, layers=21, heads=20, kv_heads=4, ff=5120)
LOADS = (
    Load("1M", SHAPES["nano"], rows=64, fixed=128, tail=512, tail_requests=256, rounds=3),
    Load("25M", SHAPES["25M"], rows=64, fixed=64, tail=256, tail_requests=128, rounds=2),
    Load("500M", HALF_BILLION, rows=16, fixed=16, tail=96, tail_requests=32, rounds=1),
)
QUICK = (Load("1M", SHAPES["nano"], rows=16, fixed=16, tail=64, tail_requests=32, rounds=1),)
KINDS = ("fixed", "long tail")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the table."""
    args = parse(argv)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import torch

    torch.set_num_threads(args.threads)
    found: dict[str, Any] = {"machine": machine(args.threads), "loads": []}
    for load in QUICK if args.quick else LOADS:
        if load.size in args.sizes:
            with tempfile.TemporaryDirectory() as folder:
                found["loads"] += measured(load, write_model(Path(folder) / "model", load.shape), args)
    text = report(found)
    print(json.dumps(found) if args.json else text)
    if args.out or not args.quick:
        out = args.out or HERE / "results"
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "generate.json", json.dumps(found, indent=1) + "\n")
        write_atomic(out / "generate.md", text + "\n")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="threads of every engine (default: 2)")
    parser.add_argument(
        "--sizes", nargs="+", choices=[load.size for load in LOADS], default=[load.size for load in LOADS]
    )
    parser.add_argument(
        "--without",
        nargs="+",
        choices=[GENERATE, CONTINUOUS, VLLM, REPLICAS],
        default=[],
        metavar="NAME",
        help="engine to leave out",
    )
    parser.add_argument(
        "--vllm-python",
        default=os.environ.get("KGYM_VLLM_PYTHON"),
        help="Python that has vLLM (default: $KGYM_VLLM_PYTHON)",
    )
    parser.add_argument(
        "--replicas",
        type=int,
        default=0,
        metavar="N",
        help="also measure the engine ray with N replicas of the built-in one, each with one thread (default: 0)",
    )
    parser.add_argument("--quick", action="store_true", help="the smallest model, few tokens")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--out", type=Path, help="folder for the results (default: benchmarks/results; none with --quick)"
    )
    return parser.parse_args(argv)


# --- measuring


def measured(load: Load, folder: Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the figures of each kind of lengths."""
    sides = engines(load, folder, args)
    limit = load.rows / products_s(sides[GENERATE].model, load.rows)
    for kind in KINDS:
        lengths = load.lengths(kind)
        runs: dict[str, list[tuple[float, float]]] = {}
        for side in sides.values():
            side.run([2] * min(GROUP, load.rows))  # what is made at the first call
        for _ in range(load.rounds):
            for name, side in sides.items():
                if name in args.without:
                    continue
                runs.setdefault(name, []).append(
                    timed(lambda side=side, lengths=lengths: side.run(lengths), sum(lengths))
                )
        case = {
            "size": load.size,
            "kind": kind,
            "rows": load.rows,
            "requests": len(lengths),
            "tokens": sum(lengths),
            "limit": round(limit),
        }
        case["engines"] = {name: figures(found, sum(lengths), limit) for name, found in runs.items()}
        print(line(case), file=sys.stderr, flush=True)
        yield case
    for side in sides.values():
        side.close()


def timed(run: Callable[[], int], n_tokens: int) -> tuple[float, float]:
    """Return seconds of the clock and of the CPU."""
    begin, cpu_begin = time.perf_counter(), tree_cpu_s()
    n = run()
    seconds = time.perf_counter() - begin, tree_cpu_s() - cpu_begin
    if n != n_tokens:
        sys.exit(f"{n} tokens were sampled, {n_tokens} were asked for")
    return seconds


def figures(runs: Sequence[tuple[float, float]], n_tokens: int, limit: float) -> dict[str, float]:
    """Return the best of the rounds, and all of them.

    >>> figures([(2.0, 3.0), (1.0, 4.0)], 100, 200.0)["tokens_per_s"]
    100
    """
    wall_s, cpu_s = (min(column) for column in zip(*runs, strict=True))
    rate = n_tokens / wall_s
    return {
        "tokens_per_s": round(rate),
        "share": round(rate / limit, 3),
        "wall_s": round(wall_s, 3),
        "cpu_s": round(cpu_s, 3),
    } | {"rounds": [[round(number, 3) for number in run] for run in runs]}


def products_s(model: Any, rows: int) -> float:
    """Return the seconds that the linear layers of a model take for one token of each of so many rows."""
    import torch
    from torch import nn

    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    inputs = {layer.in_features: torch.randn(rows, layer.in_features) for layer in layers}
    found = []
    with torch.inference_mode():
        while len(found) < 30 and sum(found) < 6:
            begin = time.perf_counter()
            for layer in layers:
                nn.functional.linear(inputs[layer.in_features], layer.weight)
            found.append(time.perf_counter() - begin)
    return sorted(found)[len(found) // 4]


# --- engines


def chat(number: int) -> str:
    """Return the prompt of a request."""
    return PROMPT.format(a=11 + number // GROUP, b=3)


def engines(load: Load, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Load the model into each."""
    options = {"max_batch": load.rows, "dtype": "float32"}
    sides: dict[str, Any] = {BUILT_IN: Kgym("transformers", options | {"device": "cpu"}, folder)}
    sides[GENERATE] = Generate(folder, load.rows)
    if CONTINUOUS not in args.without:
        sides[CONTINUOUS] = Continuous(sides[GENERATE], load.rows)
    if args.vllm_python and VLLM not in args.without:
        sides[VLLM] = Kgym("vllm", options | {"python": args.vllm_python}, folder)
    if args.replicas and REPLICAS not in args.without:
        inner = options | {"device": "cpu", "max_batch": -(-load.rows // args.replicas)}
        sides[REPLICAS] = Kgym("ray", {"replicas": args.replicas, "inner": inner}, folder)
    return sides


class Kgym:
    """An engine of kgym."""

    def __init__(self, name: str, options: Mapping[str, Any], folder: Path) -> None:
        from kgym.rollout.engine import make_engine

        self.engine = make_engine(name, options, str(folder))

    def run(self, lengths: Sequence[int]) -> int:
        """Sample completions of these lengths; return how many tokens came."""
        from kgym.rollout.engine import generate
        from kgym.types import GenerateRequest, Message, Sampling

        requests = [
            GenerateRequest(str(number), (Message("user", chat(number)),), length, Sampling(), seed=number)
            for number, length in enumerate(lengths)
        ]
        return sum(len(segment.token_ids) for segment in generate(self.engine, requests))

    def close(self) -> None:
        """End it, if it has a process."""
        with suppress(AttributeError):
            self.engine.close()


class Generate:
    """`generate`, a batch after another."""

    def __init__(self, folder: Path, rows: int, model: Any = None) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", trust_remote_code=False)
        self.model = (
            model or AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False).eval()
        )
        self._rows = rows

    def ids(self, number: int) -> list[int]:
        """Return the prompt of a request as tokens."""
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": chat(number)}], add_generation_prompt=True, tokenize=False
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def run(self, lengths: Sequence[int]) -> int:
        """See `Kgym.run`."""
        return sum(
            self._batch(start, lengths[start : start + self._rows]) for start in range(0, len(lengths), self._rows)
        )

    def _batch(self, start: int, lengths: Sequence[int]) -> int:
        import torch
        from transformers import StoppingCriteria, StoppingCriteriaList

        read = self.tokenizer.pad(
            {"input_ids": [self.ids(start + number) for number in range(len(lengths))]}, return_tensors="pt"
        ).to(self.model.device)
        n_prompt, ends = read["input_ids"].shape[1], torch.tensor(lengths, device=self.model.device)

        class Ends(StoppingCriteria):
            """Each row at its length."""

            def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
                return input_ids.shape[1] - n_prompt >= ends

        ids = self.model.generate(
            input_ids=read["input_ids"],
            attention_mask=read["attention_mask"],
            max_new_tokens=max(lengths),
            do_sample=True,
            top_k=0,
            temperature=1.0,
            stopping_criteria=StoppingCriteriaList([Ends()]),
        )
        return int(ends.clamp(max=ids.shape[1] - n_prompt).sum())

    def close(self) -> None:
        """Nothing is held."""


class Continuous:
    """transformers' continuous batching, on the model of `generate`."""

    def __init__(self, side: Generate, rows: int) -> None:
        self._side, self._rows = side, rows

    def run(self, lengths: Sequence[int]) -> int:
        """See `Kgym.run`."""
        from transformers import ContinuousBatchingConfig, GenerationConfig

        before = self._side.model.config._attn_implementation
        config = GenerationConfig(
            do_sample=True, top_k=0, temperature=1.0, eos_token_id=2, pad_token_id=0, max_new_tokens=max(lengths)
        )
        pages = -(-(max(lengths) + PROMPT_TOKENS) // PAGE)
        limits = ContinuousBatchingConfig(
            page_size=PAGE,
            num_blocks=self._rows * pages,
            max_batch_tokens=MOST_TOKENS,
            max_requests_per_batch=self._rows,
        )  # without these it takes most of the machine's memory
        n_tokens = n_ended = 0
        try:
            with self._side.model.continuous_batching_context_manager(
                generation_config=config, continuous_batching_config=limits
            ) as manager:
                for number, length in enumerate(lengths):
                    manager.add_request(self._side.ids(number), request_id=str(number), max_new_tokens=length)
                while n_ended < len(lengths):
                    result = manager.get_result(timeout=1)
                    if result is not None and result.is_finished():
                        n_ended += 1
                        n_tokens += len(result.generated_tokens)
        finally:
            self._side.model.set_attn_implementation(before)
        return n_tokens

    def close(self) -> None:
        """Nothing is held."""


# --- the table


def line(case: Mapping[str, Any]) -> str:
    """Return a case in a line."""
    return f"{case['size']}, {case['kind']}: " + ", ".join(
        f"{name} {found['tokens_per_s']:,} tokens/s" for name, found in case["engines"].items()
    )


def report(found: Mapping[str, Any]) -> str:
    """Return the table as Markdown."""
    where = found["machine"]
    on = f"{where['cpu']}, {where['cores']} cores, {where['threads']} threads, load before {where['load_before']}"
    rows = [
        "| parameters | lengths | engine | tokens/s | kgym is faster | by CPU time | share of the products' limit |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in found["loads"]:
        ours = case["engines"][BUILT_IN]
        what = f"{case['kind']}: {case['requests']} requests, {case['tokens']:,} tokens, {case['rows']} at once"
        for name, of in case["engines"].items():
            ratios = (
                ["", ""]
                if name == BUILT_IN
                else [f"**{of[key] / ours[key]:.2f}** times" for key in ("wall_s", "cpu_s")]
            )
            rows.append(
                f"| {case['size']} | {what} | {name} | {of['tokens_per_s']:,} | {ratios[0]} | {ratios[1]} | "
                f"{of['share']:.1%} |"
            )
    limits = ", ".join(f"{case['limit']:,} ({case['size']})" for case in found["loads"] if case["kind"] == KINDS[0])
    return f"{on}; kgym at {where['commit']}. Limit of the matrix products, tokens/s: {limits}.\n\n" + "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
