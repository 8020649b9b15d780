"""The rules of an episode: what a segment does to it, when it ends and what it is worth. The same for one environment
and for many.

    extend(episode, action, budgets)      one step: the answer grows, and may end
    settle(episodes, truncated, verifier) those that have ended: one batch of verdicts, and the rewards

An episode is one answer to one problem. It is terminated when the policy stops and truncated when a budget stops it; an
answer that stops only after its budget is truncated, and so is one that the engine ended because it repeated itself. A
plain `str` is a finished answer without tokens, which no budget of tokens can end.

Where the environment replies (`Budgets.max_turns`), a segment that stops ends a turn: `awaits_reply` is then true;
`reply` continues the episode or ends it. `max_tokens` counts what the policy samples in all turns, `context_tokens` the
replies too. The verifier judges the last turn, and is told those before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kgym.errors import EnvError
from kgym.types import Chat, Episode, Message, Observation, Segment, Verdict, Verifier, VerifyItem

Truncated = Literal["zero", "score", "mask"]

CUT = Verdict("wrong", reason="truncated")
"""Of an answer that a budget ended and that is not judged."""
REPEATED = Verdict("wrong", reason="repetition")
"""Of an answer that was ended because it repeated itself and that is not judged."""
OUT_OF_TURNS = Verdict("wrong", reason="turns")
"""Of an answer whose policy would have needed another turn, and that is not judged."""
UNASKED = Verdict("wrong", reason="prompt_too_long")
"""Of a prompt that left no room for an answer."""


@dataclass(frozen=True)
class Budgets:
    """What ends an answer that does not end itself."""

    max_tokens: int
    """Tokens that the policy samples in all turns, end tokens included."""
    context_tokens: int | None = None
    """Tokens of the prompt and the answer together, what the environment replies included."""
    max_segments: int | None = None
    max_turns: int | None = None
    """Turns of the policy; None where the environment does not reply, so that the first `stop` ends the episode."""


def ended(episode: Episode) -> bool:
    """Whether an episode takes no more segments."""
    return episode.ended


def extend(episode: Episode, action: str, budgets: Budgets) -> None:
    """Add a segment, or a plain text as a finished answer. Raises EnvError if the episode has ended."""
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
        episode.truncated = True  # the model's context is full, for any budgets; asking again would go on for ever


def awaits_reply(episode: Episode) -> bool:
    """Whether the policy has ended a turn and the environment has yet to reply."""
    last = episode.pieces[-1] if episode.pieces else None
    return not episode.ended and isinstance(last, Segment) and last.finish_reason == "stop"


def reply(episode: Episode, said: Message | Verdict | None, budgets: Budgets) -> None:
    """Add what the environment replies. None ends the episode well; a verdict, of an environment that failed, ends
    it as that says.
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
    """Whether there are as many segments as there may be; one that was interrupted goes on in the next, and does not
    count.
    """
    most = budgets.max_segments
    return most is not None and sum(segment.finish_reason != "abort" for segment in episode.segments) >= most


def tokens_left(episode: Episode, budgets: Budgets) -> int:
    """How many more tokens the answer may have; negative if it has too many. The prompt's tokens are known from the
    first segment on.
    """
    left = budgets.max_tokens - episode.n_tokens
    if budgets.context_tokens is None:
        return left
    n_replied = sum(len(observation.token_ids) for observation in episode.observations)
    return min(left, budgets.context_tokens - len(episode.prompt_ids) - episode.n_tokens - n_replied)


def settle(episodes: Sequence[Episode], truncated: Truncated, verifier: Verifier) -> None:
    """Give ended episodes their verdict and reward, by one call of the verifier.

    The verifier is one of `load_verifier`, which returns a verdict for each answer in any case.
    """
    judged = [episode for episode in episodes if needs_verifier(episode, truncated)]
    verdicts = verifier.verify_many([item_of(episode) for episode in judged]) if judged else []
    for episode, verdict in zip(judged, verdicts, strict=True):
        award(episode, verdict)
    for episode in episodes:
        if episode.verdict is None:
            award_unjudged(episode, truncated)


def needs_verifier(episode: Episode, truncated: Truncated) -> bool:
    """Whether the verifier judges an ended episode: a truncated one only under the rule `score`, one without room
    for an answer never.
    """
    return not unasked(episode) and (truncated == "score" or not episode.truncated)


def item_of(episode: Episode) -> VerifyItem:
    """Return what the verifier sees of an episode: the last turn, and those before it."""
    problem, turns = episode.problem, episode.turns
    earlier = turns[:-1] if episode.pieces and isinstance(episode.pieces[-1], Segment) else turns
    return VerifyItem(problem.gold, episode.last_turn, problem.question, problem.id, earlier)


def award(episode: Episode, verdict: Verdict) -> None:
    """Give an episode its verdict; the reward is its score. An unscored verdict gives 0 and makes the episode
    untrainable.
    """
    episode.verdict = verdict
    episode.reward = float(verdict.score) if verdict.scored else 0.0
    episode.trainable = verdict.scored


def award_unjudged(episode: Episode, truncated: Truncated) -> None:
    """Give an ended episode that the verifier does not judge its verdict, which is wrong.

    It is untrainable if it was never asked, or if `mask` leaves truncated ones out. One that repeated itself is
    trainable under `mask` too: a larger budget would not have helped it.
    """
    if unasked(episode):
        episode.verdict, episode.reward, episode.trainable = UNASKED, 0.0, False
    elif repeated(episode):
        episode.verdict, episode.reward, episode.trainable = REPEATED, 0.0, True
    else:
        verdict = OUT_OF_TURNS if out_of_turns(episode) else CUT
        episode.verdict, episode.reward, episode.trainable = verdict, 0.0, truncated != "mask"


def repeated(episode: Episode) -> bool:
    """Whether the answer was ended because it repeated itself."""
    return episode.finish_reason == "repetition"


def out_of_turns(episode: Episode) -> bool:
    """Whether the answer was ended because the policy had no turn left."""
    return (
        episode.truncated
        and episode.n_turns > 1
        and isinstance(episode.pieces[-1], Segment)
        and episode.finish_reason == "stop"
    )


def unasked(episode: Episode) -> bool:
    """Whether the prompt left no room for an answer, so that the policy was never asked."""
    return (
        episode.truncated
        and episode.n_tokens == 0
        and episode.finish_reason is not None  # otherwise it became too old before the engine had room for it
        and all(isinstance(s, Segment) and s.finish_reason == "length" for s in episode.segments)
    )


def observe(episode: Episode) -> Chat:
    """Return the conversation so far: the prompt and, from the first segment on, the answer as far as it goes, turn
    by turn.
    """
    return (*episode.prompt, *episode.turns)


def describe(episode: Episode, index: int) -> dict[str, Any]:
    """Return `info`: the same keys of the same types at every step, and not the gold answer."""
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
