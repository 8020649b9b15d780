"""The run of all kinds of training: lock, manifest, resume, checkpoints, metrics, trackers and observers.

On several ranks every one of them runs this loop; rank 0 alone writes files and speaks to reporters, trackers and
observers.

It knows an `Objective`, which says what a step is, and the `TrainedPolicy` that the objective loads. A checkpoint holds
everything that the next step needs, so a run that was killed continues from its newest checkpoint and ends with the
same numbers as one that was not.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from kgym.errors import NothingToLearn, RunError
from kgym.files import Lock, write_atomic
from kgym.models.names import resolve_model
from kgym.registry import registry
from kgym.runs.folder import RunFolder
from kgym.runs.metrics import MetricsFile, read_metrics
from kgym.train.checkpoint import check_weights, checkpoint_steps, load_state, save_checkpoint
from kgym.train.identity import changed_versions, refuse_changes
from kgym.train.lora import check_lora
from kgym.train.objective import Objective
from kgym.train.plan import Plan
from kgym.train.profiling import OutOfMemory, Recorder, Tracer, phase, recording, shares
from kgym.train.report import Reporter
from kgym.train.trackers import Trackers
from kgym.world import join

AFTER_A_STEP = ("validate", "save")
"""Phases after the end of a step."""


class Run:
    """Trains as an objective says, in a `RunFolder`."""

    def __init__(
        self, objective: Objective, folder: RunFolder, reporter: Reporter | None = None, *, profile: bool = False
    ) -> None:
        """With `profile`, phases are timed exactly and one step is traced."""
        self.objective = objective
        self.recorder = Recorder(exact=profile)
        self.world = join()
        self.tracer = Tracer(folder.path / "profile") if profile and self.world.first else None
        self.folder = folder
        self.reporter = reporter if reporter is not None and self.world.first else Reporter()
        self.metrics = MetricsFile(folder.metrics)
        self.lock: Lock | None = None
        self.step = 0

    @property
    def config(self) -> Any:
        """The configuration in force, a `RunSettings`."""
        return self.objective.config

    def check(self) -> Any:
        """Make all checks of a start, without loading a model or writing a file; return the configuration in force.

        Raises ConfigError, DataError or PluginError for a run that cannot work.
        """
        self._prepare()
        return self.config

    def run(self) -> dict[str, Any]:
        """Train to the last step, from the newest checkpoint if there is one, and return the summary.

        Raises ConfigError or DataError before anything is written if the configuration cannot work, RunError if the run
        cannot continue.
        """
        self.began = time.perf_counter()
        with self._threads(), recording(self.recorder), self._naming_memory():
            self._prepare()
            self._check_plan()
            self.world.barrier()  # every rank must have read the run before it changes
            with self._loaded(), self._held():
                trackers = Trackers(self.config if self.world.first else None, self.folder.path, self.reporter.note)
                try:
                    summary = self._run(trackers)
                except BaseException as error:
                    self._observe("kgym_exception", error=error)
                    trackers.close(failed=True)
                    raise
                trackers.close(failed=False)
                return summary

    @contextmanager
    def _naming_memory(self) -> Iterator[None]:
        """Raise RunError for memory that ran out, with the step, the phase, and what would make the run smaller."""
        try:
            yield
        except OutOfMemory as error:
            step = self.step + (str(error) not in AFTER_A_STEP)
            raise RunError(f"step {step}: memory ran out in the phase {error}{self.plan.remedies()}") from error

    def dry_run(self) -> Plan:
        """Make all checks of a start and return what the run will have in memory; nothing is loaded or written."""
        self._prepare()
        return self.objective.plan()

    def _check_plan(self) -> None:
        """Plan the memory. Raises ConfigError, with the settings that would help, for a run that cannot fit."""
        self.plan = self.objective.plan()
        self.plan.check()
        self.facts["memory"] = self.plan.facts()
        self.recorder.expect(self.plan.work)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Lock the folder for this run; rank 0 does so for all ranks."""
        if not self.world.first:
            yield
            return
        with self.folder.opened() as self.lock:
            yield

    def _check_lock(self) -> None:
        if self.lock is not None:
            self.lock.check()

    def _observe(self, event: str, **facts: Any) -> None:
        if self.world.first:
            registry().observe(event, run=self.folder.path, **facts)

    def _prepare(self) -> None:
        """Make everything except the models, so that errors are found before a model is loaded or a file is written."""
        self.facts = dict(self.objective.prepare())
        check_lora(self.config.train.lora)
        Trackers.check(self.config)
        if self.folder.manifest.exists():
            manifest = self.folder.read_manifest()
            refuse_changes(self.folder.path, manifest, self.facts)
            if said := changed_versions(manifest, self.facts):
                self.reporter.note(said)

    @contextmanager
    def _loaded(self) -> Iterator[None]:
        """Load models and the state of a run, and end what runs in the background afterwards."""
        steps = checkpoint_steps(self.folder.checkpoints)
        self.step = steps[-1] if steps else 0
        checkpoint = self.folder.checkpoints / f"step-{self.step}" if steps else None
        try:
            with phase("load"):
                self.policy = self.objective.load(resolve_model(self.config.model), checkpoint)
                if checkpoint is not None:
                    state = load_state(checkpoint)
                    self.policy.load_state_dict(state)
                    self.objective.load_state_dict(state, checkpoint)
            yield
        finally:
            self.objective.close()

    def _run(self, trackers: Trackers) -> dict[str, Any]:
        config = self.config.train
        self.objective.ready(self.step, self._check_lock)
        if self.world.first:
            self._forget_after(self.step)
        self.world.barrier()
        for line in read_metrics(self.folder.metrics):  # hints from before the interruption are not repeated
            self.objective.hints(line, int(line["step"]))
        if self.world.first and not self.folder.manifest.exists():
            self.folder.write_manifest(self.config.model_dump(mode="json"), seed=self.config.seed, **self.facts)
        self._observe("kgym_run_started", config=self.config.model_dump(mode="json"))
        self.reporter.started({"run": str(self.folder.path), "step": self.step, **self.objective.started()})
        self.reporter.planned(self.plan)
        for note in filter(None, (self.plan.warning(), *self.objective.notes())):
            self.reporter.note(note)
        if self.step == 0 and (metrics := self.objective.validate(0)):
            self._finish_step(metrics, trackers)
        while self.step < config.steps:
            metrics = self._take_step()
            with phase("validate"):
                metrics |= self.objective.validate(self.step)
            self._finish_step(metrics, trackers)
            if self.step == config.steps or (config.save_every and self.step % config.save_every == 0):
                self._save()
        return self._conclude() if self.world.first else {}

    def _conclude(self) -> dict[str, Any]:
        checkpoint = str(self.folder.checkpoints / f"step-{self.step}")
        summary = {
            "run": str(self.folder.path),
            "steps": self.step,
            "checkpoint": checkpoint,
            **self.objective.summary(),
        }
        if self.tracer:
            seconds = shares(self.recorder.totals, time.perf_counter() - self.began)
            summary["profile"] = {
                "seconds": seconds,
                "trace": None if self.tracer.written is None else str(self.tracer.written),
            }
        write_atomic(self.folder.summary, json.dumps(summary, indent=2) + "\n")
        self._observe("kgym_run_finished", summary=summary)
        self.reporter.finished(summary)
        return summary

    def _take_step(self) -> dict[str, float]:
        self.recorder.begin_step()
        try:
            with self.tracer.step(self.step + 1, self.config.train.steps) if self.tracer else nullcontext():
                metrics = self.objective.step(self.step + 1)
        except NothingToLearn:
            if self.step and self.step not in checkpoint_steps(self.folder.checkpoints):
                self._save()
            raise
        self.step += 1
        return metrics | self.recorder.metrics()

    def _finish_step(self, metrics: Mapping[str, float], trackers: Trackers) -> None:
        self._check_lock()
        if self.world.first:
            self.metrics.append(self.step, metrics)
        trackers.log(self.step, metrics)
        self._observe("kgym_step_finished", step=self.step, metrics=dict(metrics))
        self.reporter.step(self.step, self.config.train.steps, metrics)
        for hint in self.objective.hints(metrics, self.step):
            self.reporter.note(f"step {self.step}: {hint}")

    def _save(self) -> None:
        check_weights(
            self.policy.broken_weight(), f"step {self.step}: the policy", self.folder.checkpoints, "a smaller train.lr"
        )
        folder = self.folder.checkpoints / f"step-{self.step}"

        def write(folder: Path) -> None:  # every rank takes part: rank 0 writes what it gathers from the others
            self.policy.save(folder)
            self.objective.save(folder)

        keep = self.config.train.keep_checkpoints
        with phase("save"):
            state = {"step": self.step, **self.policy.state_dict(), **self.objective.state_dict()}
            if self.world.first:
                save_checkpoint(self.folder.checkpoints, self.step, write=write, state=state, keep=keep)
            else:
                write(folder)
            self.world.barrier()
        self._observe("kgym_checkpoint_saved", step=self.step, folder=folder)

    def _forget_after(self, step: int) -> None:
        """Drop what a killed run wrote after its newest checkpoint; those steps are taken again."""
        if step == 0:  # without a checkpoint even the validation before training is taken again
            self.folder.metrics.unlink(missing_ok=True)
        elif read_metrics(self.folder.metrics):
            self.metrics.cut_after(step)
        self.objective.forget_after(step)

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Compute with the number of threads in the configuration: the last bits of sums depend on it."""
        before = torch.get_num_threads()
        if self.config.train.threads:
            torch.set_num_threads(self.config.train.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
