"""Several benchmarks for one or more models: all are planned and checked first, then played one after the other.

    [EvalConfig ...] --plan_all--> [Plan, Plan ...] of each --load_engine--> engine --play--> results

A plan is a benchmark with its own problems, samples, verifier and folder. Planning writes nothing and loads no model:
an error in one plan ends the command before the first is played. A later error is passed to the listener, which decides
whether the other benchmarks are still played.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kgym.config import SamplingConfig
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, KgymError
from kgym.eval_config import EvalConfig
from kgym.hookspecs import BenchmarkInfo, PresetInfo
from kgym.options import validated
from kgym.registry import registry
from kgym.rollout.choosing import chosen_engine
from kgym.rollout.engine import engine_fingerprint, engine_model, is_remote, make_engine
from kgym.rollout.prompts import describe_long
from kgym.runs.folder import checkout, machine, versions
from kgym.score.bench import bench_slug, resolve_bench
from kgym.score.harness import Evaluation
from kgym.score.playing import Standing
from kgym.score.presets import preset_of, samples_of, stated_env, stated_options
from kgym.score.results import EvalResult
from kgym.score.store import EvalFolder
from kgym.types import Engine

if TYPE_CHECKING:
    from pandas import Series

RUNS = Path("runs")
NOUN = {"model": "model", "bench": "benchmark"}


@dataclass(frozen=True)
class Plan:
    """One benchmark, ready to be played."""

    bench: BenchmarkInfo
    preset: str | None
    evaluation: Evaluation
    folder: EvalFolder
    request: Mapping[str, Any]
    """What may not change when the folder is resumed."""

    @property
    def missing(self) -> bool:
        """Whether an engine has completions to generate."""
        return self.evaluation.n_missing(self.folder) > 0

    def describe(self) -> str:
        """Return what is played and where the completions are stored, as text."""
        n_problems, samples = len(self.evaluation.indices), self.evaluation.samples
        return f"{self.bench.name}: {n_problems} problems x {samples}, in {self.folder.path}"


class Watch(Protocol):
    """Follows how far a benchmark is."""

    def __call__(self, standing: Standing) -> None:
        """Take how far it is."""

    def scored(self, scores: "Series[float]") -> None:
        """Take the scores of completions that have been stored."""


class Listener:
    """Is called as an evaluation goes on; this one does nothing."""

    def chosen(self, engine: str) -> None:
        """`engine=auto` has chosen an engine; `engine` says which and why."""

    def started(self, plan: Plan, number: int, n_plans: int, too_long: str) -> Watch | None:
        """A benchmark begins, number `number` of `n_plans`, counted from 1; return what watches its completions.

        `too_long` says which of its prompts leave no room for a completion; "" if none does.
        """

    def finished(self, result: EvalResult, about: Mapping[str, Any]) -> None:
        """A benchmark has its result; `about` has what a board shows in addition to the figures."""

    def failed(self, plan: Plan, error: KgymError | OSError) -> None:
        """A benchmark failed. This method raises the error; if an override returns, the other benchmarks are played."""
        raise error


def evaluate(
    config: EvalConfig,
    *,
    run: Path | None = None,
    label: str | None = None,
    note: str = "",
    listener: Listener | None = None,
) -> dict[str, EvalResult]:
    """Score a model on the benchmarks of a configuration; return the results by benchmark. See `kgym.api.evaluate`."""
    return evaluate_many([config], run=run, label=label, note=note, listener=listener)[0]


def evaluate_many(
    configs: Sequence[EvalConfig],
    *,
    run: Path | None = None,
    label: str | None = None,
    note: str = "",
    listener: Listener | None = None,
) -> list[dict[str, EvalResult]]:
    """Score one model after the other, each with its configuration; return the results of each by benchmark.

    `run` is as in `plan_all`. If the listener lets the others continue, a failed benchmark is not among the results.
    """
    listener = listener or Listener()
    chosen = []
    for config in configs:
        engine, choice = chosen_engine(config.engine, config.model, trains=False)
        chosen.append(config.model_copy(update={"engine": engine}))
        if choice:
            listener.chosen(choice)
    plans = plan_all(chosen, run)
    scoring = _Scoring(listener, label, note, n_plans=sum(map(len, plans)))
    return [scoring(config, own) for config, own in zip(chosen, plans, strict=True)]


class _Scoring:
    """Plays the plans of one model after the other."""

    def __init__(self, listener: Listener, label: str | None, note: str, *, n_plans: int) -> None:
        self._listener, self._label, self._note, self._n_plans = listener, label, note, n_plans
        self._n_begun = 0

    def __call__(self, config: EvalConfig, plans: Sequence[Plan]) -> dict[str, EvalResult]:
        """Return the results by benchmark. The model is loaded once, and again after a failure."""
        results: dict[str, EvalResult] = {}
        engine: Engine | None = None
        too_long: dict[str, dict[str, int]] = {}
        refused: KgymError | OSError | None = None
        for plan in plans:
            self._n_begun += 1
            try:
                if plan.missing and engine is None:
                    if refused is not None:  # the model cannot be loaded
                        raise refused
                    try:
                        engine, too_long = load_engine(config, plans)
                    except (KgymError, OSError) as error:
                        refused = error
                        raise
                result, about = self._play(plan, engine, too_long)
            except BrokenPipeError:
                raise
            except (KgymError, OSError) as error:
                engine = None  # its state is unknown after an error
                self._listener.failed(plan, error)
            else:
                results[plan.bench.name] = result
                self._listener.finished(result, about)
        return results

    def _play(
        self, plan: Plan, engine: Engine | None, too_long: Mapping[str, Mapping[str, int]]
    ) -> tuple[EvalResult, dict[str, Any]]:
        name = plan.bench.name
        long = describe_long(too_long[name], name) if name in too_long else ""
        begun = partial(self._listener.started, plan, self._n_begun, self._n_plans, long)
        return play(plan, engine, label=self._label, note=self._note, started=begun)


# --- planning ---------------------------------------------------------------------------------------------------------


def plan_all(asked: Sequence[EvalConfig], run: Path | None = None) -> list[list[Plan]]:
    """Plan the benchmarks of each configuration, and check that each can be played into its folder.

    `run` is the folder of the only one, or the start of the name of each folder if there are several benchmarks or
    models.

    Raises UnknownName, ConfigError or DataError for the first that cannot be played; nothing has been written then.
    """
    models = [config.model for config in asked]
    several = len(models) > 1
    for flag, names in (("model", models), *(("bench", config.benches) for config in asked)):
        if twice := [name for name in names if names.count(name) > 1]:
            raise ConfigError(f"--{flag} {twice[0]} is given twice; name each {NOUN[flag]} once")
    if run is not None and (several or len(asked[0].benches) > 1) and run.name in {"", ".."}:
        raise ConfigError(f"--run {run}: the folders of several benchmarks need a name to start with, as in runs/mine")
    plans = []
    for config in asked:
        benches = config.benches if several or len(config.benches) > 1 else ()
        start = run.with_name(f"{run.name}-{slug(config.model)}") if run is not None and several else run
        plans.append([_plan(config, resolve_bench(name), _named(start, name, benches)) for name in config.benches])
    _check_folders([plan for own in plans for plan in own])
    return plans


def _check_folders(plans: Sequence[Plan]) -> None:
    """Raise ConfigError if two plans have the same folder, or a folder contains something else."""
    places: dict[Path, str] = {}
    for plan in plans:
        what = f"{plan.request['model']} on {plan.bench.name}"
        if (path := plan.folder.path) in places:
            raise ConfigError(
                f"{places[path]} and {what} would both be stored in {path}; give each its own command and --run"
            )
        places[path] = what
        plan.folder.check(plan.request)


def _named(run: Path | None, bench: str, benches: Sequence[str]) -> Path | None:
    return run.with_name(f"{run.name}-{bench_slug(bench)}") if run is not None and benches else run


def _plan(asked: EvalConfig, bench: BenchmarkInfo, path: Path | None) -> Plan:
    engine = asked.engine.name
    model = engine_model(engine, asked.model)
    engine_options = registry().options("engine", engine, asked.engine.options)
    preset = preset_of(asked.preset) if asked.preset is not None else None
    spec, drawn = _spec(asked, bench, preset)
    if drawn.loop_tokens is not None and is_remote(engine):
        raise ConfigError(
            f"loop_tokens={drawn.loop_tokens}: engine={engine} does not see tokens while a server samples them; leave "
            "it out"
        )
    evaluation = Evaluation(
        spec,
        problems=bench.problems if asked.problems is None else asked.problems,
        samples=(preset.samples if preset else bench.samples) if asked.samples is None else asked.samples,
        sampling=drawn.sampling,
        seed=asked.seed,
        slots=asked.slots,
        template=getattr(engine_options, "template", None),
    )
    if preset is not None and asked.samples is None:
        evaluation.samples = samples_of(preset, len(evaluation.indices))
    request = {
        "model": model if Path(asked.model).is_dir() else asked.model,  # a run folder is shown with its checkpoint
        "model_sha256": engine_fingerprint(engine, model),
        "engine": engine,
        "engine_options": engine_options.model_dump(mode="json", exclude=set(type(engine_options).operational)),
        "seed": asked.seed,
    } | evaluation.facts
    folder = EvalFolder(path or RUNS / folder_name(bench.name, request))
    return Plan(bench, asked.preset, evaluation, folder, request)


def _spec(asked: EvalConfig, bench: BenchmarkInfo, preset: PresetInfo | None) -> tuple[EnvSpec, SamplingConfig]:
    """Return the environment of a benchmark and the sampling: explicit options first, then the preset's."""
    options = (stated_options(preset) if preset else {}) | asked.explicit
    verifier = asked.verifier.name or options.get("verifier")
    budget = {"max_tokens": options.get("max_tokens"), "truncated": asked.truncated}
    stated = {"max_tokens": asked.max_tokens, "truncated": asked.truncated}
    for key, value in stated.items():
        if key in asked.model_fields_set and value is not None and asked.env.get(key, value) != value:
            option = f"--{key.replace('_', '-')} {value}"
            raise ConfigError(f"{option} and env.{key}={asked.env[key]} exclude each other; leave one out")
    env = stated_env(preset) if preset else {}
    env |= {key: value for key, value in budget.items() if value is not None}
    judge = asked.verifier.model_copy(update={"name": verifier})
    spec = EnvSpec.of(bench.env, bench.split, env | asked.env, judge)
    sampling = {key: value for key, value in options.items() if key not in {"verifier", "max_tokens"}}
    return spec, validated(SamplingConfig, sampling)


