"""Episodes, the groups that they form, and the shapers that change the rewards of a group."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kgym.types.problems import Chat, Message, Problem
from kgym.types.segments import FinishReason, Observation, Piece, Segment
from kgym.types.verdicts import Verdict


@dataclass
class Episode:
    """One attempt at a problem: the prompt, the pieces of the completion in order, the verdict and the reward.

    It may last for several training steps. `token_ids`, `token_mask`, `engine_logprobs` and `versions` have one entry
    for each token after the prompt, observations included.
    """

    problem: Problem
    attempt: int
    """Number of this attempt at this problem within the run: part of its seed."""
    prompt: Chat
    pieces: list[Piece] = field(default_factory=list)
    verdict: Verdict | None = None
    """None until the episode has ended and is judged."""
    reward: float = 0.0
    """The environment's reward, before shaping; the rewards after shaping are in the group."""
    terminated: bool = False
    truncated: bool = False
    trainable: bool = True
    """False if its verdict is unscored, or if it is truncated and truncated completions are masked. The episode is then
    kept and counted, and left out of the loss.
    """
    seed: int = 0
    """Seed of the uniform numbers that choose its tokens. It is fixed when the episode begins and depends on neither
    step nor slot.
    """

    @property
    def id(self) -> str:
        """Unique within a run."""
        return f"{self.problem.id}#{self.attempt}"

    @property
    def ended(self) -> bool:
        """Whether it takes no more pieces."""
        return self.terminated or self.truncated

    @property
    def judged(self) -> bool:
        """Whether it has a score to compare others with. A truncated completion that is masked is judged too, and only
        left out of the loss.
        """
        return self.verdict is not None and self.verdict.scored

    @property
    def segments(self) -> list[Segment]:
        """What the policy sampled, in order."""
        return [piece for piece in self.pieces if isinstance(piece, Segment)]

    @property
    def observations(self) -> list[Observation]:
        """What the environment replied, in order."""
        return [piece for piece in self.pieces if isinstance(piece, Observation)]

    @property
    def n_turns(self) -> int:
        """Number of turns of the policy that have begun: one more than the replies of the environment."""
        return 1 + len(self.observations)

    @property
    def text(self) -> str:
        """The whole completion, without observations."""
        return "".join(self.segments)

    @property
    def last_turn(self) -> str:
        """What the policy has said since the newest observation; the whole completion if there are no observations."""
        return self.turns[-1].content if self.pieces and isinstance(self.pieces[-1], Segment) else ""

    @property
    def turns(self) -> Chat:
        """The completion as messages: turns of the policy, and between them the replies of the environment."""
        found: list[Message] = []
        for own, pieces in itertools.groupby(self.pieces, lambda piece: isinstance(piece, Segment)):
            if own:
                found.append(Message("assistant", "".join(piece for piece in pieces if isinstance(piece, Segment))))
            else:
                found += [piece.message for piece in pieces if isinstance(piece, Observation)]
        return tuple(found)

    @property
    def finish_reason(self) -> FinishReason | None:
        """The finish reason of the newest segment; None before the first."""
        segments = self.segments
        return segments[-1].finish_reason if segments else None

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The rendered prompt, as the engine saw it."""
        return next((segment.prompt_ids for segment in self.segments if segment.prompt_ids), ())

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The tokens after the prompt."""
        return tuple(token for piece in self.pieces for token in piece.token_ids)

    @property
    def token_mask(self) -> tuple[bool, ...]:
        """For each token, whether the policy sampled it."""
        return tuple(isinstance(piece, Segment) for piece in self.pieces for _ in piece.token_ids)

    @property
    def engine_logprobs(self) -> tuple[float, ...]:
        """The log-probabilities that the engine reported; 0 for a token of an observation."""
        return tuple(
            logprob
            for piece in self.pieces
            for logprob in (piece.engine_logprobs if isinstance(piece, Segment) else [0.0] * len(piece.token_ids))
        )

    @property
    def versions(self) -> tuple[int, ...]:
        """For each token, the version of the weights that sampled it; -1 for a token of an observation."""
        return tuple(
            version
            for piece in self.pieces
            for version in [piece.version if isinstance(piece, Segment) else -1] * len(piece.token_ids)
        )

    @property
    def n_tokens(self) -> int:
        """Number of tokens that the policy sampled, end token included."""
        return sum(segment.n_tokens for segment in self.segments)


@dataclass
class Group:
    """All attempts at the same problem in one step, with their rewards after shaping."""

    problem: Problem
    episodes: list[Episode]
    rewards: list[float]


class Shaper(Protocol):
    """Changes the rewards of a group. Constructed as `target(options)`."""

    def __call__(self, group: Group, rewards: Sequence[float], step: int) -> Sequence[float]:
        """Return the new rewards, one for each episode; `step` counts from 1, for warm-ups."""
