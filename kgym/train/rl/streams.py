"""What a run needs to play its groups: its environments with their samplers, its shapers, and the rule that ends a
step.
"""

from collections.abc import Sequence

from kgym.config import RunConfig
from kgym.envs.mixture import Member
from kgym.errors import ConfigError
from kgym.hookspecs import EngineInfo
from kgym.registry import registry
from kgym.rollout.engine import adapter_rank
from kgym.rollout.groups import Rollouts, StepRule, Stream
from kgym.seeding import derive_seed
from kgym.train.warmups import create_for_run
from kgym.types import UpdatePlan
from kgym.world import ALONE, World


def make_rollouts(config: RunConfig, members: Sequence[Member], plan: UpdatePlan, world: World = ALONE) -> Rollouts:
    """Make environments, samplers and shapers, for this rank of `world`.

    Raises ConfigError, or what `EnvSetup` raises, for settings that cannot work.
    """
    rollout = config.rollout
    if rollout.group_size < plan.min_group_size:
        raise ConfigError(
            f"rollout.group_size={rollout.group_size}: attempts are compared within a group, so 1 gives no gradient; "
            "use 2 or more"
        )
    carries = rollout.schedule != "sync"
    return Rollouts(
        make_streams(config, members),
        [create_for_run("shaper", name, options, config.train.steps) for name, options in config.shapers.items()],
        plan,
        problems_per_step=rollout.problems_per_step,
        group_size=rollout.group_size,
        sampling=rollout.sampling,
        seed=config.seed,
        rule=StepRule(rollout.oversample, rollout.step_tokens, rollout.max_age) if carries else StepRule(),
        segment_tokens=rollout.segment_tokens,
        stages=config.stages,
        world=world,
    )


def check_schedule(config: RunConfig, n_ranks: int = 1) -> None:
    """Raise ConfigError if the engine cannot do what the schedule needs, or the ranks would not do the same."""
    if n_ranks > 1 and config.rollout.schedule == "ahead" and config.rollout.max_lag > 1:
        raise ConfigError(
            f"rollout.max_lag={config.rollout.max_lag} lets the weights that sample a batch depend on timing, and "
            f"{n_ranks} ranks would not take the same; use 0 or 1"
        )
    info = registry().info(EngineInfo, config.engine.name)
    if info.remote:
        raise ConfigError(
            f"engine={config.engine.name} samples at a server, into which no weights can be loaded: its completions "
            "would never come from the policy that is trained. Use another engine (kgym plugins list --kind engine), "
            "or score with kgym eval"
        )
    if config.rollout.schedule == "ahead" and not info.own_process:
        raise ConfigError(
            f"engine={config.engine.name} cannot run in its own process, as rollout.schedule=ahead needs; use another "
            "engine, or rollout.schedule=partial"
        )
    rank, most = config.train.lora.rank, adapter_rank(config.engine.name, config.engine.options)
    if most is not None and 0 < most < rank:
        raise ConfigError(
            f"engine.adapter_rank={most} is less than train.lora.rank={rank}; set it to {rank}, or to 0 for adapters "
            "that come merged"
        )


def make_streams(config: RunConfig, members: Sequence[Member]) -> list[Stream]:
    """Make the environments of a run, each with its sampler."""
    streams = []
    for member in members:
        with member.named():
            setup = member.spec.setup()
        seed = derive_seed(config.seed, "sampler", *filter(None, [member.label]))
        steps, sampler = config.train.steps, member.sampler
        chooses = create_for_run("sampler", sampler.name, sampler.options, steps, setup.source, seed)
        streams.append(Stream(setup, chooses, member.label, member.weight))
    return streams
