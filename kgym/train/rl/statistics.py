"""The figures of a step, and whether training helped.

What each mean is over: shares of verdicts are over all episodes, `episode/correct_frac` is over the scored ones, the
reward is over those that are trained on.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgym.algorithms.episodes import scored
from kgym.envs.rules import out_of_turns, repeated, unasked
from kgym.envs.task import ERROR
from kgym.errors import NotComparable
from kgym.rollout.groups import Played
from kgym.score.comparability import comparability_hash, differences
from kgym.score.harness import EvalResult
from kgym.score.paired import exact_p, paired_difference
from kgym.score.stats import mean_stderr
from kgym.types import Episode, Group, PackedBatch


def group_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Describe the episodes of a step."""
    pairs = [
        (episode, reward) for group in groups for episode, reward in zip(group.episodes, group.rewards, strict=True)
    ]
    episodes = [episode for episode, _ in pairs]
    verdicts = [episode.verdict for episode in episodes if episode.verdict is not None]
    scored = [verdict for verdict in verdicts if verdict.scored]
    n_unasked, n_repeated = sum(map(unasked, episodes)), sum(map(repeated, episodes))
    occasional = {"episode/prompt_too_long_frac": n_unasked, "episode/repetition_frac": n_repeated}
    occasional["episode/out_of_turns_frac"] = sum(map(out_of_turns, episodes))
    compared = [_informative(group) for group in groups if len(group.episodes) > 1]
    return {
        **{name: count / len(episodes) for name, count in occasional.items() if count},
        **({"group/informative_frac": _mean(compared)} if compared else {}),
        **_turn_metrics(episodes),
        "reward/mean": _mean([reward for episode, reward in pairs if episode.trainable]),
        "episode/correct_frac": _mean([verdict.status == "correct" for verdict in scored]),
        "episode/tokens_mean": _mean([episode.n_tokens for episode in episodes]),
        "episode/tokens_max": float(max((episode.n_tokens for episode in episodes), default=0)),
        "episode/truncated_frac": _mean([episode.truncated for episode in episodes]),
        "verdict/no_answer_frac": _mean([verdict.status == "no_answer" for verdict in verdicts]),
        "verdict/unscored_frac": _mean([not verdict.scored for verdict in verdicts]),
    }


def _turn_metrics(episodes: Sequence[Episode]) -> dict[str, float]:
    """Describe the turns of episodes; {} if no environment replied."""
    replies = [observation.message.content for episode in episodes for observation in episode.observations]
    if not replies:
        return {}
    return {
        "episode/turns_mean": _mean([episode.n_turns for episode in episodes]),
        "episode/replies_failed_frac": _mean([content.startswith(ERROR) for content in replies]),
        "episode/reply_tokens_mean": _mean(
            [sum(len(seen.token_ids) for seen in episode.observations) for episode in episodes]
        ),
    }


def env_metrics(groups: Sequence[Group], labels: Sequence[str]) -> dict[str, float]:
    """Describe the episodes of a step by environment, as `group_metrics` does those of all; {} for a run with one
    environment.

    `reward/mean` of the environment `words` is `env/words/reward_mean`, `episode/correct_frac` is
    `env/words/correct_frac`.
    """
    metrics: dict[str, float] = {}
    for label in sorted(filter(None, set(labels))):
        own = [group for group, belongs in zip(groups, labels, strict=True) if belongs == label]
        metrics |= {f"env/{label}/groups": float(len(own))}
        for key, value in group_metrics(own).items():
            group, _, name = key.partition("/")
            metrics[f"env/{label}/{'reward_mean' if group == 'reward' else name}"] = value
    return metrics