def folder_name(bench: str, request: Mapping[str, Any]) -> str:
    """Return a name below runs/. The same request gets the same name, so that the same command resumes it."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    return f"eval-{slug(request['model'])}-{slug(bench)}-{digest[:8]}"


def slug(name: str) -> str:
    """Return a name as part of a folder's name.

    >>> slug("Qwen/Qwen3-0.6B")
    'Qwen-Qwen3-0.6B'
    """
    return shortened(re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-."))


def shortened(name: str, longest: int = 40) -> str:
    """Cut a long name at a hyphen; its end says more than its beginning.

    >>> shortened("fresh-runs-quickstart-checkpoints-step-12")
    'runs-quickstart-checkpoints-step-12'
    """
    if len(name) <= longest:
        return name
    end = name[-longest:]
    return end.partition("-")[2] or end


# --- playing ----------------------------------------------------------------------------------------------------------


def load_engine(asked: EvalConfig, plans: Sequence[Plan]) -> tuple[Engine | None, dict[str, dict[str, int]]]:
    """Load the model once for all benchmarks; None if no benchmark has missing completions.

    Also returns, by benchmark, the problems whose prompts leave no room for a completion; see
    `Evaluation.long_prompts`.
    """
    missing = [plan for plan in plans if plan.missing]
    if not missing:
        return None, {}
    engine = make_engine(asked.engine.name, asked.engine.options, engine_model(asked.engine.name, asked.model))
    return engine, {plan.bench.name: found for plan in missing if (found := plan.evaluation.long_prompts(engine))}


def play(
    plan: Plan,
    engine: Engine | None,
    *,
    label: str | None = None,
    note: str = "",
    started: Callable[[], Watch | None] | None = None,
) -> tuple[EvalResult, dict[str, Any]]:
    """Play what is missing of a benchmark, write its result, and return it with what a board shows about it.

    `started` is called once the folder is open, and returns what watches the completions. The engine may be None if no
    completion is missing. Raises RunError if another process holds the folder or it cannot be written.
    """
    evaluation, folder, request = plan.evaluation, plan.folder, plan.request
    about = {
        "model": label or request["model"],
        "benchmark": plan.bench.name,
        "engine": request["engine"],
        "kgym_version": versions()["kgym"],
        "seed": request["seed"],
        "run": str(folder.path),
        "note": note,
    }
    with folder.opened(
        request,
        benchmark=plan.bench.name,
        preset=plan.preset,
        spec=evaluation.spec.to_json(),
        samples=evaluation.samples,
        versions=versions(),
        checkout=checkout(),
        machine=machine(),
    ):
        watch = started() if started is not None else None
        result = evaluation.run(engine, store=folder, progress=watch, stored=watch.scored if watch else None)
        about |= {"usage": usage} if (usage := folder.usage()) else {}
        about["date"] = folder.write_result(result, about)
    registry().observe("kgym_eval_finished", run=folder.path, step=0, results=result.to_json())
    return result, about
