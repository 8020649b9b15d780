"""The figures of a step, and whether training helped.

Every mean says over what: shares of verdicts are over all episodes, `episode/correct_frac` is over the scored ones, the reward over those
that are trained on.
"""

from collections.abc import Sequence
from typing import Any

from kgym.score.harness import EvalResult
from kgym.score.stats import paired_difference
from kgym.types import Group


def group_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Describe the episodes of a step."""
    pairs = [(episode, reward) for group in groups for episode, reward in zip(group.episodes, group.rewards, strict=True)]
    episodes = [episode for episode, _ in pairs]
    verdicts = [episode.verdict for episode in episodes if episode.verdict is not None]
    scored = [verdict for verdict in verdicts if verdict.scored]
    return {
        "reward/mean": _mean([reward for episode, reward in pairs if episode.trainable]),
        "episode/correct_frac": _mean([verdict.status == "correct" for verdict in scored]),
        "episode/tokens_mean": _mean([episode.n_tokens for episode in episodes]),
        "episode/tokens_max": float(max((episode.n_tokens for episode in episodes), default=0)),
        "episode/truncated_frac": _mean([episode.truncated for episode in episodes]),
        "verdict/no_answer_frac": _mean([verdict.status == "no_answer" for verdict in verdicts]),
        "verdict/unscored_frac": _mean([not verdict.scored for verdict in verdicts]),
        "group/informative_frac": _mean([_informative(group) for group in groups]),
    }


def improvement(before: EvalResult, after: EvalResult, *, seed: int) -> dict[str, Any]:
    """Compare two validations of the same problems, paired by problem."""
    test = paired_difference(before.scores, after.scores, seed=seed)
    return {
        "before": {"accuracy": before.accuracy, "stderr": before.stderr},
        "after": {"accuracy": after.accuracy, "stderr": after.stderr},
        "gain": test.difference,
        "gain_interval_95": list(test.interval),
        "p_value": test.p_value,
        "test": test.name,
        "n_problems": test.n,
        "comparability": after.comparability,
    }


def _informative(group: Group) -> bool:
    """Whether the rewards that are trained on differ: groups without a difference have no gradient."""
    rewards = {reward for episode, reward in zip(group.episodes, group.rewards, strict=True) if episode.trainable}
    return len(rewards) > 1


def _mean(values: Sequence[float]) -> float:
    """NaN over nothing: no figure is better than a wrong one."""
    return sum(values) / len(values) if values else float("nan")
