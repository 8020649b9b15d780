"""Reinforcement learning: collect groups, shape rewards, update the policy, hand its weights to the engine.

A step is one collect-and-update; an inner step is one optimizer step inside it.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from kgym.blame import blaming
from kgym.config import AUTO, EngineConfig, RunConfig
from kgym.envs.mixture import members
from kgym.errors import NothingToLearn, RunError
from kgym.folders import numbered, refuse_links, remove, remove_leftovers
from kgym.models.load import check_same_tokens
from kgym.models.names import resolve_model
from kgym.models.placement import DTYPES
from kgym.options import for_run
from kgym.registry import registry
from kgym.rollout.choosing import chosen_engine
from kgym.rollout.engine import adapter_rank, check_engine, make_engine
from kgym.rollout.groups import Played
from kgym.rollout.schedule import Ahead, InTurn, Schedule
from kgym.rollout.worker import ProcessEngine
from kgym.runs.episodes import write_episodes
from kgym.runs.folder import RunFolder, checkout, versions
from kgym.seeding import derive_seed
from kgym.train.checkpoint import OPEN_EPISODES, check_weights, open_episodes, refuse_older, way_on
from kgym.train.components import component_versions
from kgym.train.loop import Run
from kgym.train.optim import lr_at, set_lr
from kgym.train.plan import Plan
from kgym.train.policy import TrainedPolicy
from kgym.train.profiling import phase, reassign
from kgym.train.report import Reporter
from kgym.train.rl.audit import Audit, audit_metrics, by_episode
from kgym.train.rl.batch import pack_groups
from kgym.train.rl.canary import Keeper
from kgym.train.rl.components import chosen, with_defaults
from kgym.train.rl.critic import FOLDER, Critic, load_value_model
from kgym.train.rl.diagnosis import Diagnosis
from kgym.train.rl.fingerprints import fingerprints
from kgym.train.rl.guards import check_engine_gap, check_unscored
from kgym.train.rl.held_out import check_held_out
from kgym.train.rl.long_prompts import LongPrompts
from kgym.train.rl.plan import plan_of
from kgym.train.rl.ptx import pretraining_examples, pretraining_term
from kgym.train.rl.recipe import with_recipe
from kgym.train.rl.stages import check_stages, late_stages, stage_metrics
from kgym.train.rl.statistics import (
    batch_metrics,
    env_metrics,
    group_metrics,
    nothing_to_learn,
    part_metrics,
    rollout_metrics,
)
from kgym.train.rl.streams import check_schedule, make_rollouts
from kgym.train.rl.update import update
from kgym.train.rl.validation import Validation
from kgym.train.sharding import anyones_broken_weight, load_whole_state, whole_state
from kgym.train.warmups import create_for_run, unended
from kgym.types import Algorithm, Engine, TemplateOptions, Weights
from kgym.world import join

PATIENCE = 3
"""Consecutive steps without anything to learn from, after which a run ends."""


def reinforcement(
    config: RunConfig, folder: RunFolder, reporter: Reporter | None = None, *, profile: bool = False
) -> Run:
    """Return the run of a configuration in a folder: `reinforcement(config, folder).run()` trains. `profile` as in
    `Run`.
    """
    reporter = reporter or Reporter()
    return Run(Reinforcement(config, folder, reporter), folder, reporter, profile=profile)


class Reinforcement:
    """The `Objective` of `kgym train`."""

    def __init__(self, config: RunConfig, folder: RunFolder, reporter: Reporter) -> None:
        self.config = config
        self.folder = folder
        self.world = join()
        self.reporter = reporter if self.world.first else Reporter()
        self.engine: Engine | None = None
        self.engine_choice = ""
        """Why `engine=auto` has chosen the engine."""
        self.schedule: Schedule | None = None

    def prepare(self) -> Mapping[str, Any]:
        """See `Objective`."""
        config = self.config = with_defaults(self._with_engine(with_recipe(self.config)))
        engine_options = registry().options("engine", config.engine.name, config.engine.options)
        self.template: Mapping[str, Any] | None = (
            engine_options.template if isinstance(engine_options, TemplateOptions) else None
        )
        self.algorithm: Algorithm = create_for_run(
            "algorithm", config.algo.name, config.algo.options, config.train.steps
        )
        with blaming("algorithm", self.algorithm):
            plan = self.algorithm.plan
        check_schedule(config, self.world.size)
        self.members = members(config)
        apart = config.rollout.schedule == "ahead"  # rollouts are played in a thread, while this one trains
        self.rollouts = make_rollouts(config, self.members, plan, self.world.channel() if apart else self.world)
        self.audit = Audit(self.members, self.rollouts.streams, self.world)
        self.validation = Validation(config, self.members, template=self.template)
        scored = {name: evaluation.source for name, evaluation in self.validation.benches.items()}
        trained = {stream.label: stream.setup.source for stream in self.rollouts.streams}
        check_held_out(config, self.members, trained, self.validation.sources, scored)
        check_engine(config.engine.name, config.engine.options, resolve_model(config.model))
        check_stages(config, self.rollouts.streams, self.template)
        if plan.reference is not None:
            check_same_tokens(resolve_model(config.model), resolve_model(plan.reference))
        self.pretraining = pretraining_examples(config)
        if self.folder.manifest.exists():
            refuse_older(self.folder.checkpoints)
        return self._facts()

    def _with_engine(self, config: RunConfig) -> RunConfig:
        """Return a configuration with an engine instead of `auto`: the same on all ranks, and after a resumption."""
        if config.engine.name != AUTO:
            return config
        apart = config.rollout.schedule == "ahead"
        first = self.world.first
        choice = chosen_engine(config.engine, config.model, trains=True, own_process=apart) if first else None
        engine, self.engine_choice = cast(tuple[EngineConfig, str], self.world.broadcast(choice))
        return config.model_copy(update={"engine": engine})

    def _facts(self) -> dict[str, Any]:
        """Return the facts of the run in its manifest, in addition to its configuration; see `identity`."""
        envs = {stream.label: stream.setup.facts() for stream in self.rollouts.streams}
        return {
            "specs": {member.title: member.spec.to_json() for member in self.members},
            "env": envs.get("", envs),
            **self.validation.facts(),
            "fingerprints": fingerprints(self.config, self.algorithm.plan),
            "versions": versions(),
            "components": component_versions(chosen(self.config)),
            "checkout": checkout(),
        }

    def plan(self) -> Plan:
        """See `Objective`."""
        return plan_of(self.config, self.rollouts.streams, self.algorithm.plan, self.template)

    # --- models and state ---

    def load(self, folder: str, checkpoint: Path | None) -> TrainedPolicy:
        """See `Objective`."""
        config, plan = self.config, self.algorithm.plan
        self.policy = TrainedPolicy.load(folder, config.train, checkpoint=checkpoint, seed=config.seed)
        if plan.needs_reference:
            self.policy.keep_reference(
                resolve_model(plan.reference) if plan.reference else folder, start=plan.reference is None
            )
        self.engine = self._make_engine(folder)
        self.schedule = self._make_schedule(self.engine)
        self.long_prompts = LongPrompts(self.members, self.reporter.note)
        self.long_prompts.check(self.engine, self.rollouts.streams, self.validation, config.rollout.step_tokens)
        self.keeper = Keeper(self.policy, config.rollout.temperature, config.rollout.max_canary_gap_nats)
        self.critic = self._make_critic(folder, checkpoint) if plan.needs_values else None
        self.empty_steps = 0
        self.diagnosis = Diagnosis(max_grad_norm=config.train.max_grad_norm)
        return self.policy

    def _make_engine(self, folder: str) -> Engine:
        """Load the engine, in its own process if the batches of later steps are sampled while one is trained on."""
        config = self.config.engine
        if self.config.rollout.schedule == "ahead":
            return ProcessEngine(config.name, config.options, folder)
        return make_engine(config.name, config.options, folder)

    def _make_schedule(self, engine: Engine) -> Schedule:
        rollout = self.config.rollout
        if rollout.schedule == "ahead":
            return Ahead(self.rollouts, engine, max_lag=rollout.max_lag, steps=self.config.train.steps)
        return InTurn(self.rollouts, engine, sleeps=rollout.sleep)

    def _make_critic(self, folder: str, checkpoint: Path | None) -> Critic:
        config = self.config.critic
        start = folder if config.model is None else resolve_model(config.model)
        model = load_value_model(
            self.policy.bare,
            shared=config.backbone == "shared",
            start=start,
            checkpoint=checkpoint,
            dtype=DTYPES[self.config.train.master_dtype],
            layout=self.config.train.layout,
            checkpointing=self.policy.checkpointing,
        )
        self.policy.cut(model.own)
        return Critic(model, self.policy.optimizer_of(model.own, config.lr))

    def load_state_dict(self, state: Mapping[str, Any], checkpoint: Path) -> None:
        """See `Objective`."""
        assert self.schedule is not None
        if self.critic is not None:
            load_whole_state(self.critic.optimizer, state["critic_optimizer"])
        self.schedule.restore(open_episodes(checkpoint), json.loads(state["rollouts"]))
        self.empty_steps = state["empty_steps"]

    def state_dict(self) -> dict[str, Any]:
        """See `Objective`."""
        assert self.schedule is not None
        self.open, rollouts = self.schedule.state()
        critic = {} if self.critic is None else {"critic_optimizer": whole_state(self.critic.optimizer)}
        return {"rollouts": json.dumps(rollouts), "empty_steps": self.empty_steps, **critic}

    def save(self, folder: Path) -> None:
        """See `Objective`."""
        if self.world.first:
            write_episodes(folder / OPEN_EPISODES, self.open)
        if self.critic is not None:
            self.critic.model.save(folder / FOLDER)

    def ready(self, step: int, check: Callable[[], None]) -> None:
        """See `Objective`."""
        assert self.schedule is not None
        assert self.engine is not None
        self.check = check
        weights = self._weights()
        self.keeper.begin(self.engine, self.rollouts.streams, step, weights)
        self.schedule.load(self.keeper.handover(step, weights))

    def _weights(self) -> Weights:
        """Return the weights in the form that the engine takes."""
        engine = self.config.engine
        return self.policy.weights(adapters=adapter_rank(engine.name, engine.options) != 0)

    def close(self) -> None:
        """See `Objective`."""
        if self.schedule is not None:
            self.schedule.close()
        if isinstance(self.engine, ProcessEngine):
            self.engine.close()

    # --- a step ---

    def step(self, step: int) -> dict[str, float]:
        """See `Objective`."""
        config = self.config
        assert self.schedule is not None
        with _clock() as rollout_s, phase("generate"):
            played = self.schedule.play(step, lambda done, total: self.reporter.progress("rollout", done, total))
        if (
            self.config.rollout.schedule != "ahead"
        ):  # the verdicts arrived while the policy was trained on the step before
            reassign("generate", "judge", played.wait_s)
        self.check()
        with phase("judge"):
            audited = self.audit.judge(played)
        if self.world.first:
            file = self.folder.episodes / f"step-{step:05d}.parquet"
            audits = by_episode(audited) if audited else None
            write_episodes(file, played.sampled, envs=played.labels, step=step, begun=played.begun, audits=audits)
            registry().observe("kgym_rollouts_finished", run=self.folder.path, step=step, groups=played.sampled)
        self.reporter.sampled(step, played.sampled)
        self.long_prompts.see(played)
        metrics = (
            group_metrics(played.sampled)
            | env_metrics(played.sampled, played.labels)
            | part_metrics(played.sampled)
            | rollout_metrics(played, config.rollout.problems_per_step)
            | played.choice
            | audit_metrics(audited)
            | stage_metrics(config, step)
        )
        check_unscored(config, played, metrics, step=step, episodes=self.folder.episodes)
        self.schedule.rest()
        with _clock() as train_s:
            metrics |= self._update(played, step, metrics)
        with phase("sync"):
            self.schedule.load(self.keeper.handover(step, self._weights()))
        return metrics | {
            "time/rollout_s": rollout_s(),
            "time/train_s": train_s(),
            "speed/tokens_per_s": played.n_tokens / max(played.seconds, 1e-9),
        }

    def _update(self, played: Played, step: int, figures: Mapping[str, float]) -> dict[str, float]:
        config, version = self.config.train, step - 1
        with phase("pack"):
            batch = pack_groups(
                played.batch,
                device=self.policy.device,
                greedy_rewards=played.greedy_rewards,
                version=version,
                old_tokens="correct" if self.config.rollout.corrects_old_tokens else "mask",
            )
        if batch is None:
            self._nothing_to_learn(played, step, figures)
            return {}
        self.empty_steps = 0
        if self.algorithm.plan.reset_optimizer:
            self.policy.reset_optimizer()
        lr = self._lr(config.lr, step)
        self.policy.set_lr(lr)
        if self.critic is not None:
            set_lr(self.critic.optimizer, self._lr(self.config.critic.lr, step))
        try:
            metrics = batch_metrics(batch, version) | update(
                self.policy,
                self.algorithm,
                batch,
                temperature=self.rollouts.sampling.temperature,
                max_grad_norm=config.max_grad_norm,
                rng=random.Random(derive_seed(self.config.seed, "minibatches", step)),  # noqa: S311  (not a secret)
                version=version,
                critic=self.critic,
                pretraining=self._pretraining_term(step),
                check=lambda figures: check_engine_gap(self.config, figures, step=step, episodes=self.folder.episodes),
                progress=lambda done, total: self.reporter.progress("update", done, total),
            )
        except FloatingPointError as error:
            raise RunError(f"step {step}: {error}; {way_on(self.folder.checkpoints, self._smaller_lr)}") from error
        self._check_weights(step)
        return metrics | {"optim/lr": lr}

    @property
    def _smaller_lr(self) -> str:
        """Return the settings to start again with when the numbers of a run are not finite."""
        remedies = [f"a smaller train.lr (now {self.config.train.lr:g})"]
        if self.critic is not None:
            remedies.append(f"a smaller critic.lr (now {self.config.critic.lr:g})")
        return " or ".join(remedies)

    def _check_weights(self, step: int) -> None:
        """Raise RunError if an update has left weights that are not finite, before the engine or a checkpoint gets
        them.
        """
        root = self.folder.checkpoints
        check_weights(self.policy.broken_weight(), f"step {step}: the policy", root, self._smaller_lr)
        if self.critic is not None:
            check_weights(
                anyones_broken_weight(self.critic.model.own), f"step {step}: the critic", root, self._smaller_lr
            )

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
            first=(step - 1) * plan.inner_steps * plan.minibatches,
        )

    def _lr(self, lr: float, step: int) -> float:
        config = for_run(self.config.train, self.config.train.steps)
        return lr_at(
            step,
            lr=lr,
            warmup_steps=int(config.warmup_steps),
            steps=config.steps,
            schedule=config.schedule,
            decay_frac=config.decay_frac,
        )

    def _nothing_to_learn(self, played: Played, step: int, figures: Mapping[str, float]) -> None:
        """Let a step pass without an update; raise NothingToLearn after several in a row."""
        self.empty_steps += 1
        if self.empty_steps < PATIENCE:
            return
        hints = self.diagnosis.see(figures, step)
        remedy = f"; {hints[0].remedy}" if hints else ""
        raise NothingToLearn(
            f"step {step}: nothing to learn from in {PATIENCE} consecutive steps, so the run ends here; in this one "
            f"{nothing_to_learn(played)}{remedy}. What the policy learned before is kept in {self.folder.path}"
        )

    # --- what is reported ---

    def validate(self, step: int) -> dict[str, float]:
        """See `Objective`: score the policy through the path of training."""
        every, last = self.config.eval.every, self.config.train.steps
        if not every or (step % every and step != last):
            return {}
        assert self.schedule is not None
        with self.schedule.engine() as engine:
            return self.validation.run(engine, step, self.folder, self.reporter, self.check, world=self.world)

    def started(self) -> Mapping[str, Any]:
        """See `Objective`."""
        envs = {stream.label: stream.setup.facts() for stream in self.rollouts.streams}
        validation = {label: evaluation.facts for label, evaluation in self.validation.own.items()}
        stages = str(self.config.stages) if self.config.rollout.max_tokens else ""
        own = {"envs": envs, "validation": validation, "audits": self.audit.names, "stages": stages}
        return own | {"engine_choice": self.engine_choice}

    def notes(self) -> list[str]:
        """See `Objective`."""
        return [*unended(self.config), *late_stages(self.config)]

    def hints(self, metrics: Mapping[str, float], step: int) -> list[str]:
        """See `Objective`."""
        return [str(hint) for hint in self.diagnosis.new(metrics, step)]

    def summary(self) -> Mapping[str, Any]:
        """See `Objective`."""
        return self.validation.summary(self.folder, self.reporter.note)

    def forget_after(self, step: int) -> None:
        """See `Objective`."""
        evals = self.validation.folders(self.folder)
        refuse_links(*evals)
        remove_leftovers(evals)
        written = [
            numbered(self.folder.episodes, "step", ".parquet"),
            *(numbered(folder, "step", ".json") for folder in evals),
        ]
        for number, file in (item for files in written for item in files.items()):
            if number > (step or -1):
                remove(file)


@contextmanager
def _clock() -> Iterator[Callable[[], float]]:
    """Yield a function that gives the seconds the block took, once it has ended."""
    start = time.perf_counter()
    end: list[float] = []
    try:
        yield lambda: (end[0] if end else time.perf_counter()) - start
    finally:
        end.append(time.perf_counter())
