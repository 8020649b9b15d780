"""What a policy is scored on must not be what it is trained on."""

from collections.abc import Mapping

from kgym.config import RunConfig
from kgym.envs.setup import env_info
from kgym.errors import ConfigError
from kgym.score.bench import bench_slug, resolve_bench
from kgym.types import ProblemSource


def check_held_out(
    config: RunConfig, trained: ProblemSource, validation: ProblemSource | None, benches: Mapping[str, ProblemSource]
) -> None:
    """Raise ConfigError if the validation or a benchmark, by its slug, has the split or the problems that are trained on.

    `validation` is None in a run without validations, whose policy is meant to be scored on the split nonetheless.
    """
    env, split = env_info(config.env.name).id, config.env.split
    same_problems = validation is not None and validation.fingerprint == trained.fingerprint
    if split == config.train.eval_split or same_problems:
        raise ConfigError(
            f"env.split={split} and train.eval_split={config.train.eval_split} are the same problems, so the policy would be "
            "scored on what it is trained on; choose another split for one of them"
        )
    for name in config.train.benches:
        bench = resolve_bench(name)
        same_problems = benches[bench_slug(name)].fingerprint == trained.fingerprint
        if same_problems or (env_info(bench.env).id, bench.split) == (env, split):
            raise ConfigError(
                f"--bench {name} has the problems that the policy is trained on (env.split={split}), so its score would not be "
                f"one of unseen problems; leave it out, or train on another split"
            )
