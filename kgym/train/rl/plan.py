"""The plan of a run of reinforcement learning: a policy, perhaps a reference and a critic, and the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kgym.config import RunConfig
from kgym.errors import ConfigError
from kgym.models.encoding import ChatEncoder
from kgym.models.footprint import footprint
from kgym.models.load import load_config, load_tokenizer
from kgym.models.names import resolve_model
from kgym.rollout.engine import engine_memory
from kgym.rollout.groups import Stream
from kgym.score.harness import SLOTS
from kgym.train.plan import Plan, Workload, make_plan
from kgym.train.workload import policy_workload, smaller
from kgym.types import SamplingWork, UpdatePlan
from kgym.world import join

FEW = 50
"""Number of problems of each environment whose prompts are measured."""
REPLIES = "the replies of the environment, which env.context_tokens would bound"


def plan_of(config: RunConfig, streams: Sequence[Stream], plan: UpdatePlan, template: Mapping[str, Any] | None) -> Plan:
    """Plan a run whose completions use the budget of its largest stage. Raises ConfigError for a model that cannot
    be read.
    """
    folder = resolve_model(config.model)
    row = longest_text(folder, streams, template, config.stages.most)
    groups = -(-config.rollout.problems_per_step // plan.minibatches)
    work = policy_workload(config.train, folder, row=row, texts=groups * config.rollout.group_size)
    if plan.needs_reference and plan.reference is not None:
        work = replace(work, reference=footprint(resolve_model(plan.reference)))
    elif plan.needs_reference and not config.train.lora.rank:
        work = replace(work, reference=work.model)
    if plan.needs_values and config.critic.backbone == "separate":
        work = replace(
            work, critic=footprint(folder if config.critic.model is None else resolve_model(config.critic.model))
        )
    n_ranks = join().size
    work = replace(work, ranks=n_ranks, texts=-(-groups // n_ranks) * config.rollout.group_size)
    work = _with_engine(work, config, folder, _sampling(config, folder, streams, template, row))
    changes = smaller(config.train, folder, work)
    if work.engine is not None and not (work.together or work.sleeps):
        changes["rollout.sleep=true"] = lambda other: replace(other, sleeps=True)
    setups = [stream.setup for stream in streams]
    unbounded = any(setup.responder is not None and setup.budgets.context_tokens is None for setup in setups)
    return make_plan(work, changes, REPLIES if unbounded else "")


def _sampling(
    config: RunConfig, folder: str, streams: Sequence[Stream], template: Mapping[str, Any] | None, row: int
) -> list[SamplingWork]:
    """Return the work of a rank's engine: for a step of training, and for a validation, whose completions have the
    whole budget.
    """
    prompt = max((length for stream in streams for length in prompt_lengths(folder, stream, template)), default=0)
    prompts = -(-round(config.rollout.problems_per_step * config.rollout.oversample) // join().size)
    continued = config.rollout.schedule != "sync" or config.rollout.segment_tokens is not None
    found = [SamplingWork(prompts * config.rollout.group_size, prompts, min(prompt, row), row, continued)]
    if config.eval.every:
        rows = min(SLOTS, config.eval.problems * config.eval.samples)
        whole = longest_text(folder, streams, template)
        found.append(SamplingWork(rows, min(rows, config.eval.problems), min(prompt, whole), whole))
    return found


def _with_engine(work: Workload, config: RunConfig, folder: str, sampling: Sequence[SamplingWork]) -> Workload:
    """Add the memory that the engine takes on the same device, if it says how much: for the largest work."""
    plans = [engine_memory(config.engine.name, config.engine.options, folder, each) for each in sampling]
    engine = max(
        (plan for plan in plans if plan is not None), key=lambda plan: sum(plan.sampling.values()), default=None
    )
    if engine is None or engine.device != work.device:
        return work
    together = config.rollout.schedule == "ahead"
    if together:  # new weights are copied into memory that both processes map
        engine = replace(
            engine, held={**engine.held, "weights on their way": 2 * work.model.parameters * work.weight_bytes}
        )
    return replace(work, engine=engine, together=together, sleeps=config.rollout.sleep)


def longest_text(
    folder: str, streams: Sequence[Stream], template: Mapping[str, Any] | None, max_tokens: int | None = None
) -> int:
    """Return the tokens of the longest of the first prompts with a whole budget of tokens, or of the model's context.

    `max_tokens` is a budget below those of the environments.
    """
    most = 0
    for stream in streams:
        budget = min(tokens for tokens in (stream.setup.budgets.max_tokens, max_tokens) if tokens is not None)
        text = max(prompt_lengths(folder, stream, template), default=0) + budget
        context = context_of(folder, stream)
        if stream.setup.responder is not None and stream.setup.budgets.context_tokens is not None:
            text = max(text, stream.setup.budgets.context_tokens)  # replies fill what completions leave
        most = max(most, text if context is None else min(text, context))
    return most


def prompt_lengths(folder: str, stream: Stream, template: Mapping[str, Any] | None) -> list[int]:
    """Return the tokens of the first prompts of an environment; [] if the chat template refuses them."""
    setup = stream.setup
    encoder = ChatEncoder(load_tokenizer(folder), whose=folder, variables=template or {})
    n_problems = min(FEW, FEW if setup.source.size is None else setup.source.size)
    try:
        return [len(encoder.prompt(setup.prompt(setup.problem(index)))) for index in range(n_problems)]
    except ConfigError:  # reported, with the remedy, where prompts are checked
        return []


def context_of(folder: str, stream: Stream) -> int | None:
    """Return how many tokens prompt and completion may have together, by the model and the environment; None if
    nothing bounds them.
    """
    bounds = (
        stream.setup.budgets.context_tokens,
        getattr(load_config(folder).get_text_config(), "max_position_embeddings", None),
    )
    return min((bound for bound in bounds if bound is not None), default=None)
