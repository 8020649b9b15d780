"""What a policy is scored on while it is trained: the validation split of its environment, and benchmarks.

A validation walks the path of training, and its results are kept for paired comparison: eval/step-N.json, eval/BENCH/step-N.json.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kgym.config import RunConfig
from kgym.envs.spec import EnvSpec
from kgym.errors import NotComparable
from kgym.files import reading, write_atomic
from kgym.folders import numbered, own_folders
from kgym.registry import registry
from kgym.runs.folder import RunFolder
from kgym.score.bench import bench_slug, resolve_bench
from kgym.score.harness import EvalResult, Evaluation
from kgym.train.report import Reporter
from kgym.train.statistics import improvement
from kgym.types import Engine, ProblemSource, Sampling


class Validation:
    """The evaluations of a run, ready to be put to its engine at any step."""

    def __init__(self, config: RunConfig, *, sampling: Sampling, template: Mapping[str, Any] | None) -> None:
        """Build the environments; without `train.eval_every` only those of the benchmarks. Raises what `Evaluation` raises."""
        self._config, self._sampling, self._template = config, sampling, template
        self._spec = EnvSpec.of_config(config.env, config.verifier)
        self.own = self._own() if config.train.eval_every else None
        """Of the validation split."""
        self.benches = {bench_slug(name): self._bench(name) for name in config.train.benches}

    def _own(self) -> Evaluation:
        """Return the evaluation of the validation split: as many problems as the configuration says, or as there are."""
        train = self._config.train
        spec = self._spec.for_score(train.eval_split)
        size = spec.setup().source.size
        n_problems = train.eval_problems if size is None else min(train.eval_problems, size)
        return self._evaluation(spec, n_problems, train.eval_samples)

    def _bench(self, name: str) -> Evaluation:
        """Return a benchmark as `kgym eval` asks it, with the sampling and the token budget of training."""
        bench = resolve_bench(name)
        spec = self._spec.for_score(bench.split)
        if bench.env != spec.name:
            kept = {key: spec.settings[key] for key in ("max_tokens", "truncated") if key in spec.settings}
            spec = EnvSpec.of(bench.env, bench.split, kept, self._config.verifier.model_copy(update={"name": None, "options": {}}))
        return self._evaluation(spec, bench.problems, bench.samples)

    def _evaluation(self, spec: EnvSpec, problems: int, samples: int) -> Evaluation:
        seed = self._config.seed
        return Evaluation(spec, problems=problems, samples=samples, sampling=self._sampling, seed=seed, template=self._template)

    @property
    def source(self) -> ProblemSource | None:
        """The problems of the validation split; None in a run without validations."""
        return None if self.own is None else self.own.source

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of the validation and the benchmarks."""
        own = {} if self.own is None else self.own.env_facts | {"n_problems": len(self.own.indices)}
        return {"validation": own, "benches": {name: evaluation.facts for name, evaluation in self.benches.items()}}

    def long_prompts(self, engine: Engine) -> dict[str, dict[str, int]]:
        """Return the problems whose prompts leave no room for an answer, by what they belong to; see `check_prompts`."""
        own = {} if self.own is None else {f"{self.own.spec.name}:{self.own.spec.split}": self.own}
        return {where: evaluation.long_prompts(engine) for where, evaluation in {**own, **self.benches}.items()}

    def run(self, engine: Engine, step: int, folder: RunFolder, reporter: Reporter, check: Callable[[], None]) -> dict[str, float]:
        """Score the policy that the engine has, write the results and return their figures. `check` is called before each is written."""
        figures: dict[str, float] = {}
        for kind, clock, evaluations in (
            ("validation", "time/eval_s", {} if self.own is None else {"": self.own}),
            ("benchmark", "time/bench_s", self.benches),
        ):
            start = time.perf_counter()
            for name, evaluation in evaluations.items():
                result = evaluation.run(engine, progress=lambda done, total, kind=kind: reporter.progress(kind, done, total))  # type: ignore[misc]
                check()
                _keep(result, folder.evals / name, step)
                registry().observe("kgym_eval_finished", run=folder.path, step=step, results=result.to_json())
                figures |= _figures(result, f"bench/{name}" if name else "eval")
            if evaluations:
                figures[clock] = time.perf_counter() - start
        return figures

    def folders(self, folder: RunFolder) -> list[Path]:
        """Return where the results of a run lie."""
        return [folder.evals, *(folder.evals / name for name in self.benches)]

    def summary(self, folder: RunFolder, note: Callable[[str], None]) -> dict[str, Any]:
        """Compare the first and the last validation of a run; {} if there are not two, or if they did not ask the same."""
        results = list(numbered(folder.evals, "step", ".json").values())
        if len(results) < 2:
            return {}
        first, last = map(_read, (results[0], results[-1]))
        try:
            return improvement(first, last, seed=self._config.seed)
        except NotComparable as error:  # of a run that an older version has resumed; what was learnt is kept
            note(f"{results[0].stem} and {results[-1].stem} in {folder.evals} are not compared: {error}")
            return {}


def _keep(result: EvalResult, folder: Path, step: int) -> None:
    own_folders(folder)
    write_atomic(folder / f"step-{step:05d}.json", json.dumps(result.to_json()) + "\n")


def _figures(result: EvalResult, group: str) -> dict[str, float]:
    return {
        f"{group}/accuracy": result.accuracy,
        f"{group}/stderr": result.stderr,
        f"{group}/tokens_mean": result.tokens_mean,
        f"{group}/truncated_frac": result.truncated_frac,
        f"{group}/unscored_frac": result.unscored_frac,
    }


def _read(path: Path) -> EvalResult:
    with reading(path, remedy="remove it to end the run without its figures"):
        return EvalResult.from_json(json.loads(path.read_text()))
