"""The stages of the token budget (`rollout.max_tokens`): checks before a run begins, metrics and notes."""

from collections.abc import Mapping, Sequence
from typing import Any

from kgym.config import RunConfig
from kgym.errors import ConfigError
from kgym.models.names import resolve_model
from kgym.rollout.groups import Stream
from kgym.stages import KEY
from kgym.train.rl.plan import context_of, prompt_lengths


def check_stages(config: RunConfig, streams: Sequence[Stream], template: Mapping[str, Any] | None) -> None:
    """Raise ConfigError for a stage beyond the budgets of all environments, or beyond the model's context."""
    most = config.stages.most
    if most is None:
        return
    keys = {f"envs.{stream.label}.max_tokens" if stream.label else "env.max_tokens": stream for stream in streams}
    key = max(keys, key=lambda key: keys[key].setup.budgets.max_tokens)
    if most > (budget := keys[key].setup.budgets.max_tokens):
        raise ConfigError(
            f"{KEY} reaches {most} tokens, and {key} is {budget}, which bounds every stage; set {key}={most} too"
        )
    folder = resolve_model(config.model)
    for key, stream in keys.items():
        context = context_of(folder, stream)
        prompts = prompt_lengths(folder, stream, template)
        if context is None or not prompts or min(prompts) + min(most, stream.setup.budgets.max_tokens) <= context:
            continue
        own = stream.setup.budgets.context_tokens
        which = (
            f"the context of {config.model}"
            if own is None or context < own
            else key.replace("max_tokens", "context_tokens")
        )
        raise ConfigError(
            f"{KEY} reaches {most} tokens, and {which} is {context}, of which a prompt takes at least {min(prompts)}: "
            f"completions would end at {context - min(prompts)}; use smaller stages, or a longer context"
        )


def stage_metrics(config: RunConfig, step: int) -> dict[str, float]:
    """Return the token budget of the episodes that begin in a step; {} for a run without stages."""
    tokens = config.stages.tokens(step)
    return {} if tokens is None else {"rollout/max_tokens": float(tokens)}


def late_stages(config: RunConfig) -> list[str]:
    """Say which stages the run does not reach."""
    steps = config.train.steps
    return [
        f"{KEY}: the run has {steps} steps and ends before its stage of {tokens} tokens begins; set fewer steps, or a "
        "share such as 0.5"
        for tokens in config.stages.late(steps)
    ]
