"""Bounds beyond which a run ends, with the reason, because its numbers would be meaningless."""

from collections.abc import Mapping
from pathlib import Path

from kgym.config import RunConfig
from kgym.errors import RunError
from kgym.rollout.groups import Played
from kgym.train.rl.statistics import unscored_reasons


def check_unscored(
    config: RunConfig, played: Played, figures: Mapping[str, float], *, step: int, episodes: Path
) -> None:
    """Raise RunError if too many completions of a step could not be judged."""
    bound, unscored = config.rollout.max_unscored_frac, figures["verdict/unscored_frac"]
    if unscored <= bound:
        return
    remedy = f"; if too_old are many, raise rollout.max_age={config.rollout.max_age} or lower env.max_tokens"
    raise RunError(
        f"step {step}: {unscored:.0%} of the completions are unscored, more than rollout.max_unscored_frac={bound} "
        f"({unscored_reasons(played.sampled)}); the completions are in {episodes}" + (remedy if played.dropped else "")
    )


def check_engine_gap(config: RunConfig, figures: Mapping[str, float], *, step: int, episodes: Path) -> None:
    """Raise RunError if the engine does not sample from the policy that is trained.

    `figures` are those of a batch before its update. Only tokens that the newest weights sampled count, so a batch of
    older tokens passes.
    """
    bound, gap = config.rollout.max_engine_gap_nats, figures.get("policy/engine_gap_nats", 0.0)
    if gap <= bound:
        return
    raise RunError(
        f"step {step}: the log-probabilities of engine={config.engine.name} and of the trainer differ by {gap:.3g} "
        f"nats a token on average (at most {figures['mismatch/gap_max_nats']:.3g}), more than "
        f"rollout.max_engine_gap_nats={bound:g}, so this step made no update. The engine samples from another policy "
        "than the one that is trained: it has stale weights or another precision, or it reports log-probabilities at "
        f"another temperature or after top-p; fix the engine and resume. The completions are in {episodes}"
    )
