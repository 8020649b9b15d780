"""The canary: texts that engine and trainer both read after the weights of the engine have changed.

    prompt | filler           the filler is prompts of other problems; at some places of the text, an ordinary request
           ^   ^   ^   ^      asks the engine for one token, and the trainer computes the log-probability of every token

Since the trainer computes whole distributions, before it is known what the engine will sample, its weights may already
change while an engine in another process is asked. The texts are the same in every step, and longer than a block of a
prefix cache, so keys and values that an engine has kept of older weights are used again, and become visible. One token
a request makes the canary one short forward pass. No completion of the run depends on it, as seeds belong to requests.

Dimension key:  M places of all texts   V vocabulary
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from kgym.rollout.engine import generate
from kgym.types import Chat, Engine, GenerateRequest, Replicated, Sampling, Segment

PLACES = 32
"""Places of a text at which the engine is asked when a run begins."""
FEW = 4
"""The number of places after each update; asking takes a hundredth of a step of a model of a million parameters."""
LENGTH = 136
"""Tokens of a text: more than a block of vLLM's prefix cache, which has 16 tokens on a GPU and 128 on a CPU."""
SPAN = 48
"""Least number of tokens after a prompt."""
FILLERS = 8
"""Number of prompts that a text is made of."""
SEED = 0
"""The seed of all requests: engines that keep unfinished completions identify them by their seed."""


@dataclass(frozen=True)
class Text:
    """A text, and the places at which the engine is asked for the next token."""

    prompt: Chat
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    """The rendered prompt and the filler."""
    places: tuple[int, ...]
    """Numbers of `ids` after which a token is asked for; never all of them."""


@dataclass(frozen=True)
class Canary:
    """One text for each replica of the engine; none if the engine has no room for any."""

    texts: tuple[Text, ...]
    temperature: float

    @classmethod
    def of(cls, engine: Engine, prompts: Sequence[Chat], temperature: float) -> "Canary":
        """Make the texts of `prompts`, of which there should be `wanted(engine)`. The engine renders them."""
        distinct = list(dict.fromkeys(prompts))
        asked = [_request(f"canary/prompt/{number}", prompt, (), temperature) for number, prompt in enumerate(distinct)]
        found = {segment.request_id: segment for segment in generate(engine, asked)}
        rendered = {
            request.prompt: found[request.id].prompt_ids
            for request in sorted(asked, key=lambda request: len(found[request.id].prompt_ids))
            if found[request.id].token_ids  # otherwise it is too long
        }
        texts = []
        for prompt, ids in list(rendered.items())[: replicas_of(engine)]:
            others = [token for other, tokens in rendered.items() for token in tokens if other != prompt]
            texts.append(_text(prompt, ids, others or ids))
        return cls(tuple(texts), temperature)

    def brief(self) -> "Canary":
        """Return a canary with fewer places of the same texts."""
        return replace(
            self,
            texts=tuple(replace(text, places=_places(len(text.prompt_ids), len(text.ids), FEW)) for text in self.texts),
        )

    def requests(self) -> list[GenerateRequest]:
        """Return a request for each place, text by text."""
        return [
            _request(f"canary/{number}/{place}", text.prompt, text.ids[len(text.prompt_ids) : place], self.temperature)
            for number, text in enumerate(self.texts)
            for place in text.places
        ]

    def ask(self, engine: Engine) -> list[Segment]:
        """Return the segments of the requests. No other request may be open."""
        asked = self.requests()
        found = {segment.request_id: segment for segment in generate(engine, asked)}
        return [found[request.id] for request in asked]


def replicas_of(engine: Engine) -> int:
    """Return the number of engines that sample."""
    return engine.replicas if isinstance(engine, Replicated) else 1


def wanted(engine: Engine) -> int:
    """Return the number of prompts that a canary is made of."""
    return max(FILLERS, replicas_of(engine))


def _request(name: str, prompt: Chat, prefix_ids: tuple[int, ...], temperature: float) -> GenerateRequest:
    return GenerateRequest(name, prompt, 1, Sampling(temperature), SEED, prefix_ids)


def _text(prompt: Chat, prompt_ids: tuple[int, ...], filler: Sequence[int]) -> Text:
    first, length = len(prompt_ids), max(LENGTH, len(prompt_ids) + SPAN)
    ids = list(prompt_ids)
    while len(ids) < length:
        ids += filler
    return Text(prompt, tuple(prompt_ids), tuple(ids[:length]), _places(first, length, PLACES))


def _places(first: int, length: int, n: int) -> tuple[int, ...]:
    """Return n places of a text: the first after the prompt, the last before the last token."""
    return tuple(first + (length - 1 - first) * number // (n - 1) for number in range(n))


@dataclass(frozen=True)
class Gap:
    """How the engine and the trainer see the tokens that the engine chose at the places of a canary."""

    n_tokens: int
    engine: float
    """Mean log-probability."""
    trainer: float
    nats: float
    """Mean absolute difference."""


def gap_of(segments: Sequence[Segment], logprobs_MV: Tensor) -> Gap | None:
    """Compare both sides; None if no token was sampled because the engine's context is too short for all places."""
    pairs = [
        (segment.engine_logprobs[0], float(logprobs_V[segment.token_ids[0]]))
        for segment, logprobs_V in zip(segments, logprobs_MV, strict=True)
        if segment.token_ids
    ]
    if not pairs:
        return None
    n = len(pairs)
    engine, trainer = (sum(side) / n for side in zip(*pairs, strict=True))
    return Gap(n, engine, trainer, sum(abs(one - other) for one, other in pairs) / n)
