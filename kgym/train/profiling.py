"""Where the time of a step goes, how much of the device it uses, and where memory ran out.

    with phase("optimizer"):        timed in the recorder in force; if memory runs out inside, OutOfMemory names it
        optimizer.step()
    count(tokens=..., ...)          floating-point operations of a pass, for the share of the peak

Timers are always on and cost a few microseconds. A GPU computes while the program continues, so its time is counted in
the phase that waits for it; only with `--profile` does the program wait for it at the end of each phase.

The share of the peak (MFU) counts what the model needs and not what is computed twice by gradient checkpointing: 2 N
operations a token forward and 4 N backward for N weights that it is multiplied with, and 4 L a T forward and 8 L a T
backward for attention in L layers of width a over texts of T tokens.
Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, appendix B.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kgym.errors import RunError
from kgym.train.memory import GIB, is_out_of_memory, peak_bytes
from kgym.train.plan import Workload

PHASES = {
    "load": "load",
    "generate": "generate",
    "judge": "judge",
    "pack": "pack",
    "forward_backward": "forward and backward",
    "optimizer": "optimizer",
    "sync": "sync",
    "validate": "validate",
    "save": "save",
    "trace": "write the trace",
}
"""Phases of a run: their names in metrics and for people."""

TERAFLOPS = {
    "A100": 312,
    "A10G": 70,
    "A10": 125,
    "A40": 150,
    "A6000": 155,
    "B200": 2250,
    "GH200": 989,
    "H100 NVL": 835,
    "H100 PCIe": 756,
    "H100": 989,
    "H200": 989,
    "H20": 148,
    "H800": 989,
    "L4": 121,
    "L40": 181,
    "L40S": 362,
    "RTX 3090": 71,
    "RTX 4090": 165,
    "RTX 5090": 209,
    "RTX 6000 Ada": 364,
}
"""Peaks of GPUs for dense products of bfloat16 with sums in float32, in 10^12 operations a second, from NVIDIA's data
sheets. All words of a name have to be in the name that the driver gives.
"""
PARTIAL = {"MIG", "Laptop", "Mobile", "Ti", "D"}
"""Words that mark another, smaller device with the same name."""


class OutOfMemory(RunError):
    """Memory ran out; the message is the phase."""


@dataclass(frozen=True)
class Cost:
    """Floating-point operations of a model's forward pass; a backward pass takes twice as many."""

    backbone: int
    """Number of weights that each token is multiplied with, without the head."""
    head: int
    """Number of weights of the head, which only trained tokens are multiplied with."""
    attention: int
    """Layers times heads times the size of a head."""

    def forward(self, *, tokens: int, trained: int, squares: int) -> float:
        """Return the operations of a pass over `tokens`; `squares` are the squared lengths of the texts, summed."""
        return 2.0 * (self.backbone * tokens + self.head * trained) + 4.0 * self.attention * squares


