"""The training loop: collect groups, shape rewards, update the policy, hand its weights to the engine, and write everything down.

A step is one collect-and-update; an inner step is one optimizer step inside it. A checkpoint holds everything that the next step
needs, so a run that was killed goes on from its newest checkpoint and ends in the same numbers as one that was not.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kgym.blame import blaming
from kgym.config import RunConfig
from kgym.envs.mixture import members
from kgym.errors import NothingToLearn, RunError
from kgym.files import Lock, write_atomic
from kgym.folders import numbered, refuse_links, remove, remove_leftovers
from kgym.models.names import resolve_model
from kgym.models.policy import load_policy
from kgym.models.weights import ModelWeights
from kgym.options import for_run
from kgym.registry import registry
from kgym.rollout.engine import check_engine, make_engine
from kgym.rollout.groups import Played
from kgym.rollout.schedule import Ahead, InTurn, Schedule
from kgym.rollout.worker import ProcessEngine
from kgym.runs.episodes import write_episodes
from kgym.runs.folder import RunFolder, checkout, versions
from kgym.runs.metrics import MetricsFile, read_metrics
from kgym.seeding import derive_seed
from kgym.train.checkpoint import (
    OPEN_EPISODES,
    check_weights,
    checkpoint_steps,
    load_state,
    open_episodes,
    refuse_older,
    save_checkpoint,
    way_on,
)
from kgym.train.components import with_defaults
from kgym.train.critic import FOLDER, Critic, load_value_model
from kgym.train.diagnosis import Diagnosis
from kgym.train.held_out import check_held_out
from kgym.train.identity import changed_versions, component_versions, fingerprints, refuse_changes
from kgym.train.long_prompts import LongPrompts
from kgym.train.optim import lr_at, make_optimizer, set_lr
from kgym.train.ptx import pretraining_examples, pretraining_term
from kgym.train.recipe import with_recipe
from kgym.train.report import Reporter
from kgym.train.statistics import (
    batch_metrics,
    env_metrics,
    group_metrics,
    nothing_to_learn,
    part_metrics,
    rollout_metrics,
    unscored_reasons,
)
from kgym.train.streams import check_schedule, make_rollouts
from kgym.train.trackers import Trackers
from kgym.train.update import pack_groups, update
from kgym.train.validation import Validation
from kgym.train.warmups import create_for_run, unended
from kgym.types import Algorithm, Engine, TemplateOptions

PATIENCE = 3
"""Steps on end without anything to learn from, after which a run ends."""


class Trainer:
    """Trains a policy as a `RunConfig` says, in a `RunFolder`."""

    def __init__(self, config: RunConfig, folder: RunFolder, reporter: Reporter | None = None) -> None:
        self.config = config
        self.folder = folder
        self.reporter = reporter or Reporter()
        self.metrics = MetricsFile(folder.metrics)
        self.lock: Lock

    def check(self) -> RunConfig:
        """Check all that a start checks, without loading a model or writing a file; return the configuration in force.

        Raises ConfigError, DataError or PluginError for what cannot work.
        """
        self._prepare()
        return self.config

    def run(self) -> dict[str, Any]:
        """Train to the last step, from the newest checkpoint if there is one, and return the summary.

        Raises ConfigError or DataError before anything is written if the configuration cannot work, RunError if the run cannot go on.
        """
        with self._threads():
            self._prepare()
            with self._loaded(), self.folder.opened() as self.lock:
                trackers = Trackers(self.config, self.folder.path, self.reporter.note)
                try:
                    summary = self._run(trackers)
                except BaseException as error:
                    registry().observe("kgym_exception", run=self.folder.path, error=error)
                    trackers.close(failed=True)
                    raise
                trackers.close(failed=False)
                return summary

    def _prepare(self) -> None:
        """Make every component but the models, so that what cannot work is refused before a model is loaded or a file is written."""
        config = self.config = with_defaults(with_recipe(self.config))
        engine_options = registry().options("engine", config.engine.name, config.engine.options)
        self.template: Mapping[str, Any] | None = engine_options.template if isinstance(engine_options, TemplateOptions) else None
        Trackers.check(config)
        self.algorithm: Algorithm = create_for_run("algorithm", config.algo.name, config.algo.options, config.train.steps)
        with blaming("algorithm", self.algorithm):
            plan = self.algorithm.plan
        check_schedule(config)
        self.members = members(config)
        self.rollouts = make_rollouts(config, self.members, plan)
        self.validation = Validation(config, self.members, sampling=self.rollouts.sampling, template=self.template)
        scored = {name: evaluation.source for name, evaluation in self.validation.benches.items()}
        trained = {stream.label: stream.setup.source for stream in self.rollouts.streams}
        check_held_out(config, self.members, trained, self.validation.sources, scored)
        check_engine(config.engine.name, config.engine.options, resolve_model(config.model))
        self.pretraining = pretraining_examples(config)
        self.facts = self._facts(critic=plan.needs_values)
        if self.folder.manifest.exists():
            manifest = self.folder.read_manifest()
            refuse_changes(self.folder.path, manifest, self.facts)
            refuse_older(self.folder.checkpoints)
            if said := changed_versions(manifest, self.facts):
                self.reporter.note(said)

    @contextmanager
    def _loaded(self) -> Iterator[None]:
        """Load models and the state of a run, and end what runs in the background afterwards."""
        self._load()
        try:
            yield
        finally:
            self.schedule.close()
            if isinstance(self.engine, ProcessEngine):
                self.engine.close()

    def _load(self) -> None:
        """Load models and, of a run that goes on, its state."""
        config = self.config
        base = resolve_model(config.model)
        steps = checkpoint_steps(self.folder.checkpoints)
        self.step = steps[-1] if steps else 0
        checkpoint = self.folder.checkpoints / f"step-{self.step}" if steps else None
        self.policy = load_policy(str(checkpoint or base), dtype=config.train.dtype, device=config.train.device)
        self.reference = (
            load_policy(base, dtype=config.train.dtype, device=config.train.device).model.requires_grad_(False)
            if self.algorithm.plan.needs_reference
            else None
        )
        self.engine = self._make_engine(base)
        self.schedule = self._make_schedule()
        self.long_prompts = LongPrompts(self.members, self.reporter.note)
        self.long_prompts.check(self.engine, self.rollouts.streams, self.validation, config.rollout.step_tokens)
        self.optimizer = self._fresh_optimizer()
        self.critic = self._make_critic(base, checkpoint) if self.algorithm.plan.needs_values else None
        self.empty_steps = 0
        if checkpoint is not None:
            state = load_state(checkpoint)
            self.optimizer.load_state_dict(state["optimizer"])
            if self.critic is not None:
                self.critic.optimizer.load_state_dict(state["critic_optimizer"])
            self.schedule.restore(open_episodes(checkpoint), json.loads(state["rollouts"]))
            self.empty_steps = state["empty_steps"]
        self.schedule.load(self.step, ModelWeights(self.policy.model))

    def _make_engine(self, base: str) -> Engine:
        """Load the engine, in its own process if the batches of later steps are sampled while one is trained on."""
        config = self.config.engine
        if self.config.rollout.schedule == "ahead":
            return ProcessEngine(config.name, config.options, base)
        return make_engine(config.name, config.options, base)

    def _make_schedule(self) -> Schedule:
        rollout = self.config.rollout
        if rollout.schedule == "ahead":
            return Ahead(self.rollouts, self.engine, max_lag=rollout.max_lag, steps=self.config.train.steps)
        return InTurn(self.rollouts, self.engine)

    def _run(self, trackers: Trackers) -> dict[str, Any]:
        config = self.config.train
        self._forget_after(self.step)
        self.diagnosis = Diagnosis(max_grad_norm=config.max_grad_norm)
        for line in read_metrics(self.folder.metrics):  # what was said before the run was interrupted is not said again
            self.diagnosis.new(line, int(line["step"]))
        if not self.folder.manifest.exists():
            self.folder.write_manifest(self.config.model_dump(mode="json"), seed=self.config.seed, **self.facts)
        registry().observe("kgym_run_started", run=self.folder.path, config=self.config.model_dump(mode="json"))
        envs = {stream.label: stream.setup.facts() for stream in self.rollouts.streams}
        self.reporter.started({"run": str(self.folder.path), "step": self.step, "envs": envs})
        for note in unended(self.config):
            self.reporter.note(note)
        if self.step == 0 and config.eval_every:
            self._finish_step(self._validate(), trackers)
        while self.step < config.steps:
            metrics = self._train_step()
            if config.eval_every and (self.step % config.eval_every == 0 or self.step == config.steps):
                metrics |= self._validate()
            self._finish_step(metrics, trackers)
            if self.step == config.steps or (config.save_every and self.step % config.save_every == 0):
                self._save()
        summary = self._summary()
        write_atomic(self.folder.summary, json.dumps(summary, indent=2) + "\n")
        registry().observe("kgym_run_finished", run=self.folder.path, summary=summary)
        self.reporter.finished(summary)
        return summary

    def _train_step(self) -> dict[str, float]:
        config = self.config
        step = self.step + 1
        with _clock() as rollout_s:
            played = self.schedule.play(step, lambda done, total: self.reporter.progress("rollout", done, total))
        self.lock.check()
        write_episodes(self.folder.episodes / f"step-{step:05d}.parquet", played.sampled, envs=played.labels, step=step, begun=played.begun)
        self.long_prompts.see(played)
        registry().observe("kgym_rollouts_finished", run=self.folder.path, step=step, groups=played.sampled)
        metrics = (
            group_metrics(played.sampled)
            | env_metrics(played.sampled, played.labels)
            | part_metrics(played.sampled)
            | rollout_metrics(played, self.config.rollout.problems_per_step)
        )
        if metrics["verdict/unscored_frac"] > config.train.max_unscored_frac:
            raise RunError(
                f"step {step}: {metrics['verdict/unscored_frac']:.0%} of the answers are unscored, more than train.max_unscored_frac="
                f"{config.train.max_unscored_frac} ({unscored_reasons(played.sampled)}); the answers are in {self.folder.episodes}"
                + (
                    f"; if too_old are many, raise rollout.max_age={config.rollout.max_age} or lower env.max_tokens"
                    if played.dropped
                    else ""
                )
            )
        with _clock() as train_s:
            metrics |= self._update(played, step, metrics)
        self.schedule.load(step, ModelWeights(self.policy.model))
        self.step = step
        return metrics | {
            "time/rollout_s": rollout_s(),
            "time/train_s": train_s(),
            "speed/tokens_per_s": played.n_tokens / max(played.seconds, 1e-9),
        }

    def _update(self, played: Played, step: int, figures: Mapping[str, float]) -> dict[str, float]:
        config = self.config.train
        batch = pack_groups(
            played.batch,
            device=self.policy.device,
            greedy_rewards=played.greedy_rewards,
            version=self.step,
            old_tokens="correct" if self.config.rollout.corrects_old_tokens else "mask",
        )
        if batch is None:
            self._nothing_to_learn(played, step, figures)
            return {}
        self.empty_steps = 0
        if self.algorithm.plan.reset_optimizer:
            self.optimizer = self._fresh_optimizer()
        lr = self._lr(config.lr, step)
        set_lr(self.optimizer, lr)
        if self.critic is not None:
            set_lr(self.critic.optimizer, self._lr(self.config.critic.lr, step))
        try:
            metrics = batch_metrics(batch, self.step) | update(
                self.policy.model,
                self.optimizer,
                self.algorithm,
                batch,
                temperature=self.rollouts.sampling.temperature,
                microbatch_tokens=config.microbatch_tokens,
                max_grad_norm=config.max_grad_norm,
                rng=random.Random(derive_seed(self.config.seed, "minibatches", step)),  # noqa: S311  (not a secret)
                version=self.step,
                reference=self.reference,
                critic=self.critic,
                pretraining=self._pretraining_term(step),
                progress=lambda done, total: self.reporter.progress("update", done, total),
            )
        except FloatingPointError as error:
            raise RunError(f"step {step}: {error}; {way_on(self.folder.checkpoints, self._smaller_lr)}") from error
        self._check_weights(step)
        return metrics | {"optim/lr": lr}

    @property
    def _smaller_lr(self) -> str:
        """What to start again with when the numbers of a run are not finite."""
        remedies = [f"a smaller train.lr (now {self.config.train.lr:g})"]
        if self.critic is not None:
            remedies.append(f"a smaller critic.lr (now {self.config.critic.lr:g})")
        return " or ".join(remedies)

    def _check_weights(self, step: int) -> None:
        """Raise RunError if an update has left weights that are not finite, before the engine or a checkpoint gets them."""
        root = self.folder.checkpoints
        check_weights(self.policy.model, f"step {step}: the policy", root, self._smaller_lr)
        if self.critic is not None:
            check_weights(self.critic.model.own, f"step {step}: the critic", root, self._smaller_lr)

    def _pretraining_term(self, step: int) -> Callable[[int], dict[str, float]] | None:
        """Return what adds the pre-training term to the optimizer steps of an update; None if there is none."""
        if self.pretraining is None:
            return None
        ptx, plan = self.config.ptx, self.algorithm.plan
        return pretraining_term(
            self.policy,
            self.pretraining,
            coef=ptx.coef,
            batch_size=ptx.batch_size,
            microbatch_tokens=self.config.train.microbatch_tokens,
            first=(step - 1) * plan.inner_steps * plan.minibatches,
        )

    def _lr(self, lr: float, step: int) -> float:
        config = for_run(self.config.train, self.config.train.steps)
        return lr_at(step, lr=lr, warmup_steps=int(config.warmup_steps), steps=config.steps, schedule=config.schedule)

    def _nothing_to_learn(self, played: Played, step: int, figures: Mapping[str, float]) -> None:
        """Let a step pass without an update; end the run when they come one after the other."""
        self.empty_steps += 1
        if self.empty_steps < PATIENCE:
            return
        if self.step and self.step not in checkpoint_steps(self.folder.checkpoints):
            self._save()
        hints = self.diagnosis.see(figures, step)
        remedy = f"; {hints[0].remedy}" if hints else ""
        raise NothingToLearn(
            f"step {step}: nothing to learn from in {PATIENCE} steps on end, so the run ends here; in this one {nothing_to_learn(played)}"
            f"{remedy}. What was learnt before is kept in {self.folder.path}"
        )

    def _validate(self) -> dict[str, float]:
        """Score the policy through the path of training."""
        with self.schedule.engine() as engine:
            return self.validation.run(engine, self.step, self.folder, self.reporter, self.lock.check)

    def _facts(self, *, critic: bool) -> dict[str, Any]:
        """Return what the manifest says of the run in addition to its configuration; see `identity`."""
        envs = {stream.label: stream.setup.facts() for stream in self.rollouts.streams}
        return {
            "specs": {member.title: member.spec.to_json() for member in self.members},
            "env": envs.get("", envs),
            **self.validation.facts(),
            "fingerprints": fingerprints(self.config, critic=critic),
            "versions": versions(),
            "components": component_versions(self.config),
            "checkout": checkout(),
        }

    def _finish_step(self, metrics: Mapping[str, float], trackers: Trackers) -> None:
        self.lock.check()
        self.metrics.append(self.step, metrics)
        trackers.log(self.step, metrics)
        registry().observe("kgym_step_finished", run=self.folder.path, step=self.step, metrics=dict(metrics))
        self.reporter.step(self.step, self.config.train.steps, metrics)
        for hint in self.diagnosis.new(metrics, self.step):
            self.reporter.note(f"step {self.step}: {hint}")

    def _save(self) -> None:
        episodes, rollouts = self.schedule.state()
        state = {
            "step": self.step,
            "optimizer": self.optimizer.state_dict(),
            "rollouts": json.dumps(rollouts),
            "empty_steps": self.empty_steps,
        }
        critic = self.critic
        if critic is not None:
            state["critic_optimizer"] = critic.optimizer.state_dict()

        def save_more(folder: Path) -> None:
            write_episodes(folder / OPEN_EPISODES, episodes)
            if critic is not None:
                critic.model.save(folder / FOLDER)

        folder = save_checkpoint(
            self.folder.checkpoints,
            self.step,
            model=self.policy.model,
            tokenizer=self.policy.tokenizer,
            state=state,
            keep=self.config.train.keep_checkpoints,
            save_more=save_more,
        )
        registry().observe("kgym_checkpoint_saved", run=self.folder.path, step=self.step, folder=folder)

    def _summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = {
            "run": str(self.folder.path),
            "steps": self.step,
            "checkpoint": str(self.folder.checkpoints / f"step-{self.step}"),
        }
        return summary | self.validation.summary(self.folder, self.reporter.note)

    def _forget_after(self, step: int) -> None:
        """Drop what a killed run wrote behind its newest checkpoint; those steps are taken again."""
        if step == 0:  # without a checkpoint even the validation before training is taken again
            self.folder.metrics.unlink(missing_ok=True)
        elif read_metrics(self.folder.metrics):
            self.metrics.cut_after(step)
        evals = self.validation.folders(self.folder)
        refuse_links(*evals)
        remove_leftovers(evals)
        written = [numbered(self.folder.episodes, "step", ".parquet"), *(numbered(folder, "step", ".json") for folder in evals)]
        for number, file in (item for files in written for item in files.items()):
            if number > (step or -1):
                remove(file)

    def _fresh_optimizer(self) -> torch.optim.AdamW:
        return self._optimizer(self.policy.model, self.config.train.lr)

    def _optimizer(self, model: nn.Module, lr: float) -> torch.optim.AdamW:
        config = self.config.train
        return make_optimizer(model, lr=lr, weight_decay=config.weight_decay, betas=config.betas)

    def _make_critic(self, base: str, checkpoint: Path | None) -> Critic:
        config = self.config.critic
        start = base if config.model is None else resolve_model(config.model)
        model = load_value_model(self.policy, shared=config.backbone == "shared", start=start, checkpoint=checkpoint)
        return Critic(model, self._optimizer(model.own, config.lr))

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Compute with so many threads as the configuration asks for: sums depend on it in their last bits."""
        before = torch.get_num_threads()
        if self.config.train.threads:
            torch.set_num_threads(self.config.train.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def _clock() -> Iterator[Callable[[], float]]:
    """Yield a function that gives the seconds the block took, once it has ended."""
    start = time.perf_counter()
    end: list[float] = []
    try:
        yield lambda: (end[0] if end else time.perf_counter()) - start
    finally:
        end.append(time.perf_counter())
