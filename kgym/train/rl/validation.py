"""The scores of a policy while it is trained: on the validation split of each of its environments, and on benchmarks.

A validation uses the code path of training, and its results are kept for paired comparison: eval/step-N.json,
eval/BENCH/step-N.json, and in a run with several environments eval/LABEL/step-N.json.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kgym.config import RunConfig, VerifierConfig
from kgym.envs.mixture import Member
from kgym.envs.spec import EnvSpec
from kgym.errors import ConfigError, NotComparable
from kgym.files import reading, write_atomic
from kgym.folders import numbered, own_folders
from kgym.registry import registry
from kgym.runs.folder import RunFolder
from kgym.score.bench import bench_slug, resolve_bench
from kgym.score.harness import EvalResult, Evaluation
from kgym.train.report import Reporter
from kgym.train.rl.statistics import Overall, improvement
from kgym.types import Engine, ProblemSource
from kgym.world import ALONE, World


class Validation:
    """The evaluations of a run, ready to run on its engine at any step."""

    def __init__(
        self, config: RunConfig, environments: Sequence[Member], *, template: Mapping[str, Any] | None
    ) -> None:
        """Build the environments; without `eval.every` only those of the benchmarks.

        Raises what `Evaluation` raises, and ConfigError if an environment and a benchmark would have the same folder.
        """
        self._config, self._template = config, template
        self._sampling = config.eval.sampling(config.rollout.sampling)
        self._members = environments
        self.own: dict[str, Evaluation] = {}
        """The evaluations of the validation splits, by the label of the environment."""
        for member in environments if config.eval.every else ():
            with member.named():
                self.own[member.label] = self._own(member)
        self.benches = {bench_slug(name): self._bench(name) for name in config.eval.benches}
        if twice := sorted(self.own.keys() & self.benches.keys()):
            raise ConfigError(
                f"--bench {twice[0]} and the environment {twice[0]!r} would both be kept in eval/{twice[0]}; "
                f"give the environment another label: envs.LABEL.name={twice[0]}"
            )

    def _own(self, member: Member) -> Evaluation:
        """Return the evaluation of a validation split: as many problems as the configuration says, or as there are."""
        config = self._config.eval
        spec = member.spec.for_score(config.split)
        size = spec.setup().source.size
        n_problems = config.problems if size is None else min(config.problems, size)
        return self._evaluation(spec, n_problems, config.samples)

    def _bench(self, name: str) -> Evaluation:
        """Return a benchmark as `kgym eval` asks it, with the sampling of validation.

        It has the settings of the first environment of the run that has its name, and otherwise only the token budget
        and the rule for truncated completions, if all environments of the run have the same.
        """
        bench = resolve_bench(name)
        specs = [member.spec.for_score(bench.split) for member in self._members]
        spec = next((spec for spec in specs if spec.name == bench.env), None)
        if spec is None:
            same = {
                key: value
                for key, value in specs[0].settings.items()
                if all(one.settings.get(key) == value for one in specs)
            }
            kept = {key: value for key, value in same.items() if key in ("max_tokens", "truncated")}
            spec = EnvSpec.of(bench.env, bench.split, kept, VerifierConfig(limits=self._config.verifier.limits))
        return self._evaluation(spec, bench.problems, bench.samples)

    def _evaluation(self, spec: EnvSpec, problems: int, samples: int) -> Evaluation:
        seed, budget = self._config.seed, self._config.eval.max_tokens
        spec = spec if budget is None else spec.with_settings(max_tokens=budget)
        return Evaluation(
            spec, problems=problems, samples=samples, sampling=self._sampling, seed=seed, template=self._template
        )

    @property
    def sources(self) -> dict[str, ProblemSource]:
        """The problems of the validation splits, by label; {} in a run without validations."""
        return {label: evaluation.source for label, evaluation in self.own.items()}

    def facts(self) -> dict[str, Any]:
        """Return the facts of the validation and the benchmarks in the manifest."""
        own = {label: evaluation.facts for label, evaluation in self.own.items()}
        benches = {name: evaluation.facts for name, evaluation in self.benches.items()}
        return {"validation": own.get("", own), "benches": benches}

    def long_prompts(self, engine: Engine) -> dict[str, dict[str, int]]:
        """Return the problems whose prompts leave no room for a completion, by environment or benchmark; see
        `check_prompts`.
        """
        own = {
            f"{label or evaluation.spec.name}:{evaluation.spec.split}": evaluation
            for label, evaluation in self.own.items()
        }
        return {where: evaluation.long_prompts(engine) for where, evaluation in {**own, **self.benches}.items()}

    def run(
        self,
        engine: Engine,
        step: int,
        folder: RunFolder,
        reporter: Reporter,
        check: Callable[[], None],
        *,
        world: World = ALONE,
    ) -> dict[str, float]:
        """Score the policy that the engine has, write the results and return their figures. `check` is called before
        each is written.

        Each rank of `world` samples a part with its engine, and rank 0 writes.
        """

        def scored(name: str, evaluation: Evaluation, phase: str) -> EvalResult:
            result = evaluation.run(
                engine, progress=lambda at: reporter.progress(phase, at.done, at.total), world=world
            )
            check()
            if world.first:
                _keep(result, folder.evals / name, step)
                registry().observe("kgym_eval_finished", run=folder.path, step=step, results=result.to_json())
            return result

        figures: dict[str, float] = {}
        start = time.perf_counter()
        own = {
            label: scored(label, evaluation, f"validation {label}".strip()) for label, evaluation in self.own.items()
        }
        for label, result in own.items():
            figures |= _figures(result, f"eval/{label}" if label else "eval")
        if own:
            figures |= (_figures(Overall.of(own), "eval") if "" not in own else {}) | {
                "time/eval_s": time.perf_counter() - start
            }
        start = time.perf_counter()
        for name, evaluation in self.benches.items():
            figures |= _figures(scored(name, evaluation, "benchmark"), f"bench/{name}")
        return figures | ({"time/bench_s": time.perf_counter() - start} if self.benches else {})

    def folders(self, folder: RunFolder) -> list[Path]:
        """Return the folders of a run's results."""
        return [folder.evals, *(folder.evals / name for name in (*filter(None, self.own), *self.benches))]

    def summary(self, folder: RunFolder, note: Callable[[str], None]) -> dict[str, Any]:
        """Compare the first and the last validation of a run, over all environments and for each; {} if the run has
        fewer than two.

        Those that did not ask the same are not compared, and `note` is told.
        """
        found = {label: numbered(folder.evals / label, "step", ".json") for label in self.own}
        steps = sorted(set.intersection(*(set(files) for files in found.values()))) if found else []
        if len(steps) < 2:
            return {}
        first, last = ({label: _read(files[step]) for label, files in found.items()} for step in (steps[0], steps[-1]))
        pairs: dict[str, Any] = {label: (first[label], last[label]) for label in found}
        if "" not in pairs:
            pairs[""] = (Overall.of(first), Overall.of(last))
        compared = {}
        for label, (before, after) in pairs.items():
            try:
                compared[label] = improvement(before, after, seed=self._config.seed)
            except NotComparable as error:  # a run that an older version has resumed; what was learnt is kept
                names = [found[label or next(iter(found))][step].stem for step in (steps[0], steps[-1])]
                note(f"{names[0]} and {names[1]} in {folder.evals / label} are not compared: {error}")
        overall = compared.pop("", {})
        drawn = {name: getattr(self._sampling, name) for name in ("temperature", "top_p", "top_k")}
        return overall | ({"environments": compared} if compared else {}) | ({"sampling": drawn} if overall else {})


def _keep(result: EvalResult, folder: Path, step: int) -> None:
    own_folders(folder)
    write_atomic(folder / f"step-{step:05d}.json", json.dumps(result.to_json()) + "\n")


def _figures(result: EvalResult | Overall, group: str) -> dict[str, float]:
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
