"""The training loop: collect groups, shape rewards, update the policy, hand its weights to the engine, and write everything down.

A step is one collect-and-update; an inner step is one optimizer step inside it. A checkpoint holds everything that the next step
needs, so a run that was killed goes on from its newest checkpoint and ends in the same numbers as one that was not.
"""

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from kgym.config import RunConfig
from kgym.envs.build import make_vector
from kgym.errors import ConfigError, RunError
from kgym.files import write_atomic
from kgym.registry import registry
from kgym.rollout.collector import collect
from kgym.rollout.models import make_engine, resolve_model
from kgym.rollout.records import write_episodes
from kgym.score.bench import bench_slug, resolve_bench
from kgym.score.harness import EvalResult, Evaluation, evaluate
from kgym.seeding import derive_seed
from kgym.train.checkpoint import checkpoint_steps, load_state, save_checkpoint
from kgym.train.metrics import MetricsFile, read_metrics
from kgym.train.modeling import load_policy
from kgym.train.optim import lr_at, make_optimizer, set_lr
from kgym.train.report import Reporter
from kgym.train.runfolder import RunFolder
from kgym.train.statistics import group_metrics, improvement
from kgym.train.update import pack_groups, update
from kgym.types import Algorithm, Engine, Group, Sampler, Sampling, Shaper, Tracker


