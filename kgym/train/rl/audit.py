"""The audit of a run: a second verifier judges the completions that the verifier of the rewards has judged, and decides
no reward.

A judge or a reward model is right about most completions, and training finds those about which it is wrong. A second
verifier that goes by rules counts its errors while the policy learns from it.
"""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import NamedTuple

from kgym.envs import rules
from kgym.envs.mixture import Member
from kgym.rollout.groups import Played, Stream
from kgym.types import Episode, Group, LoadedVerifier, Verdict
from kgym.verify.service import load_verifier
from kgym.world import World


class Audited(NamedTuple):
    """An episode with the verdicts of both verifiers; its own verdict is that of the rewards."""

    episode: Episode
    verdict: Verdict
    """The verdict of the audit."""


class Audit:
    """The second verifiers of the environments that have one, by label."""

    def __init__(self, members: Sequence[Member], streams: Sequence[Stream], world: World) -> None:
        self._setups = {stream.label: stream.setup for stream in streams}
        self._world = world
        self._names: dict[str, str] = {}
        self._verifiers: dict[str, LoadedVerifier] = {}
        for member in members:
            if member.audit is not None:
                name = self._names[member.label] = member.audit.name or member.spec.own_verifier()
                self._verifiers[member.label] = load_verifier(name, member.audit.options, limits=member.audit.limits)

    @property
    def names(self) -> dict[str, str]:
        """The names of the second verifiers, by label."""
        return dict(self._names)

    def judge(self, played: Played) -> dict[str, list[Audited]]:
        """Return the completions that the verifier of the rewards was asked about, each with the second verdict, by
        environment.

        Each rank judges a part of the groups; what is returned is the same on all of them.
        """
        found: dict[str, list[Audited]] = {}
        for label, verifier in self._verifiers.items():
            groups = [group for group, own in zip(played.sampled, played.labels, strict=True) if own == label]
            asked = [self._asked(label, group) for group in groups]
            parts = [
                verifier.verify_many([rules.item_of(episode) for episode in each]) if each else []
                for each in self._world.share(asked)
            ]
            verdicts = [verdict for part in self._world.merge(parts) for verdict in part]
            episodes = [episode for each in asked for episode in each]
            found[label] = [Audited(episode, verdict) for episode, verdict in zip(episodes, verdicts, strict=True)]
        return found

    def _asked(self, label: str, group: Group) -> list[Episode]:
        truncated = self._setups[label].options.truncated
        return [episode for episode in group.episodes if rules.needs_verifier(episode, truncated)]


def by_episode(audited: Mapping[str, Sequence[Audited]]) -> dict[str, Verdict]:
    """Return the second verdicts by `Episode.id`."""
    return {each.episode.id: each.verdict for own in audited.values() for each in own}


def audit_metrics(audited: Mapping[str, Sequence[Audited]]) -> dict[str, float]:
    """Say how far both verifiers agree, over all environments and, where a run has several, for each; {} without an
    audit.
    """
    if not audited:
        return {}
    metrics = {
        f"audit/{name}": value for name, value in agreement([each for own in audited.values() for each in own]).items()
    }
    for label, own in audited.items():
        if label:
            metrics |= {f"env/{label}/audit_{name}": value for name, value in agreement(own).items()}
    return metrics


def agreement(audited: Sequence[Audited]) -> dict[str, float]:
    """Compare the verdicts of both; every figure except `unscored_frac` is over the completions that both have scored.

    A false accept is a completion that the verifier of the rewards finds correct and the audit does not. `auc` is the
    chance that a completion which the audit finds correct has a higher score than one which it does not, plus half the
    chance that their scores are equal: 1 for a score that orders all of them correctly, 0.5 for one without
    information.
    """
    both = [each for each in audited if each.verdict.scored and each.episode.judged]
    right = [each.verdict.status == "correct" for each in both]
    accepted = [each.episode.verdict is not None and each.episode.verdict.status == "correct" for each in both]
    scores = [0.0 if each.episode.verdict is None else each.episode.verdict.score for each in both]
    wrong = [not yes for yes in right]
    return {
        "completions": float(len(both)),
        "unscored_frac": _mean([not each.verdict.scored for each in audited]),
        "correct_frac": _mean(right),
        "agreement_frac": _mean([one == other for one, other in zip(right, accepted, strict=True)]),
        "false_accept_frac": _mean(list(compress(accepted, wrong))),
        "false_reject_frac": _mean([not yes for yes in compress(accepted, right)]),
        "auc": _auc(list(compress(scores, right)), list(compress(scores, wrong))),
    }


def _auc(right: Sequence[float], wrong: Sequence[float]) -> float:
    return _mean([(one > other) + 0.5 * (one == other) for one in right for other in wrong])


def _mean(values: Sequence[float]) -> float:
    """Return the mean; NaN over nothing, as a missing figure is better than a wrong one."""
    return sum(values) / len(values) if values else float("nan")
