"""The memory that a run will need, phase by phase, and settings that need less. No model is loaded for the plan.

    plan = make_plan(workload, available=available_bytes(device), smaller={"train.microbatch_tokens=8192": other})
    plan.lines()        the table        plan.check()        raises ConfigError, with the remedies, for what cannot fit

All sizes are in bytes. P weights of which R are trained, w bytes a weight, c bytes in the type that is computed in, N
tokens in a forward pass of L layers with hidden size h, and a, b, s and m from `kgym.models.footprint.Activations`:

    weights         P w, and as much for a reference; shared out over the ranks
    gradients       R w                                     from the first backward pass of an update to its end
    optimizer       R x 8 for AdamW in float32              from the first update on
    activations     N (a + b) + rows x row^2 x s            without gradient checkpointing
                    N h w L + N (a + b) / L + ...           with it: the inputs of the layers, and one layer at a time
    backward pass   3 N m + 4 x the largest weight          gradients on their way through a layer and into a weight
    copies          P c where c is less than w              autocast keeps the copies of the weights in bfloat16
    logits          see `head_bytes`
    update          2 x 4 x the largest weight on a CPU, R x 4 on a GPU, where AdamW takes all weights at once

The engine reports its own memory (`kgym.types.PlansMemory`). Texts are assumed to be as long as their budget allows, so
the plan is an upper bound. It leaves out the program and its libraries, which are loaded before the run is planned, and
the workers of verifiers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from kgym.errors import ConfigError
from kgym.models.footprint import Footprint
from kgym.train.logprobs import CHUNK_ELEMENTS
from kgym.train.memory import GIB, available_bytes, used_bytes
from kgym.types import EngineMemory

TOLERANCE = 1.35
"""A run is refused only if it needs more than this times the available memory: plans agree with measured peaks to a
third.
"""
WORTH = 0.02
"""Share of the peak that a setting has to save to be proposed."""
LIBRARIES = GIB // 10
"""Bytes that a run loads after it was planned: tables, Parquet, threads."""
CHUNK_COPIES = 4
"""Tensors of the size of a chunk of logits that its backward pass has at once."""
PHASES = ("generate", "forward and backward", "optimizer")


@dataclass(frozen=True)
class Workload:
    """The properties of a run that its memory depends on."""

    model: Footprint
    row: int
    """Tokens of the longest text."""
    texts: int
    """Texts in an optimizer step."""
    microbatch_tokens: int
    """Most tokens in a forward pass, unless one text is longer."""
    trained: int
    """Weights that are trained."""
    device: str = "cpu"
    weight_bytes: int = 4
    """Bytes of a weight in memory."""
    trained_bytes: int = 4
    """Bytes of a trained weight, and of its gradient."""
    compute_bytes: int = 4
    """Bytes of a number in a forward pass."""
    state_bytes: int = 8
    """Bytes of the optimizer's state for each trained weight."""
    checkpointing: bool = False
    """Whether activations are computed again in the backward pass."""
    reference: Footprint | None = None
    """A model that is held, in the type of the weights, and not trained."""
    critic: Footprint | None = None
    """A critic with its own backbone, which is trained as the policy is."""
    ranks: int = 1
    """Processes that the weights are shared out over."""
    engine: EngineMemory | None = None
    """None without an engine, or with one that does not report its memory."""
    together: bool = False
    """Whether the engine samples while the policy is trained."""
    sleeps: bool = False
    """Whether the engine gives back its memory while the policy is updated."""

    @property
    def tokens(self) -> int:
        """Most tokens in one forward pass."""
        return min(max(self.microbatch_tokens, self.row), self.texts * self.row)


Change = Callable[[Workload], Workload]


@dataclass(frozen=True)
class Part:
    """One row of the plan: bytes in each of the phases."""

    name: str
    generate: int = 0
    passes: int = 0
    update: int = 0

    @property
    def phases(self) -> tuple[int, int, int]:
        """Bytes in the order of `PHASES`."""
        return self.generate, self.passes, self.update


