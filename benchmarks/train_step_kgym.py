"""kgym's side of `train_step.py`: `kgym train`, a step whenever it is told to. Also a plugin with the parts that it
needs.

The commands are those of a user. What is measured comes from observers; the phases are those of methods that every run
calls.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

from metering import Meter, Wire, odd

from kgym.hookspecs import Component, SamplerInfo, VerifierInfo, hookimpl
from kgym.options import Options
from kgym.types import Group, ProblemSource, Verdict, VerifyItem

kgym_api = 1

INTERRUPTED = 130
"""Exit status of a command that was interrupted."""


class Nothing(Options):
    """Nothing to choose."""


class Odd:
    """A verifier: a completion is right if the sum of its bytes is odd, so that half of random ones are."""

    Options = Nothing

    def __init__(self, options: Nothing) -> None:
        pass

    def verify_many(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """Judge each completion."""
        return [Verdict("correct" if odd(item.response) else "wrong", reason="parity") for item in items]


class InOrder:
    """A sampler: the problems of the source one after the other."""

    Options = Nothing

    def __init__(self, options: Nothing, source: ProblemSource, seed: int) -> None:
        self._next = 0

    def next(self, n: int, step: int) -> list[int]:
        """Return the next n indices."""
        self._next += n
        return list(range(self._next - n, self._next))

    def update(self, index: int, verdicts: Sequence[Verdict]) -> None:
        """Learn nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return the place."""
        return {"next": self._next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from there."""
        self._next = int(state["next"])


@hookimpl
def kgym_components() -> Iterable[Component]:
    """Yield the verifier `odd`."""
    yield VerifierInfo("odd", "train_step_kgym:Odd", "the sum of the bytes is odd", isolation="none")
    yield SamplerInfo("in-order", "train_step_kgym:InOrder", "one problem after the other")


class Gate:
    """Lets a step begin when it is told to, and reports it."""

    wire: Wire

    def __init__(self) -> None:
        self.meter = Meter()
        self.steps = 0
        self.seen: dict[str, list[int]] = {}

    def wait(self) -> None:
        """Wait until the next step may begin; interrupt the run, as a user would, if there shall be none."""
        self.wire.send("ready")
        if not self.wire.may_go():
            raise KeyboardInterrupt
        self.meter.begin()


GATE = Gate()


@hookimpl
def kgym_run_started() -> None:
    """Wait for the first step."""
    GATE.wait()


@hookimpl
def kgym_rollouts_finished(groups: Iterable[Group]) -> None:
    """See how long prompts and completions are."""
    episodes = [episode for group in groups for episode in group.episodes]
    GATE.seen = {
        "prompts": [len(one.prompt_ids) for one in episodes],
        "completions": [one.n_tokens for one in episodes],
    }


@hookimpl
def kgym_step_finished(step: int) -> None:
    """Report a step and wait for the next one."""
    GATE.wire.send("step", **GATE.meter.take(), **GATE.seen)
    if step < GATE.steps:
        GATE.wait()


def settings(case: Mapping[str, Any]) -> list[str]:
    """Return the settings of `kgym train` for a case.

    >>> settings({"problems": 2, "group_size": 4, "max_tokens": 8, "temperature": 1.0, "lr": 0.1, "reward": "odd"})[:2]
    ['rollout.problems_per_step=2', 'rollout.group_size=4']
    """
    values: dict[str, Any] = {
        "rollout.problems_per_step": case["problems"],
        "rollout.group_size": case["group_size"],
        "rollout.temperature": case["temperature"],
        "env.max_tokens": case["max_tokens"],
        "env.truncated": "score",
        "sampler": "in-order",
        "algo.kl_coef": 0,
        "algo.aggregation": "token_mean",
        "algo.inner_steps": 1,
        "algo.minibatches": 1,
        "train.lr": case["lr"],
        "train.warmup_steps": 0,
        "train.save_every": 0,
    }
    values |= {"verifier": "odd"} if case["reward"] == "odd" else {}
    return [f"{key}={value}" for key, value in values.items()] + list(case.get("set", ()))


def command(case: Mapping[str, Any], run: str) -> list[str]:
    """Return the words of the command `kgym` for a case."""
    return [
        *(
            "train",
            "-q",
            "-p",
            "train_step_kgym",
            "--env",
            "aime",
            "--algo",
            "grpo",
            "--model",
            case["model"],
            "--run",
            run,
        ),
        *("--steps", str(case["steps"]), "--eval-every", "0", "--set", *settings(case)),
    ]


def measured_methods(meter: Meter) -> None:
    """Let the meter see the phases of a step."""
    from kgym.train.policy import TrainedPolicy
    from kgym.train.rl import objective
    from kgym_plugins.engines.transformers import TransformersEngine

    meter.wrap(TransformersEngine, "poll", "generate")
    meter.wrap(objective, "update", "forward and backward")
    meter.wrap(TrainedPolicy, "frozen_logprobs", "old log-probabilities")
    meter.wrap(TrainedPolicy, "clip", "optimizer")
    meter.wrap(TrainedPolicy, "take_step", "optimizer")


def matmul_rate(rows: int, hidden: int, ff: int, seconds: float = 0.3) -> float:
    """Return the operations that a product of (rows, hidden) and (hidden, ff) in float32 makes in a CPU second,
    median of five.
    """
    import torch

    a, b = torch.randn(rows, hidden), torch.randn(hidden, ff)
    out = torch.empty(rows, ff)
    torch.mm(a, b, out=out)
    flops, found = 2.0 * rows * hidden * ff, []
    for _ in range(5):
        count, began = 0, time.process_time()
        while (spent := time.process_time() - began) < seconds / 5:
            torch.mm(a, b, out=out)
            count += 1
        found.append(count * flops / spent)
    return statistics.median(found)


def main() -> None:
    """Take cases until the other side is gone."""
    GATE.wire = wire = Wire()
    import torch

    import kgym
    from kgym.cli.main import main as kgym_main

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    measured_methods(GATE.meter)
    wire.send("hello", versions={"kgym": kgym.__version__, "torch": torch.__version__})
    while True:
        message = wire.receive()
        if message["kind"] == "rates":
            wire.send("rates", rates=[matmul_rate(*sizes) for sizes in message["sizes"]])
            continue
        case = message["case"]
        GATE.steps = case["steps"]
        with tempfile.TemporaryDirectory() as folder:
            status = kgym_main(command(case, str(Path(folder) / "run")))
            if status not in (0, INTERRUPTED):
                raise SystemExit(f"kgym train ended with {status}")
        wire.send("done")


if __name__ == "__main__":
    import train_step_kgym  # the plugin is this module, and no second copy of it

    train_step_kgym.main()