def part_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Describe the completions of a step by level, subject and year of their problem, where these are known and occur
    in the step.

    `level/2/correct_frac` is the share of correct completions among the scored ones, `level/2/answers` their number.
    """
    parts: dict[str, list[bool]] = {}
    for group in groups:
        problem = group.problem
        known = {"level": problem.level, "subject": _word(problem.subject), "year": problem.year}
        right = [
            episode.verdict.status == "correct"
            for episode in group.episodes
            if episode.verdict is not None and episode.verdict.scored
        ]
        for kind, value in known.items():
            if value:
                parts.setdefault(f"{kind}/{value}", []).extend(right)
    metrics: dict[str, float] = {}
    for part, right in sorted(parts.items()):
        metrics |= {f"{part}/correct_frac": _mean(right), f"{part}/answers": float(len(right))}
    return metrics


def _word(text: str) -> str:
    """Return a text as one word of the name of a metric, of at most 40 characters."""
    return re.sub(r"[^\w.]+", "-", text).strip("-.")[:40]


def rollout_metrics(played: Played, problems_per_step: int) -> dict[str, float]:
    """Describe the work that filled the batch."""
    episodes = [episode for group in played.sampled for episode in group.episodes]
    metrics = {
        "rollout/tokens": float(played.n_tokens),
        "rollout/rounds": float(played.rounds),
        "rollout/filled_frac": len(played.batch) / problems_per_step,
        "rollout/segments_mean": _mean([len(episode.segments) for episode in episodes]),
        "rollout/tokens_sampled_mean": _mean([*(episode.n_tokens for episode in episodes), *played.open_lengths]),
        "rollout/wait_s": played.wait_s,
    }
    if played.canary_gap_nats is not None:
        metrics["engine/canary_gap_nats"] = played.canary_gap_nats
    if played.carried or played.left_open or played.dropped:
        metrics |= {
            "rollout/carried": float(played.carried),
            "rollout/dropped": float(played.dropped),
            "rollout/left_open": float(played.left_open),
        }
    if played.greedy:
        metrics["greedy/reward_mean"] = _mean([reward for reward in played.greedy_rewards or () if reward is not None])
    return metrics


def batch_metrics(batch: PackedBatch, version: int) -> dict[str, float]:
    """Describe how old a batch is when it updates the policy of `version`, and how long the completions are that are
    trained on.

    The age of an episode is that of its oldest token: the number of updates since that was sampled. All figures are
    over the episodes of the batch and the tokens that the policy sampled, masked or not, except
    `rollout/tokens_trained_mean`, which is over the episodes with a trained token.
    """
    assert batch.versions is not None
    sampled_T = batch.versions >= 0
    ages = version - batch.versions[sampled_T]
    owners = batch.episode_ids[sampled_T]
    age_E = ages.new_zeros(batch.n_episodes).scatter_reduce(0, owners, ages, "amax", include_self=False).double()
    lengths_E = owners.bincount(minlength=batch.n_episodes).double()
    return {
        "rollout/age_mean": age_E.mean().item(),
        "rollout/age_max": age_E.max().item(),
        "rollout/old_tokens_frac": (ages > 0).double().mean().item(),
        "rollout/tokens_trained_mean": lengths_E[scored(batch)].mean().item(),
    }


def unscored_reasons(groups: Sequence[Group]) -> str:
    """Return the most frequent reasons why completions are unscored: `timeout 180, error:ValueError 4`."""
    verdicts = [episode.verdict for group in groups for episode in group.episodes]
    reasons = Counter(verdict.reason for verdict in verdicts if verdict is not None and not verdict.scored)
    return ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(3))


def nothing_to_learn(played: Played) -> str:
    """Say why a step has no batch."""
    episodes = [episode for group in played.sampled for episode in group.episodes]
    trainable = [episode for episode in episodes if episode.trainable]
    rounds = f"{len(played.sampled)} problems in {played.rounds} round{'s' * (played.rounds > 1)}"
    if not trainable:
        return (
            f"none of the {len(episodes)} completions of {rounds} may be trained on (unscored, or truncated and masked)"
        )
    if played.batch:
        return f"none of the {len(played.greedy)} greedy completions could be judged, so rewards have no baseline"
    right = sum(episode.reward > 0 for episode in trainable) / len(trainable)
    return (
        f"no group has both correct and wrong completions among {rounds}, with {right:.1%} of the completions correct"
    )


@dataclass(frozen=True)
class Overall:
    """The result of validations on several environments, over all of their problems."""

    accuracy: float
    """Mean over problems."""
    stderr: float
    tokens_mean: float
    """Over completions, as are the two shares."""
    truncated_frac: float
    unscored_frac: float
    scores: dict[str, float]
    """Scores by `LABEL/PROBLEM`."""
    facts: dict[str, Any]
    """Facts by label."""
    comparability: str

    @classmethod
    def of(cls, results: Mapping[str, EvalResult]) -> "Overall":
        """Combine results, which are by label."""
        scores = {
            f"{label}/{name}": score for label, result in results.items() for name, score in result.scores.items()
        }
        n_samples = sum(result.n_samples for result in results.values())

        def over_samples(name: str) -> float:
            return sum(getattr(result, name) * result.n_samples for result in results.values()) / max(1, n_samples)

        accuracy, stderr = mean_stderr(list(scores.values()))
        facts = {label: result.facts for label, result in results.items()}
        shares = {name: over_samples(name) for name in ("tokens_mean", "truncated_frac", "unscored_frac")}
        return cls(accuracy, stderr, scores=scores, facts=facts, comparability=comparability_hash(facts), **shares)


def improvement(before: EvalResult | Overall, after: EvalResult | Overall, *, seed: int) -> dict[str, Any]:
    """Compare two validations of the same problems, paired by problem.

    Raises NotComparable, with what differs, if they did not ask the same.
    """
    if before.comparability != after.comparability:
        raise NotComparable(
            f"the two validations did not ask the same: {'; '.join(differences(before.facts, after.facts))}"
        )
    test = paired_difference(before.scores, after.scores)
    return {
        "before": {"accuracy": before.accuracy, "stderr": before.stderr},
        "after": {"accuracy": after.accuracy, "stderr": after.stderr},
        "gain": test.difference,
        "gain_interval_95": list(test.interval),
        "p_value": test.p_value,
        "p_exact": exact_p(before.scores, after.scores, seed=seed),
        "test": test.name,
        "distinguishable": test.distinguishable,
        "caution": test.caution,
        "n_problems": test.n,
        "comparability": after.comparability,
    }


def _informative(group: Group) -> bool:
    """Whether the rewards of judged completions differ and one of them is trained on: other groups have no gradient."""
    rewards = {reward for episode, reward in zip(group.episodes, group.rewards, strict=True) if episode.judged}
    return len(rewards) > 1 and any(episode.trainable for episode in group.episodes)


def _mean(values: Sequence[float]) -> float:
    """Return the mean; NaN over nothing, as a missing figure is better than a wrong one."""
    return sum(values) / len(values) if values else float("nan")