@dataclass(frozen=True)
class Plan:
    """The memory that a run will need."""

    work: Workload
    available: int | None = None
    """Available bytes; None if unknown."""
    used: int | None = None
    """Bytes that the process had before: on a CPU, the program and its libraries."""
    savings: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the peak that each setting would save."""
    all_together: int = 0
    """The peak with all of these settings."""
    left_out: str = ""
    """A part without a bound, which could not be planned, with the setting that would bound it."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The rows of the table, in order."""
        return _parts(self.work)

    @property
    def device(self) -> str:
        """The device on which the policy is trained."""
        return self.work.device

    @property
    def totals(self) -> tuple[int, ...]:
        """Bytes in each phase."""
        return tuple(sum(column) for column in zip(*(part.phases for part in self.parts), strict=True))

    @property
    def peak(self) -> int:
        """Bytes in the phase that needs the most."""
        return max(self.totals)

    @property
    def phase(self) -> str:
        """The phase that needs the most."""
        return PHASES[self.totals.index(self.peak)]

    @property
    def tight(self) -> bool:
        """Whether the run takes more than half of the available memory."""
        return self.available is not None and self.peak > self.available / 2

    def check(self) -> None:
        """Raise ConfigError, with remedies, for a run that cannot fit; a plan may be a third too large."""
        if self.available is not None and self.peak > TOLERANCE * self.available:
            raise ConfigError(f"this run cannot fit into memory: it {self._needs()}{self.remedies()}")

    def warning(self) -> str | None:
        """Return a warning for a run that may not fit; None for one that should."""
        if self.available is None or self.peak <= self.available:
            return None
        return f"this run may run out of memory: it {self._needs()}{self.remedies()}"

    def _needs(self) -> str:
        assert self.available is not None
        return f"needs about {gib(self.peak)} GiB ({self.phase}), and {self.device} has {gib(self.available)} GiB"

    def remedies(self) -> str:
        """Return `; set A (saves 1.5 GiB, enough) or B (saves 0.3 GiB)`, the largest saving first; "" if nothing
        would help.
        """
        if not self.savings:
            return "; take a smaller model"
        found = []
        for setting, saved in sorted(self.savings.items(), key=lambda item: -item[1]):
            enough = (
                ", enough"
                if self.available is not None and self.available < self.peak <= self.available + saved
                else ""
            )
            found.append(f"{setting} (saves {gib(saved)} GiB{enough})")
        rest = f"; all of them together leave {gib(self.all_together)} GiB" if len(found) > 1 else ""
        return f"; set {' or '.join(found)}{rest}"

    def line(self) -> str:
        """Return the plan in one line."""
        there = "" if self.available is None else f" of {gib(self.available)}"
        without = f", without {self.left_out}" if self.left_out else ""
        return f"about {gib(self.peak)}{there} GiB on {self.device} at the most ({self.phase}){without}"

    def lines(self) -> list[str]:
        """Return the plan as a table, in GiB."""
        rows: list[tuple[str, ...]] = [("memory, GiB", *PHASES)]
        rows += [
            (part.name, *(gib(n) if n else "" for n in part.phases)) for part in self.parts if part != Part(part.name)
        ]
        rows.append(("together", *map(gib, self.totals)))
        if self.available is not None:
            rows.append((f"{self.device} has", *[gib(self.available)] * len(PHASES)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(PHASES) + 1)]
        without = [f"without {self.left_out}"] if self.left_out else []
        return [
            "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            )
            for row in rows
        ] + without

    def facts(self) -> dict[str, Any]:
        """Return it as plain JSON values, in GiB."""
        return {
            "device": self.device,
            "available_gib": None if self.available is None else round(self.available / GIB, 3),
            "peak_gib": round(self.peak / GIB, 3),
            "phase": self.phase,
            "parts_gib": {
                part.name: {phase: round(n / GIB, 4) for phase, n in zip(PHASES, part.phases, strict=True) if n}
                for part in self.parts
            },
            "process_gib": None if self.used is None else round(self.used / GIB, 3),
            "left_out": self.left_out,
            "savings_gib": {setting: round(saved / GIB, 3) for setting, saved in self.savings.items()},
        }


def gib(n: float) -> str:
    """Write bytes as GiB: with two digits after the point, or three below 0.05 GiB.

    >>> gib(3 << 30), gib(5 << 20)
    ('3.00', '0.005')
    """
    return f"{n / GIB:.2f}" if n >= GIB / 20 else f"{n / GIB:.3f}"


