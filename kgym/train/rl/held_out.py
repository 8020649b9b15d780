"""Checks that a policy is not scored on problems that it is trained on, in any pair of environments."""

from collections.abc import Mapping, Sequence

from kgym.config import RunConfig
from kgym.envs.mixture import Member
from kgym.envs.setup import env_info
from kgym.errors import ConfigError
from kgym.score.bench import bench_slug, resolve_bench
from kgym.types import ProblemSource

MOST = 50_000
"""Most problems of a split that are compared one by one, where it belongs to another environment."""


def check_held_out(
    config: RunConfig,
    environments: Sequence[Member],
    trained: Mapping[str, ProblemSource],
    validation: Mapping[str, ProblemSource],
    benches: Mapping[str, ProblemSource],
) -> None:
    """Raise ConfigError if a validation or a benchmark has the split or the problems that the policy is trained on.

    `trained` and `validation` are by the label of their environment, `benches` by slug. `validation` is empty in a run
    without validations, whose policy is to be scored on the split later.
    """
    for member in environments:
        source, spec = trained[member.label], member.spec
        env = env_info(spec.name).id
        for other in environments:
            scored = validation.get(other.label)
            same = env_info(other.spec.name).id == env and spec.split == config.eval.split
            if same or (scored is not None and _overlap(source, scored, apart=member.label != other.label)):
                raise ConfigError(_same_problems(config, member, other))
        for name in config.eval.benches:
            bench = resolve_bench(name)
            same_problems = benches[bench_slug(name)].fingerprint == source.fingerprint
            if same_problems or (env_info(bench.env).id, bench.split) == (env, spec.split):
                raise ConfigError(
                    f"--bench {name} has the problems that the policy is trained on ({member.key}.split={spec.split}), "
                    f"so its score would not be on unseen problems; leave it out, or train on another split"
                )


def _same_problems(config: RunConfig, member: Member, other: Member) -> str:
    """Say which training and which validation have the same problems, and what to do."""
    trained = f"{member.key}.split={member.spec.split}"
    if member.label == other.label:
        both = f"{trained} and eval.split={config.eval.split} are the same problems"
    else:
        both = f"{trained} has problems of the split {config.eval.split!r} of envs.{other.label} (eval.split)"
    return f"{both}, so the policy would be scored on what it is trained on; choose another split for one of them"


def _overlap(trained: ProblemSource, scored: ProblemSource, *, apart: bool) -> bool:
    """Whether two sources are the same; of two environments that are `apart`, also whether they share a question."""
    if trained.fingerprint == scored.fingerprint:
        return True
    sizes = (trained.size, scored.size)
    if not apart or any(size is None or size > MOST for size in sizes):
        return False
    return not _questions(trained).isdisjoint(_questions(scored))


def _questions(source: ProblemSource) -> set[str]:
    return {source[index].question.strip() for index in range(source.size or 0)}
