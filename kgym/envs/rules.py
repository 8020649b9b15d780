"""The rules of an episode: how a segment changes it, when it ends, and its verdict and reward. They are the same for
one environment and for many.

    extend(episode, action, budgets)        one step: the completion grows, and may end
    settle(episodes, truncated, verifier)   ended episodes: one batch of verdicts, and the rewards

An episode is one attempt at a problem. It is terminated when the policy stops and truncated when a budget stops it. A
completion that stops only after its budget is truncated, and so is one that the engine ended because it repeated
itself. A plain `str` is a finished completion without tokens, which a budget of tokens cannot end.

Where the environment replies (`Budgets.max_turns`), a segment that stops ends a turn: `awaits_reply` is then true, and
`reply` continues the episode or ends it. `max_tokens` counts the tokens that the policy samples in all turns,
`context_tokens` also the replies. The verifier judges the last turn, and is given the turns before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kgym.errors import EnvError
from kgym.types import Chat, Episode, Message, Observation, Segment, Verdict, Verifier, VerifyItem

Truncated = Literal["zero", "score", "mask"]

CUT = Verdict("wrong", reason="truncated")
"""Verdict of a completion that a budget ended and that is not judged."""
REPEATED = Verdict("wrong", reason="repetition")
"""Verdict of a completion that was ended because it repeated itself and that is not judged."""
OUT_OF_TURNS = Verdict("wrong", reason="turns")
"""Verdict of a completion that would have needed another turn and that is not judged."""
UNASKED = Verdict("wrong", reason="prompt_too_long")
"""Verdict of an episode whose prompt left no room for a completion."""


@dataclass(frozen=True)
class Budgets:
    """Limits that end a completion which does not end itself."""

    max_tokens: int
    """Tokens that the policy samples in all turns, end tokens included."""
    context_tokens: int | None = None
    """Tokens of the prompt and the completion together, including the replies of the environment."""
    max_segments: int | None = None
    max_turns: int | None = None
    """Turns of the policy; None where the environment does not reply, so that the first `stop` ends the episode."""


def ended(episode: Episode) -> bool:
    """Whether an episode takes no more segments."""
    return episode.ended


def extend(episode: Episode, action: str, budgets: Budgets) -> None:
    """Add a segment, or a plain text as a finished completion. Raises EnvError if the episode has ended."""
    if ended(episode):
        raise EnvError(f"the episode of problem {episode.problem.id} has ended; reset before the next step")
    segment = action if isinstance(action, Segment) else Segment(action)
    episode.pieces.append(segment)
    left = tokens_left(episode, budgets)
    if segment.finish_reason == "stop" and left >= 0:
        episode.terminated = budgets.max_turns is None
    elif left <= 0 or _segments_spent(episode, budgets) or repeated(episode):
        episode.truncated = True
    elif segment.finish_reason == "length" and not segment and not segment.n_tokens:
        episode.truncated = True  # the model's context is full, for any budget; asking again would never end


def awaits_reply(episode: Episode) -> bool:
    """Whether the policy has ended a turn and the environment has yet to reply."""
    last = episode.pieces[-1] if episode.pieces else None
    return not episode.ended and isinstance(last, Segment) and last.finish_reason == "stop"


def reply(episode: Episode, said: Message | Verdict | None, budgets: Budgets) -> None:
    """Add the environment's reply. None terminates the episode; a verdict, from an environment that failed, ends it
    with that verdict.
    """
    if said is None:
        episode.terminated = True
    elif isinstance(said, Verdict):
        episode.truncated = True
        award(episode, said)
    elif episode.n_turns >= (budgets.max_turns or 1):
        episode.truncated = True  # the policy would not read it
    else:
        episode.pieces.append(Observation(said))
        check_room(episode, budgets)


def check_room(episode: Episode, budgets: Budgets) -> None:
    """Truncate an episode whose newest reply leaves no room for another token."""
    if tokens_left(episode, budgets) <= 0 or _segments_spent(episode, budgets):
        episode.truncated = True


def _segments_spent(episode: Episode, budgets: Budgets) -> bool:
    """Whether the episode has `max_segments` segments. An interrupted segment does not count, since the next one
    continues it.
    """
    most = budgets.max_segments
    return most is not None and sum(segment.finish_reason != "abort" for segment in episode.segments) >= most


def tokens_left(episode: Episode, budgets: Budgets) -> int:
    """Return how many more tokens the completion may have; negative if it has too many. The prompt's tokens are known
    from the first segment on.
    """
    left = budgets.max_tokens - episode.n_tokens
    if budgets.context_tokens is None:
        return left
    n_replied = sum(len(observation.token_ids) for observation in episode.observations)
    return min(left, budgets.context_tokens - len(episode.prompt_ids) - episode.n_tokens - n_replied)


def settle(episodes: Sequence[Episode], truncated: Truncated, verifier: Verifier) -> None:
    """Give ended episodes their verdict and reward, with one call of the verifier.

    The verifier is one of `load_verifier`, which always returns a verdict for each completion.
    """
    judged = [episode for episode in episodes if needs_verifier(episode, truncated)]
    verdicts = verifier.verify_many([item_of(episode) for episode in judged]) if judged else []
    for episode, verdict in zip(judged, verdicts, strict=True):
        award(episode, verdict)
    for episode in episodes:
        if episode.verdict is None:
            award_unjudged(episode, truncated)


def needs_verifier(episode: Episode, truncated: Truncated) -> bool:
    """Whether the verifier judges an ended episode: a truncated one only under the rule `score`, and one without room
    for a completion never.
    """
    return not unasked(episode) and (truncated == "score" or not episode.truncated)


def item_of(episode: Episode) -> VerifyItem:
    """Return the verifier's item of an episode: the last turn, and the turns before it."""
    problem, turns = episode.problem, episode.turns
    earlier = turns[:-1] if episode.pieces and isinstance(episode.pieces[-1], Segment) else turns
    return VerifyItem(problem.gold, episode.last_turn, problem.question, problem.id, earlier)