@dataclass
class Recorder:
    """Times the phases of a run and counts the work. One is in force at a time; see `recording`."""

    device: torch.device | None = None
    cost: Cost | None = None
    """Cost of the policy, if the peak of its device is known."""
    peak_flops: float | None = None
    exact: bool = False
    """Wait for the GPU at the end of each phase, and name the phases in a trace."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of each phase in the current step, without those of phases inside it."""
    totals: dict[str, float] = field(default_factory=dict)
    """Seconds of each phase since the run was started."""
    n_tokens: int = 0
    """Tokens that gradients were computed for in the current step, prompts included."""
    flops: float = 0.0
    """Operations of the policy's passes in the current step."""
    _inside: list[float] = field(default_factory=list)
    """Seconds of the phases inside each open one."""

    def expect(self, work: Workload) -> None:
        """Set the device of a run, and the cost of its passes if the peak of that device is known."""
        self.device, model = torch.device(work.device), work.model
        if self.device.type == "cuda" and work.compute_bytes == 2 and not model.experts:
            self.peak_flops = peak_flops(torch.cuda.get_device_name(self.device))
        if self.peak_flops is not None:
            self.cost = Cost(model.matmul_parameters - model.embedding, model.embedding, model.layers * model.attention)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block. Phases may be nested."""
        begin = time.perf_counter()
        self._inside.append(0.0)
        mark: AbstractContextManager[Any] = (
            torch.profiler.record_function(f"kgym: {PHASES[name]}") if self.exact else nullcontext()
        )
        try:
            with mark:
                yield
                if self.exact and self.device is not None and self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)
        finally:
            whole = time.perf_counter() - begin
            own = whole - self._inside.pop()
            if self._inside:
                self._inside[-1] += whole
            for table in (self.seconds, self.totals):
                table[name] = table.get(name, 0.0) + own

    def reassign(self, source: str, target: str, seconds: float) -> None:
        """Move time from one phase to another, where other code has measured what it was spent on."""
        for table in (self.seconds, self.totals):
            table[source] = table.get(source, 0.0) - seconds
            table[target] = table.get(target, 0.0) + seconds

    def begin_step(self) -> None:
        """Reset the figures of the step before."""
        self.seconds, self.n_tokens, self.flops = {}, 0, 0.0

    def metrics(self) -> dict[str, float]:
        """Return the figures of the step: seconds of the phases, tokens a second, share of the peak, the peak of
        memory.
        """
        found = {f"time/{name}_s": seconds for name, seconds in self.seconds.items()}
        passes_s = self.seconds.get("forward_backward", 0.0)
        if self.n_tokens and passes_s:
            found["speed/train_tokens_per_s"] = self.n_tokens / passes_s
            if self.peak_flops is not None and self.flops:
                found["speed/train_mfu_frac"] = self.flops / passes_s / self.peak_flops
        if self.device is not None and (peak := peak_bytes(self.device)) is not None:
            found["memory/peak_gib"] = peak / GIB
        return found


_current: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Let `phase` and `count` in this block, but not in threads that it starts, write to a recorder."""
    token = _current.set(recorder)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Time a block in the recorder in force, if any. Raises OutOfMemory, naming the phase, for any error that says that
    memory ran out.
    """
    recorder = _current.get()
    try:
        with nullcontext() if recorder is None else recorder.phase(name):
            yield
    except OutOfMemory:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemory(PHASES[name]) from error
        raise


def reassign(source: str, target: str, seconds: float) -> None:
    """Move seconds from one phase of the recorder in force to another."""
    if (recorder := _current.get()) is not None:
        recorder.reassign(source, target, seconds)


def count(*, tokens: int, computed: int, trained: int, squares: int, backward: bool) -> None:
    """Count a pass of the policy over texts of `tokens`, of which `computed` are computed; `trained` reach the head."""
    recorder = _current.get()
    if recorder is None:
        return
    if backward:
        recorder.n_tokens += tokens
    if recorder.cost is not None:
        recorder.flops += recorder.cost.forward(tokens=computed, trained=trained, squares=squares) * (
            3 if backward else 1
        )


def peak_flops(device_name: str) -> float | None:
    """Return the peak of a GPU for products of bfloat16, in operations a second; None for one that is not in the table.

    >>> peak_flops("NVIDIA A100-SXM4-80GB")
    312000000000000.0
    """
    words = set(device_name.replace("-", " ").split())
    if words & PARTIAL:
        return None
    found = [name for name in TERAFLOPS if set(name.split()) <= words]
    return TERAFLOPS[max(found, key=len)] * 1e12 if found else None


def shares(totals: Mapping[str, float], wall_s: float) -> dict[str, float]:
    """Return the seconds of each phase, by its name for people, in the order of a step, and the rest of `wall_s` as
    `other`.
    """
    found = {people: totals[name] for name, people in PHASES.items() if name in totals}
    return found | {"other": max(0.0, wall_s - sum(found.values()))}


def table(seconds: Mapping[str, float]) -> list[str]:
    """Return the lines of the closing table.

    >>> print("\\n".join(table({"generate": 6.0, "other": 2.0})))
    phase     seconds  share
    generate      6.0  75.0%
    other         2.0  25.0%
    """
    width, whole = max(map(len, seconds)), sum(seconds.values())
    return [f"{'phase':<{width}}  seconds  share"] + [
        f"{name:<{width}}  {s:7.1f}  {s / whole:5.1%}" for name, s in seconds.items()
    ]


class Tracer:
    """Writes a trace of torch's profiler for the second step of a session, or its only one, which Perfetto and
    chrome://tracing open.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: Path | None = None
        self._n = 0

    @contextmanager
    def step(self, step: int, last: int) -> Iterator[None]:
        """Trace the block if it is the step to trace: not the first, which warms up, unless it is the last."""
        self._n += 1
        if self._n != 2 and not (self._n == 1 and step == last):
            yield
            return
        activities = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # without this it reports its start and stop on standard error
        profiler = torch.profiler.profile(activities=activities)
        profiler.start()
        try:
            yield
        finally:
            with phase("trace"):
                profiler.stop()
        with phase("trace"):
            self.folder.mkdir(exist_ok=True)
            self.written = self.folder / f"step-{step}.json.gz"
            profiler.export_chrome_trace(str(self.written))
