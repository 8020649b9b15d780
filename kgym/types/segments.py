"""A request to an engine, the segment that it returns, and what the environment adds between two segments.

The segments and observations of an episode, in order, are its completion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from kgym.types.problems import Chat, Message


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 is off."""
    stop: tuple[str, ...] = ()
    """Texts that end the completion, in addition to the model's end token; the matched text stays in the completion."""
    loop_tokens: int | None = None
    """End a completion, with the finish reason `repetition`, at the first token where its last `loop_tokens` tokens are
    one block, repeated at least four times (`kgym.repetition`). Earlier segments count. None is off.
    """


@dataclass(frozen=True)
class GenerateRequest:
    """Ask an engine to begin or continue one completion.

    The engine renders `prompt` with its tokenizer's chat template and puts `prefix_ids`, the tokens of the completion's
    earlier segments, after it unchanged. The uniform number drawn after the token at position p of the completion
    depends only on (seed, p), so neither cutting a completion into segments nor the rest of the batch changes it.
    """

    id: str
    prompt: Chat
    max_tokens: int
    """New tokens at most."""
    sampling: Sampling
    seed: int
    prefix_ids: tuple[int, ...] = ()
    context_tokens: int | None = None
    """Tokens of the prompt and the completion together, at most; without it only `max_tokens` and the model's context
    bound the completion.
    """
    turns: Chat = ()
    """Earlier turns of the policy and replies of the environment, as messages, for engines that take messages instead
    of tokens. Other engines have them in `prefix_ids`. () before the first reply.
    """
    expects_reply: bool = False
    """Whether the environment may reply once the policy has ended its turn, so that another request continues this
    completion.
    """


FinishReason = Literal["stop", "length", "abort", "repetition"]


class Segment(str):
    """What an engine returned for one request: the text of the new tokens as a `str`, with their ids. Immutable.
    The text is for people and verifiers; training uses the ids.

    Finish reasons: `stop`: the policy ended its completion. `length`: the token budget of the request or the model's
    context ended it; a prompt that leaves no room for a completion gets such a segment without tokens. `abort`: the
    caller interrupted it, and may continue it. `repetition`: it had begun to repeat itself, and the request asked to
    end such completions.
    """

    __slots__ = ("engine_logprobs", "finish_reason", "n_tokens", "prompt_ids", "request_id", "token_ids", "version")

    token_ids: tuple[int, ...]
    """New tokens, the end token included. () from a server that does not return them: such a segment can be scored,
    not trained on.
    """
    n_tokens: int
    """Number of new tokens, known also where the server does not return them."""
    engine_logprobs: tuple[float, ...]
    """One for each of `token_ids`."""
    prompt_ids: tuple[int, ...]
    """The rendered prompt, without the earlier segments."""
    finish_reason: FinishReason
    version: int
    """Version of the weights that sampled it."""
    request_id: str

    def __new__(
        cls,
        text: str,
        *,
        token_ids: Sequence[int] = (),
        engine_logprobs: Sequence[float] = (),
        prompt_ids: Sequence[int] = (),
        finish_reason: FinishReason = "stop",
        version: int = 0,
        request_id: str = "",
        n_tokens: int | None = None,
    ) -> "Segment":
        """Raises ValueError if there is not one log-probability for each token."""
        if len(token_ids) != len(engine_logprobs):
            raise ValueError(f"Segment has {len(token_ids)} token_ids and {len(engine_logprobs)} engine_logprobs")
        if token_ids and n_tokens not in (None, len(token_ids)):
            raise ValueError(f"Segment has {len(token_ids)} token_ids and n_tokens={n_tokens}")
        self = super().__new__(cls, text)
        for name, value in (
            ("token_ids", tuple(token_ids)),
            ("engine_logprobs", tuple(engine_logprobs)),
            ("prompt_ids", tuple(prompt_ids)),
            ("finish_reason", finish_reason),
            ("version", version),
            ("request_id", request_id),
            ("n_tokens", len(token_ids) if n_tokens is None else n_tokens),
        ):
            object.__setattr__(self, name, value)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """Raise AttributeError: what was sampled is what is trained on."""
        raise AttributeError(f"a Segment is immutable; make another one to give it another {name}")

    def __delattr__(self, name: str) -> None:
        """Raise AttributeError."""
        raise AttributeError(f"a Segment is immutable; {name} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the text with every field: segments are sent between processes."""
        return _segment, (str(self), {name: getattr(self, name) for name in self.__slots__})


def _segment(text: str, fields: Mapping[str, Any]) -> Segment:
    return Segment(text, **fields)


@dataclass(frozen=True)
class Observation:
    """Text of the environment inside a completion, such as a tool's reply. The policy reads it and is not trained
    on it.
    """

    message: Message
    token_ids: tuple[int, ...] = ()
    """The tokens that the engine appended for it."""


Piece = Segment | Observation


class Reply(NamedTuple):
    """What an environment says after a turn of the policy, with the token that it follows."""

    message: Message
    last_id: int | None
    """The policy's newest token: the end of its turn, unless a stop text ended it. The rendering depends on it."""