def award(episode: Episode, verdict: Verdict) -> None:
    """Give an episode a verdict; the reward is its score. With an unscored verdict the reward is 0 and the episode is
    untrainable.
    """
    episode.verdict = verdict
    episode.reward = float(verdict.score) if verdict.scored else 0.0
    episode.trainable = verdict.scored


def award_unjudged(episode: Episode, truncated: Truncated) -> None:
    """Give the verdict `wrong` to an ended episode that the verifier does not judge.

    The episode is untrainable if its prompt was too long, or under the rule `mask`. An episode that repeated itself is
    trainable under `mask` too, since a larger budget would not have helped it.
    """
    if unasked(episode):
        episode.verdict, episode.reward, episode.trainable = UNASKED, 0.0, False
    elif repeated(episode):
        episode.verdict, episode.reward, episode.trainable = REPEATED, 0.0, True
    else:
        verdict = OUT_OF_TURNS if out_of_turns(episode) else CUT
        episode.verdict, episode.reward, episode.trainable = verdict, 0.0, truncated != "mask"


def repeated(episode: Episode) -> bool:
    """Whether the completion was ended because it repeated itself."""
    return episode.finish_reason == "repetition"


def out_of_turns(episode: Episode) -> bool:
    """Whether the completion was ended because the policy had no turn left."""
    return (
        episode.truncated
        and episode.n_turns > 1
        and isinstance(episode.pieces[-1], Segment)
        and episode.finish_reason == "stop"
    )


def unasked(episode: Episode) -> bool:
    """Whether the prompt left no room for a completion, so that the policy was never asked."""
    return (
        episode.truncated
        and episode.n_tokens == 0
        and episode.finish_reason is not None  # None: it became too old before the engine had room for it
        and all(isinstance(s, Segment) and s.finish_reason == "length" for s in episode.segments)
    )


def observe(episode: Episode) -> Chat:
    """Return the conversation so far: the prompt and, from the first segment on, the turns of the completion so far."""
    return (*episode.prompt, *episode.turns)


def describe(episode: Episode, index: int) -> dict[str, Any]:
    """Return `info`: the same keys with the same types at every step, without the gold answer."""
    problem, verdict = episode.problem, episode.verdict
    return {
        "status": verdict.label if verdict is not None else "open",
        "reason": verdict.reason if verdict is not None else "",
        "answer": (verdict.answer or "") if verdict is not None else "",
        "score": float(verdict.score) if verdict is not None and verdict.scored else 0.0,
        "problem_id": problem.id,
        "index": index,
        "level": problem.level,
        "subject": problem.subject,
        "tokens": episode.n_tokens,
        "segments": len(episode.segments),
        "turns": episode.n_turns,
    }
