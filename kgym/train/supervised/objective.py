"""Learning from examples: `kgym sft`, `kgym dpo` and `kgym rm` are one objective, and differ in their examples and
their loss.

The examples of step s are a pure function of (source, seed, s), so a run that was killed continues from its newest
checkpoint as if it had not been interrupted.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from kgym.errors import DataError, RunError
from kgym.models.load import load_config
from kgym.models.names import model_fingerprint, resolve_model
from kgym.options import for_run
from kgym.runs.folder import RunFolder, checkout, versions
from kgym.runs.metrics import CLOCK, read_metrics
from kgym.supervised_config import DPOConfig, RMConfig, SFTConfig, SupervisedConfig
from kgym.train.checkpoint import way_on
from kgym.train.components import component_versions, own_fingerprints
from kgym.train.loop import Run
from kgym.train.optim import lr_at
from kgym.train.plan import Plan, make_plan
from kgym.train.policy import TrainedPolicy
from kgym.train.profiling import phase
from kgym.train.report import Reporter
from kgym.train.supervised.components import chosen, with_defaults
from kgym.train.supervised.dpo import DPO
from kgym.train.supervised.reward_model import RewardModeling
from kgym.train.supervised.sft import SFT
from kgym.train.warmups import lasting
from kgym.train.workload import policy_workload, smaller

PATIENCE = 3
"""Steps without an example that fits into the context, from the start, after which a run ends."""


class Part(Protocol):
    """The part in which `kgym sft`, `dpo` and `rm` differ. Constructed as `target(config)`; raises ConfigError or
    DataError if the examples cannot be read.
    """

    facts: Mapping[str, Any]
    """Facts in the manifest that identify the examples."""

    def load(self, folder: str, checkpoint: Path | None) -> TrainedPolicy:
        """Load the model from a checkpoint of the run, or from `folder`."""

    def add_gradient(self, step: int) -> dict[str, float]:
        """Add the gradient of a step, counted from 1; return its metrics, `train/loss_nats` and `data/tokens` (read)
        among them.
        """

    def held_out(self) -> dict[str, float]:
        """Return the figures over what is held out, as `held_out/...`; {} if nothing is."""

    def save(self, folder: Path) -> None:
        """Write what belongs to the model, in addition to the model, into the folder of a checkpoint."""

    def summary(self) -> dict[str, Any]:
        """Return the results of the run, in addition to its figures."""


def supervised(
    config: SupervisedConfig,
    folder: RunFolder,
    reporter: Reporter | None = None,
    *,
    part: Callable[[Any], Part] | None = None,
    profile: bool = False,
) -> Run:
    """Return the run of a configuration in a folder: `supervised(config, folder).run()` trains. `profile` as in `Run`.

    `part` makes the part of the configuration in force, instead of the one that reads the examples that the
    configuration names.
    """
    return Run(Supervised(config, folder, part or part_of), folder, reporter, profile=profile)


def part_of(config: SupervisedConfig) -> Part:
    """Return the part of a configuration."""
    if isinstance(config, SFTConfig):
        return SFT(config)
    return DPO(config) if isinstance(config, DPOConfig) else RewardModeling(config)


class Supervised:
    """The `Objective` of `kgym sft`, `kgym dpo` and `kgym rm`."""

    def __init__(self, config: SupervisedConfig, folder: RunFolder, part: Callable[[Any], Part]) -> None:
        self.config = config
        self.folder = folder
        self.make_part = part
        self.n_tokens = 0.0
        self.n_steps = 0

    def prepare(self) -> Mapping[str, Any]:
        """See `Objective`."""
        config = self.config = with_defaults(self.config)
        self.part = self.make_part(config)
        fingerprints = {"model": model_fingerprint(resolve_model(config.model))} | own_fingerprints(chosen(config))
        return {
            "kind": config.KIND,
            "specs": {},
            **self.part.facts,
            "fingerprints": fingerprints | self.part.facts.get("fingerprints", {}),
            "versions": versions(),
            "components": component_versions(chosen(config)),
            "checkout": checkout(),
        }

    def plan(self) -> Plan:
        """See `Objective`: each row is assumed to fill a micro-batch, or the model's context if that is shorter."""
        config, folder = self.config, resolve_model(self.config.model)
        context = getattr(load_config(folder).get_text_config(), "max_position_embeddings", None)
        most = config.train.microbatch_tokens
        row = most if context is None else min(most, context)
        work = policy_workload(config.train, folder, row=row, texts=max(1, most // row))
        if isinstance(config, DPOConfig) and not config.train.lora.rank:
            work = dataclasses.replace(work, reference=work.model)
        changes = smaller(config.train, folder, work)
        if isinstance(config, RMConfig):  # which trains all weights
            changes = {setting: change for setting, change in changes.items() if "lora" not in setting}
        return make_plan(work, changes)

    # --- models and state ---

    def load(self, folder: str, checkpoint: Path | None) -> TrainedPolicy:
        """See `Objective`."""
        self.policy = self.part.load(folder, checkpoint)
        return self.policy

    def load_state_dict(self, state: Mapping[str, Any], checkpoint: Path) -> None:
        """See `Objective`: the examples of a step are a function of its number."""

    def state_dict(self) -> dict[str, Any]:
        """See `Objective`."""
        return {}

    def save(self, folder: Path) -> None:
        """See `Objective`."""
        self.part.save(folder)

    def ready(self, step: int, check: Callable[[], None]) -> None:
        """See `Objective`."""
        self.check = check

    def close(self) -> None:
        """See `Objective`: nothing runs in the background."""

    # --- a step ---

    def step(self, step: int) -> dict[str, float]:
        """See `Objective`."""
        config = for_run(self.config.train, self.config.train.steps)
        lr = lr_at(
            step,
            lr=config.lr,
            warmup_steps=int(config.warmup_steps),
            steps=config.steps,
            schedule=config.schedule,
            decay_frac=config.decay_frac,
        )
        self.policy.set_lr(lr)
        began = time.perf_counter()
        try:
            metrics = self._update(step)
        except FloatingPointError as error:
            remedy = f"a smaller train.lr (now {config.lr:g})"
            raise RunError(f"step {step}: {error}; {way_on(self.folder.checkpoints, remedy)}") from error
        seconds = time.perf_counter() - began
        self._count(metrics["data/tokens"])
        timed = {"time/train_s": seconds, "speed/tokens_per_s": metrics["data/tokens"] / max(seconds, 1e-9)}
        return metrics | {"optim/lr": lr} | timed

    def _update(self, step: int) -> dict[str, float]:
        """Take an optimizer step. Raises FloatingPointError, before the weights change, if the loss or its gradient
        is not finite.
        """
        with phase("forward_backward"):
            self.policy.zero_grad()
            metrics = self.part.add_gradient(step)
        if not math.isfinite(metrics["train/loss_nats"]):
            raise FloatingPointError(f"the loss is {metrics['train/loss_nats']}")
        with phase("optimizer"):
            metrics["optim/grad_norm"] = self.policy.clip(self.config.train.max_grad_norm)
            self.policy.take_step()
        return metrics

    def _count(self, n_tokens: float) -> None:
        """Raise DataError if there was nothing to learn since the run began or was resumed."""
        self.n_tokens += n_tokens
        self.n_steps += 1
        if not self.n_tokens and self.n_steps >= PATIENCE:
            raise DataError(
                f"no example of {PATIENCE} steps fits into the model's context; shorten them, or take another model"
            )

    def validate(self, step: int) -> dict[str, float]:
        """See `Objective`: what is held out is measured after the last step."""
        return self.part.held_out() if step == self.config.train.steps else {}

    # --- what is reported ---

    def started(self) -> Mapping[str, Any]:
        """See `Objective`."""
        return {"envs": {}, "what": what(self.config)}

    def notes(self) -> list[str]:
        """See `Objective`."""
        steps = self.config.train.steps
        return lasting(self.config.train, "train", steps + 1, steps)

    def hints(self, metrics: Mapping[str, float], step: int) -> list[str]:
        """See `Objective`."""
        return []

    def summary(self) -> Mapping[str, Any]:
        """See `Objective`: the figures of the last step."""
        lines = read_metrics(self.folder.metrics)
        last = {
            key: value
            for key, value in (lines[-1] if lines else {}).items()
            if key != "step" and not key.startswith(CLOCK)
        }
        return last | self.part.summary()

    def forget_after(self, step: int) -> None:
        """See `Objective`: this objective writes nothing else."""


def what(config: SupervisedConfig) -> str:
    """Return in words what is trained, and on what: `sft on aime`, `rm on runs/samples`."""
    return f"{config.KIND} on {config.env.name if config.env else config.data or config.episodes or 'examples'}"