class Trainer:
    """Trains a policy as a `RunConfig` says, in a `RunFolder`."""

    def __init__(self, config: RunConfig, folder: RunFolder, reporter: Reporter | None = None) -> None:
        self.config = config
        self.folder = folder
        self.reporter = reporter or Reporter()
        self.metrics = MetricsFile(folder.metrics)

    def run(self) -> dict[str, Any]:
        """Train to the last step, from the newest checkpoint if there is one, and return the summary.

        Raises ConfigError or DataError before anything is written if the configuration cannot work, RunError if the run cannot go on.
        """
        with self._threads():
            self._build()
            with self.folder.opened():
                try:
                    return self._run()
                except BaseException as error:
                    registry().observe("kgym_exception", run=self.folder.path, error=error)
                    raise

    def _build(self) -> None:
        """Make every component once, so that a wrong option is refused before the first file is written."""
        config, rollout = self.config, self.config.rollout
        if rollout.group_size < 2:
            raise ConfigError(
                f"rollout.group_size={rollout.group_size}: attempts are compared within a group, so 1 gives no gradient; use 2 or more"
            )
        registry().options("engine", config.engine.name, config.engine.options)  # refused before a model is loaded, which takes a while
        self.algorithm: Algorithm = registry().create("algorithm", config.algo.name, config.algo.options)
        self.shapers: list[Shaper] = [registry().create("shaper", name, options) for name, options in config.shapers.items()]
        self.env = make_vector(
            config.env.name,
            split=config.env.split,
            num_envs=rollout.problems_per_step * rollout.group_size,
            group_size=rollout.group_size,
            max_tokens=rollout.max_tokens,
            truncated=rollout.truncated,
            verifier=config.verifier,
            **config.env.options,
        )
        self.sampler: Sampler = registry().create(
            "sampler", config.sampler.name, config.sampler.options, self.env.source, derive_seed(config.seed, "sampler")
        )
        self.sampling = Sampling(temperature=rollout.temperature, top_p=rollout.top_p, top_k=rollout.top_k)
        self.benches = {bench_slug(name): self._bench(name) for name in config.train.benches}
        base = resolve_model(config.model)
        steps = checkpoint_steps(self.folder.checkpoints)
        self.step = steps[-1] if steps else 0
        start = self.folder.checkpoints / f"step-{self.step}" if steps else base
        self.policy = load_policy(str(start), dtype=config.train.dtype, device=config.train.device)
        self.reference = (
            load_policy(base, dtype=config.train.dtype, device=config.train.device).model.requires_grad_(False)
            if self.algorithm.plan.needs_reference
            else None
        )
        self.engine: Engine = make_engine(config.engine.name, config.engine.options, base)
        self.optimizer = self._fresh_optimizer()
        if steps:
            state = load_state(start)  # type: ignore[arg-type]  # a Path: there are checkpoints
            self.optimizer.load_state_dict(state["optimizer"])
            self.sampler.load_state_dict(json.loads(state["sampler"]))
            self.engine.update_weights(self.step, self.policy.model)

    def _run(self) -> dict[str, Any]:
        config = self.config.train
        self._forget_after(self.step)
        if not self.folder.manifest.exists():
            self.folder.write_manifest(self.config.model_dump(mode="json"), seed=self.config.seed, env=self.env.spec_facts())
        registry().observe("kgym_run_started", run=self.folder.path, config=self.config.model_dump(mode="json"))
        trackers: list[Tracker] = [
            registry().create("tracker", name, options, self.folder.path) for name, options in self.config.trackers.items()
        ]
        self.reporter.started({"run": str(self.folder.path), "step": self.step, "env": self.env.spec_facts()})
        if self.step == 0 and config.eval_every:
            self._finish_step(self._validate(), trackers)
        while self.step < config.steps:
            metrics = self._train_step()
            if config.eval_every and (self.step % config.eval_every == 0 or self.step == config.steps):
                metrics |= self._validate()
            self._finish_step(metrics, trackers)
            if self.step == config.steps or (config.save_every and self.step % config.save_every == 0):
                self._save()
        for tracker in trackers:
            tracker.close()
        summary = self._summary()
        write_atomic(self.folder.summary, json.dumps(summary, indent=2) + "\n")
        registry().observe("kgym_run_finished", run=self.folder.path, summary=summary)
        self.reporter.finished(summary)
        return summary

    def _train_step(self) -> dict[str, float]:
        config = self.config
        step = self.step + 1
        with _clock() as rollout_s:
            groups = collect(
                self.env,
                self.engine,
                self.sampler.next(config.rollout.problems_per_step),
                sampling=self.sampling,
                seed_parts=(config.seed, "train", step),
                segment_tokens=config.rollout.segment_tokens,
                progress=lambda done, total, _: self.reporter.progress("rollout", done, total),
            )
        self._shape(groups, step)
        metrics = group_metrics(groups)
        if metrics["verdict/unscored_frac"] > config.train.max_unscored_frac:
            raise RunError(
                f"step {step}: {metrics['verdict/unscored_frac']:.0%} of the answers are unscored, more than train.max_unscored_frac="
                f"{config.train.max_unscored_frac}; see the reasons in {self.folder.episodes}"
            )
        with _clock() as train_s:
            metrics |= self._update(groups, step)
        self.engine.update_weights(step, self.policy.model)
        n_tokens = sum(episode.n_tokens for group in groups for episode in group.episodes)
        self.step = step
        return metrics | {
            "time/rollout_s": rollout_s(),
            "time/train_s": train_s(),
            "speed/tokens_per_s": n_tokens / max(rollout_s(), 1e-9),
        }

    def _shape(self, groups: Sequence[Group], step: int) -> None:
        """Shape the rewards, teach the sampler, store the episodes and show them to observers."""
        for group in groups:
            for shaper in self.shapers:
                group.rewards = list(shaper(group, group.rewards, step))
        for index, group in zip(self.env.indices, groups, strict=True):
            self.sampler.update(index, [episode.verdict for episode in group.episodes if episode.verdict is not None])
        write_episodes(self.folder.episodes / f"step-{step:05d}.parquet", groups)
        registry().observe("kgym_rollouts_finished", run=self.folder.path, step=step, groups=groups)

    def _update(self, groups: Sequence[Group], step: int) -> dict[str, float]:
        config = self.config.train
        batch = pack_groups(groups, device=self.policy.device)
        if batch is None:
            return {}
        if self.algorithm.plan.reset_optimizer:
            self.optimizer = self._fresh_optimizer()
        lr = lr_at(step, lr=config.lr, warmup_steps=config.warmup_steps, steps=config.steps, schedule=config.schedule)
        set_lr(self.optimizer, lr)
        try:
            metrics = update(
                self.policy.model,
                self.optimizer,
                self.algorithm,
                batch,
                temperature=self.sampling.temperature,
                microbatch_tokens=config.microbatch_tokens,
                max_grad_norm=config.max_grad_norm,
                rng=random.Random(derive_seed(self.config.seed, "minibatches", step)),  # noqa: S311  (not a secret)
                reference=self.reference,
                progress=lambda done, total: self.reporter.progress("update", done, total),
            )
        except FloatingPointError as error:
            raise RunError(
                f"step {step}: {error}; go on from the last checkpoint with --resume, or start again with a smaller train.lr"
            ) from error
        return metrics | {"optim/lr": lr}

    def _validate(self) -> dict[str, float]:
        """Score the policy on the validation split through the path of training, and keep the results for paired comparison."""
        config = self.config
        with _clock() as eval_s:
            result = evaluate(
                self.engine,
                config.env.name,
                split=config.train.eval_split,
                env_options=config.env.options,
                problems=config.train.eval_problems,
                samples=config.train.eval_samples,
                sampling=self.sampling,
                max_tokens=config.rollout.max_tokens,
                truncated=config.rollout.truncated,
                verifier=config.verifier,
                seed=config.seed,
                progress=lambda done, total: self.reporter.progress("validation", done, total),
            )
        figures = self._keep(result, self.folder.evals, "eval")
        with _clock() as bench_s:
            for name, evaluation in self.benches.items():
                result = evaluation.run(self.engine, progress=lambda done, total: self.reporter.progress("benchmark", done, total))
                figures |= self._keep(result, self.folder.evals / name, f"bench/{name}")
        return figures | {"time/eval_s": eval_s()} | ({"time/bench_s": bench_s()} if self.benches else {})

    def _keep(self, result: EvalResult, folder: Path, group: str) -> dict[str, float]:
        """Write a result, show it to observers and return its figures."""
        folder.mkdir(exist_ok=True)
        write_atomic(folder / f"step-{self.step:05d}.json", json.dumps(result.to_json()) + "\n")
        registry().observe("kgym_eval_finished", run=self.folder.path, step=self.step, results=result.to_json())
        return {
            f"{group}/accuracy": result.accuracy,
            f"{group}/stderr": result.stderr,
            f"{group}/tokens_mean": result.tokens_mean,
            f"{group}/truncated_frac": result.truncated_frac,
            f"{group}/unscored_frac": result.unscored_frac,
        }

    def _bench(self, name: str) -> Evaluation:
        """Return a benchmark as `kgym eval` asks it, with the sampling of training; the policy is put to it at every validation."""
        bench, rollout = resolve_bench(name), self.config.rollout
        return Evaluation(
            bench.env,
            split=bench.split,
            env_options=self.config.env.options if bench.env == self.config.env.name else None,
            problems=bench.problems,
            samples=bench.samples,
            sampling=self.sampling,
            max_tokens=rollout.max_tokens,
            truncated=rollout.truncated,
            verifier=self.config.verifier if bench.env == self.config.env.name else None,
            seed=self.config.seed,
        )

    def _finish_step(self, metrics: Mapping[str, float], trackers: Sequence[Tracker]) -> None:
        self.metrics.append(self.step, metrics)
        for tracker in trackers:
            tracker.log(self.step, metrics)
        registry().observe("kgym_step_finished", run=self.folder.path, step=self.step, metrics=dict(metrics))
        self.reporter.step(self.step, self.config.train.steps, metrics)

    def _save(self) -> None:
        folder = save_checkpoint(
            self.folder.checkpoints,
            self.step,
            model=self.policy.model,
            tokenizer=self.policy.tokenizer,
            state={"step": self.step, "optimizer": self.optimizer.state_dict(), "sampler": json.dumps(self.sampler.state_dict())},
            keep=self.config.train.keep_checkpoints,
        )
        registry().observe("kgym_checkpoint_saved", run=self.folder.path, step=self.step, folder=folder)

    def _summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = {
            "run": str(self.folder.path),
            "steps": self.step,
            "checkpoint": str(self.folder.checkpoints / f"step-{self.step}"),
        }
        results = sorted(self.folder.evals.glob("step-*.json"))
        if len(results) >= 2:
            first, last = (EvalResult.from_json(json.loads(path.read_text())) for path in (results[0], results[-1]))
            summary |= improvement(first, last, seed=self.config.seed)
        return summary

    def _forget_after(self, step: int) -> None:
        """Drop what a killed run wrote behind its newest checkpoint; those steps are taken again."""
        if step == 0:  # without a checkpoint even the validation before training is taken again
            self.folder.metrics.unlink(missing_ok=True)
        elif read_metrics(self.folder.metrics):
            self.metrics.cut_after(step)
        for folder in (self.folder.episodes, self.folder.evals):
            for file in folder.rglob("step-*"):  # benchmarks have folders of their own
                if int(file.stem.removeprefix("step-")) > (step or -1):
                    file.unlink()
        for leftover in self.folder.checkpoints.glob(".step-*"):
            shutil.rmtree(leftover)

    def _fresh_optimizer(self) -> torch.optim.AdamW:
        config = self.config.train
        return make_optimizer(self.policy.model, lr=config.lr, weight_decay=config.weight_decay, betas=config.betas)

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
