"""Checks before a run: the model's chat template takes the conversation, and the prompts leave room for a completion.

A prompt that does not fit does not end a run. Its episode is truncated before the first token: it counts as wrong in an
evaluation, with the reason `prompt_too_long`, and is left out of the loss.
"""

import logging
from collections.abc import Mapping

from kgym.blame import blaming
from kgym.envs.setup import PLACEHOLDER, EnvSetup
from kgym.errors import ConfigError
from kgym.types import Chat, Engine, MeasuresPrompts, RendersReplies

log = logging.getLogger(__name__)

MOST = 50_000
"""Most problems of a split whose prompts are checked."""
FEW = 100
"""Problems of an endless source whose prompts are checked."""
SHOWN = 3
"""Number of problems that a note names."""


def check_prompts(engine: Engine, setup: EnvSetup, n_problems: int | None = None) -> dict[str, int]:
    """Return the ids of the problems whose prompt leaves no room for a completion, with the tokens of the prompt.

    Checks the first `n_problems`, or all of a finite source; returns {} if the engine cannot measure prompts. Raises
    ConfigError if no prompt leaves room, or if the model's chat template refuses the conversation.
    """
    check_turns(engine, setup)
    if not isinstance(engine, MeasuresPrompts):
        return {}
    _check_conversation(engine, setup.prompt(PLACEHOLDER), own_system=setup.options.system is None)
    size = setup.source.size if n_problems is None else n_problems
    if not size:
        return {}
    problems = [setup.problem(index) for index in range(min(size, MOST))]
    prompts = [setup.prompt(problem) for problem in problems]
    with blaming("engine", engine):
        found = engine.too_long(prompts, setup.budgets.context_tokens)
    if len(found) == len(problems):
        raise ConfigError(
            f"no prompt of {setup.info.name}:{setup.options.split} leaves room for a completion: the shortest of "
            f"{len(found)} has {min(found.values())} tokens; take a model with a longer context, shorter problems, or "
            "a larger "
            "env.context_tokens"
        )
    return {problems[place].id: n_tokens for place, n_tokens in found.items()}


def check_turns(engine: Engine, setup: EnvSetup) -> None:
    """Raise ConfigError if the environment replies and the engine, or the model's chat template, cannot continue after
    a completion.
    """
    if setup.responder is None:
        return
    if not isinstance(engine, RendersReplies):
        with blaming("engine", engine):
            raise ConfigError(
                f"it cannot append the replies of {setup.info.id}; use another engine (kgym plugins list --kind engine)"
            )
    with blaming("engine", engine):
        note = engine.turns_note()
    if note:
        log.warning("%s: the policy reads its own turns as it sampled them, %s", setup.info.name, note)


def check_step_tokens(engine: Engine, setup: EnvSetup, step_tokens: int) -> None:
    """Raise ConfigError if a prompt has more tokens than a step may sample: reading it again would cost more than
    the step yields.
    """
    if not isinstance(engine, MeasuresPrompts) or setup.source.size == 0:
        return
    size = FEW if setup.source.size is None else min(setup.source.size, MOST)
    prompts = [setup.prompt(setup.problem(index)) for index in range(size)]
    with blaming("engine", engine):
        found = engine.too_long(prompts, step_tokens)
    if found:
        raise ConfigError(
            f"rollout.step_tokens={step_tokens} is less than the longest prompt has, {max(found.values())} tokens, "
            "which every step may have to read again; raise it, or leave it out"
        )


def describe_long(found: Mapping[str, int], where: str) -> str:
    """Say which prompts do not fit and what becomes of them.

    >>> describe_long({"mine/7": 1042}, "data:train")
    'data:train: 1 prompt leaves no room for a completion (mine/7, 1042 tokens): wrong in an evaluation, not in a loss'
    """
    names = ", ".join(f"{name}, {n_tokens} tokens" for name, n_tokens in list(found.items())[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    what = "1 prompt leaves" if len(found) == 1 else f"{len(found)} prompts leave"
    return f"{where}: {what} no room for a completion ({names}{more}): wrong in an evaluation, not in a loss"


def _check_conversation(engine: MeasuresPrompts, chat: Chat, *, own_system: bool) -> None:
    try:
        engine.too_long([chat])
    except ConfigError as error:
        rest = tuple(message for message in chat if message.role != "system")
        if len(rest) == len(chat):
            raise
        try:
            engine.too_long([rest])
        except ConfigError:
            raise error from None
        remedy = (
            "the environment's own system message is refused; put its text into env.prompt, or use another model"
            if own_system
            else "it refuses the system message of env.system; leave it out, or put its text into env.prompt"
        )
        raise ConfigError(f"{error}; {remedy}") from error
