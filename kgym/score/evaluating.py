"""Several benchmarks for one model: each is planned and checked first, then they are played one after the other.

    EvalConfig --plan_all--> [Plan, Plan ...] --load_engine--> engine --play--> results

A plan is a benchmark with its own problems, samples, verifier and folder. Planning writes nothing and loads no model:
whatever is wrong with one of them ends the command before the first is played.
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
from kgym.errors import ConfigError
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
        """Whether an engine has answers to generate."""
        return self.evaluation.n_missing(self.folder) > 0

    def describe(self) -> str:
        """Say what is played, and where the answers are stored."""
        n_problems, samples = len(self.evaluation.indices), self.evaluation.samples
        return f"{self.bench.name}: {n_problems} problems x {samples}, in {self.folder.path}"


class Watch(Protocol):
    """Is told how far a benchmark is."""

    def __call__(self, standing: Standing) -> None:
        """See how far it is."""

    def scored(self, scores: "Series[float]") -> None:
        """See the scores of answers that have been stored."""


class Listener:
    """Hears how an evaluation goes, and says nothing."""

    def chosen(self, engine: str) -> None:
        """`engine=auto` has chosen an engine; the text says which and why."""

    def started(self, plan: Plan, number: int, n_plans: int, too_long: str) -> Watch | None:
        """A benchmark begins, the `number`-th of so many, from 1; return what watches its answers.

        `too_long` says which of its prompts leave no room for an answer, "" for none.
        """

    def finished(self, result: EvalResult, about: Mapping[str, Any]) -> None:
        """A benchmark has its result; `about` is what a board says of it in addition."""


def evaluate(
    config: EvalConfig, *, run: Path | None = None, label: str | None = None, note: str = "", listener: Listener | None = None
) -> dict[str, EvalResult]:
    """Score a model on the benchmarks of a configuration; return the results by benchmark. See `kgym.api.evaluate`."""
    listener = listener or Listener()
    engine_config, choice = chosen_engine(config.engine, config.model, trains=False)
    config = config.model_copy(update={"engine": engine_config})
    if choice:
        listener.chosen(choice)
    plans = plan_all(config, run)
    engine, too_long = load_engine(config, plans)
    results = {}
    for number, plan in enumerate(plans, start=1):
        name = plan.bench.name
        long = describe_long(too_long[name], name) if name in too_long else ""
        begun = partial(listener.started, plan, number, len(plans), long)
        results[name], about = play(plan, engine, label=label, note=note, started=begun)
        listener.finished(results[name], about)
    return results


# --- planning ---------------------------------------------------------------------------------------------------------


def plan_all(asked: EvalConfig, run: Path | None = None) -> list[Plan]:
    """Plan the benchmarks of a configuration, and check that each can be played into its folder.

    `run` is the folder of the only one, or the start of the name of each folder if there are several.

    Raises UnknownName, ConfigError or DataError for the first that cannot be played. Nothing has been written by then.
    """
    names = asked.benches
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--bench {name} is given twice; name each benchmark once")
    if run is not None and len(names) > 1 and run.name in {"", ".."}:
        raise ConfigError(f"--run {run}: the folders of several benchmarks need a name to start with, as in runs/mine")
    plans = [_plan(asked, resolve_bench(name), _named(run, name, len(names))) for name in names]
    places: dict[Path, str] = {}
    for plan in plans:
        if (other := places.setdefault(plan.folder.path, plan.bench.name)) != plan.bench.name:
            raise ConfigError(
                f"--bench {other} and --bench {plan.bench.name} would both be stored in {plan.folder.path}; "
                "give each its own command and --run"
            )
        plan.folder.check(plan.request)
    return plans


def _named(run: Path | None, bench: str, n_benches: int) -> Path | None:
    return run if run is None or n_benches == 1 else run.with_name(f"{run.name}-{bench_slug(bench)}")


def _plan(asked: EvalConfig, bench: BenchmarkInfo, path: Path | None) -> Plan:
    engine = asked.engine.name
    model = engine_model(engine, asked.model)
    engine_options = registry().options("engine", engine, asked.engine.options)
    preset = preset_of(asked.preset) if asked.preset is not None else None
    spec, drawn = _spec(asked, bench, preset)
    if drawn.loop_tokens is not None and is_remote(engine):
        raise ConfigError(f"loop_tokens={drawn.loop_tokens}: engine={engine} does not see tokens while a server samples them; leave it out")
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
        if value is not None and asked.env.get(key, value) != value:
            option = f"--{key.replace('_', '-')} {value}"
            raise ConfigError(f"{option} and env.{key}={asked.env[key]} exclude each other; leave one out")
    env = stated_env(preset) if preset else {}
    env |= {key: value for key, value in budget.items() if value is not None}
    judge = asked.verifier.model_copy(update={"name": verifier})
    spec = EnvSpec.of(bench.env, bench.split, env | asked.env, judge)
    sampling = {key: value for key, value in options.items() if key not in {"verifier", "max_tokens"}}
    return spec, validated(SamplingConfig, sampling)


def folder_name(bench: str, request: Mapping[str, Any]) -> str:
    """Return a name below runs/. The same request has the same one, so that the same command resumes it."""
    plain = [re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-.") for word in ("eval", request["model"], bench)]
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    return f"{'-'.join(map(shortened, plain))}-{digest[:8]}"


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
    """Load the model once for all benchmarks; None if none has missing answers.

    Also returns, by benchmark, the problems whose prompts leave no room for an answer; see `Evaluation.long_prompts`.
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
    """Play what is missing of a benchmark, write its result, and return it with what a board says about it.

    `started` is called once the folder is open, and returns what watches the answers. Without missing answers the
    engine may be None. Raises RunError if another process has the folder or it cannot be written.
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
