"""Tokens per second of the built-in engine with CUDA graphs and without, and of transformers' `generate`, on random
models.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from generate import Generate, Kgym, Load
from passes import SHAPES as LARGE
from passes import SMOKE, free
from synthetic import SHAPES, write_model

GRAPHS, SLOTS, GENERATE = "with CUDA graphs", "without", "`generate`"
ROWS = 64
TAIL_TOKENS, TAIL_REQUESTS = 256, 96
MODELS = (
    ("1M", SHAPES["nano"], "float32"),
    ("1M", SHAPES["nano"], "bfloat16"),
    ("25M", SHAPES["25M"], "bfloat16"),
    ("0.5B", LARGE["0.5B"], "bfloat16"),
    ("1.5B", LARGE["1.5B"], "bfloat16"),
)


def load_of(size: str, shape: Any, *, smoke: bool) -> Load:
    """Return what is asked of a model."""
    if smoke:
        return Load(size, shape, rows=4, fixed=4, tail=16, tail_requests=8, rounds=1)
    return Load(size, shape, rows=ROWS, fixed=128, tail=TAIL_TOKENS, tail_requests=TAIL_REQUESTS, rounds=1)


def sampling(device: str, *, smoke: bool, over: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """Yield an entry for each model, kind of lengths and side, until `over()` says that the time is over."""
    for size, shape, dtype in [("tiny", SMOKE["tiny"], "float32")] if smoke else MODELS:
        if over():
            yield {"model": size, "dtype": dtype, "left_out": "no time left"}
            continue
        load = load_of(size, shape, smoke=smoke)
        try:
            with TemporaryDirectory() as folder:
                model = write_model(Path(folder) / "model", shape, device=device, dtype=dtype)
                free()
                yield from of_model(load, model, device, dtype, over)
        except RuntimeError as error:  # the other models have their own figures
            yield {"model": size, "dtype": dtype, "left_out": " ".join(str(error).split())[:300]}
        free()


def of_model(load: Load, folder: Path, device: str, dtype: str, over: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """Yield the entries of a model, the sides in turn for each kind of lengths."""
    options = {"max_batch": load.rows, "dtype": dtype, "device": device}
    engines = {
        name: Kgym("transformers", options | {"cuda_graphs": name == GRAPHS}, folder) for name in (GRAPHS, SLOTS)
    }
    other = Generate(folder, load.rows, model=engines[SLOTS].engine.model)
    for kind in ("fixed", "long tail"):
        lengths = load.lengths(kind)
        what = {"model": load.size, "dtype": dtype, "kind": kind, "requests": len(lengths), "tokens": sum(lengths)}
        for name, side in (*engines.items(), (GENERATE, other)):
            entry = what | {"side": name}
            if over():
                yield entry | {"left_out": "no time left"}
                continue
            # the first run of the graphs records them; of the others a few tokens are enough to warm up
            first_s = timed(side, lengths if name == GRAPHS else [2] * load.rows)
            seconds = timed(side, lengths)
            yield entry | {"seconds": seconds, "first_s": first_s, "tokens_per_s": sum(lengths) / seconds}


def timed(side: Any, lengths: Sequence[int]) -> float:
    """Return the seconds of a run, whose tokens come to the host in any case."""
    began = time.perf_counter()
    if (n := side.run(lengths)) != sum(lengths):
        raise RuntimeError(f"{n} tokens were sampled, {sum(lengths)} were asked for")
    return time.perf_counter() - began


def table(entries: Sequence[dict[str, Any]]) -> str:
    """Return the table."""
    rows = [
        "| model | type | lengths | tokens | engine | tokens/s | against `generate` |",
        "|---|---|---|---|---|---|---|",
    ]
    rates = {
        (e["model"], e["dtype"], e["kind"]): e["tokens_per_s"]
        for e in entries
        if e.get("side") == GENERATE and "tokens_per_s" in e
    }
    for entry in entries:
        cells = [
            entry["model"],
            entry["dtype"],
            entry.get("kind", ""),
            format(entry.get("tokens", 0), ","),
            entry.get("side", ""),
        ]
        if "left_out" in entry:
            cells += [entry["left_out"].replace("|", "/")[:90], "-"]
        else:
            base = rates.get((entry["model"], entry["dtype"], entry["kind"]))
            cells += [f"{entry['tokens_per_s']:,.0f}", f"{entry['tokens_per_s'] / base:.1f}" if base else "-"]
        rows.append("| " + " | ".join(cells) + " |")
    return f"Sampling, {ROWS} completions at once:\n\n" + "\n".join(rows)
