"""`metrics.jsonl`: one line of JSON for each step, in order, and the same figures as one line for people.

Step 0 is the validation before training. Keys are `group/name_unit`; those that begin with one of `CLOCK` are the only
ones that differ between a run and the same run killed and resumed.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from kgym.files import open_to_append, reading, write_atomic

CLOCK = ("time/", "speed/", "memory/", "rollout/wait_s")
"""Prefixes of the metrics that come from the clock, and of the memory that the process took."""


class MetricsFile:
    """Appends to a run's `metrics.jsonl`; a line is on the disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one line. Figures that are not finite become null: NaN is not JSON."""
        line = {"step": step} | {key: value if math.isfinite(value) else None for key, value in metrics.items()}
        with open_to_append(self.path) as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def cut_after(self, step: int) -> None:
        """Remove the steps after `step`, and a line that a crash left incomplete, so that they can be taken again."""
        write_atomic(
            self.path, "".join(json.dumps(line) + "\n" for line in read_metrics(self.path) if line["step"] <= step)
        )


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the lines of a `metrics.jsonl`; [] if the file does not exist. An incomplete last line is left out.
    Raises DataError if another line is damaged.
    """
    if not path.is_file():
        return []
    metrics: list[dict[str, float]] = []
    lines = path.read_bytes().split(b"\n")[:-1]  # what is after the last newline was not finished
    for number, line in enumerate(lines, start=1):
        if line:
            with reading(path, remedy=f"remove line {number} from it, and the run can be shown and resumed"):
                metrics.append(_checked(json.loads(line)))
    return metrics


def _checked(line: object) -> dict[str, float]:
    """Return a line. Raises ValueError if it does not have a step and its figures."""
    if not isinstance(line, dict):
        raise ValueError("not a table of figures")
    if type(line.get("step")) is not int or line["step"] < 0:
        raise ValueError("no number of a step")
    for key, value in line.items():
        if value is not None and type(value) not in (int, float):
            raise ValueError(f"{key} is not a number")
    return {"step": line["step"]} | line


def describe(step: int, steps: int, metrics: Mapping[str, float]) -> str:
    """Return one line for people, always with the same fields in the same order; a validation is at its end.

    >>> describe(3, 40, {"reward/mean": 0.31, "verdict/unscored_frac": 0.004, "policy/kl_nats": 0.008})
    'step  3/40 | reward 0.310 | unscored 0.4% | kl 0.008 nats'
    """
    width = len(str(steps))
    parts = [f"step {step:>{width + 1}}/{steps}"]
    for key, form in FIELDS.items():
        value = metrics.get(key)
        if value is not None and math.isfinite(value):
            parts.append(form.format(value))
    return " | ".join(parts)


FIELDS = {
    "reward/mean": "reward {:.3f}",
    "episode/correct_frac": "correct {:.1%}",
    "episode/tokens_mean": "{:.0f} tokens",
    "episode/truncated_frac": "truncated {:.1%}",
    "verdict/unscored_frac": "unscored {:.1%}",
    "policy/entropy_nats": "entropy {:.3f} nats",
    "policy/kl_nats": "kl {:.3f} nats",
    "optim/grad_norm": "grad {:.2f}",
    "speed/tokens_per_s": "{:.0f} tok/s",
    "eval/accuracy": "validation {:.1%}",
}