def make_plan(work: Workload, smaller: Mapping[str, Change] | None = None, left_out: str = "") -> Plan:
    """Plan a run on the device as it is now. `smaller` are changes that would need less, by the setting that makes
    them; `left_out` is what could not be planned.
    """
    device = torch.device(work.device)
    changes = dict(smaller or {}) | _engine_changes(work)
    peak = Plan(work).peak
    savings = {
        setting: saved
        for setting, change in changes.items()
        if (saved := peak - Plan(change(work)).peak) > peak * WORTH
    }
    least = work
    for setting in savings:
        least = changes[setting](least)
    return Plan(work, available_bytes(device), used_bytes(device), savings, Plan(least).peak, left_out)


def _engine_changes(work: Workload) -> dict[str, Change]:
    """Return the options of the engine that need less, as changes of the workload."""
    if work.engine is None:
        return {}

    def change(saved: int) -> Change:
        def apply(other: Workload) -> Workload:
            if other.engine is None:
                return other
            left = max(0, sum(other.engine.sampling.values()) - saved)
            return replace(other, engine=replace(other.engine, sampling={"sampling": left}))

        return apply

    return {setting: change(saved) for setting, saved in work.engine.savings.items()}


def _parts(work: Workload) -> tuple[Part, ...]:
    model, ranks = work.model, work.ranks
    weights, gradients = model.parameters * work.weight_bytes // ranks, work.trained * work.trained_bytes // ranks
    if work.trained < model.parameters:  # an adapter is added to the base
        weights += work.trained * work.trained_bytes
    state = work.trained * work.state_bytes // ranks
    parts = [
        Part("weights", weights, weights, weights),
        Part("gradients", gradients if work.together else 0, gradients, gradients),
        Part("optimizer state", state, state, state),
    ]
    if work.reference is not None:
        held = work.reference.parameters * work.weight_bytes // ranks
        parts.append(Part("reference", held, held, held))
    if work.critic is not None:
        held = work.critic.parameters * (work.trained_bytes + work.state_bytes) // ranks
        parts.append(Part("critic and its optimizer state", held, held, held))
        gradients = work.critic.parameters * work.trained_bytes // ranks
        parts.append(Part("gradients of the critic", gradients if work.together else 0, gradients, gradients))
    parts.append(Part(f"activations of {work.tokens:,} tokens", 0, activation_bytes(work), 0))
    parts.append(Part("logits", 0, head_bytes(work), 0))
    parts.append(Part("work of the optimizer", 0, 0, _update_bytes(work)))
    if work.device == "cpu":
        parts.append(Part("libraries loaded on the way", LIBRARIES, LIBRARIES, LIBRARIES))
    if work.engine is not None:
        parts += _engine_parts(work.engine, work)
    return tuple(parts)


def activation_bytes(work: Workload) -> int:
    """Return the bytes of the policy's forward and backward pass; see the module."""
    model, kept = work.model, work.model.activations
    rows = max(1, work.tokens // work.row)
    all_layers = work.tokens * (kept.per_token + kept.per_row_token) + rows * work.row**2 * kept.per_row_square
    copies = kept.copies + model.embedding * work.compute_bytes if work.compute_bytes < work.weight_bytes else 0
    on_the_way = 3 * work.tokens * kept.widest + 4 * model.largest
    if not work.checkpointing:
        return round(all_layers + copies + on_the_way)
    inputs = work.tokens * model.hidden * work.weight_bytes * model.layers
    return round(inputs + max(copies, (all_layers + copies) / model.layers + on_the_way))


def head_bytes(work: Workload) -> int:
    """Return the bytes of a chunk of logits in float32, of which the backward pass has several copies."""
    logits = work.tokens * work.model.vocabulary
    return CHUNK_COPIES * 4 * min(logits, CHUNK_ELEMENTS)


def _update_bytes(work: Workload) -> int:
    if work.device.startswith("cuda"):
        return 4 * work.trained // work.ranks
    return 2 * 4 * min(work.model.largest, work.trained)


def _engine_parts(engine: EngineMemory, work: Workload) -> list[Part]:
    asleep = work.sleeps and work.device != "cpu"  # on a CPU sleeping frees nothing
    keeps = work.together or (engine.keeps and not asleep)
    held = [Part(f"engine: {name}", n, *[0 if asleep else n] * 2) for name, n in engine.held.items()]
    return held + [Part(f"engine: {name}", n, *[n if keeps else 0] * 2) for name, n in engine.sampling.items()]
