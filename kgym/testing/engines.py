"""Engines without a model. Their tokens are characters: the ids are code points, and 0 ends an answer."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kgym.seeding import derive_seed
from kgym.types import GenerateRequest, Segment

END = 0


class _CharacterEngine:
    """Continues answers with the characters that `_answer` gives, one log-probability for all of them."""

    def __init__(self) -> None:
        self.version = 0
        self.requests: list[GenerateRequest] = []
        """All that was asked, in order."""

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Segment]:
        """Yield one segment for each request, in order."""
        for request in requests:
            self.requests.append(request)
            ids, logprob = self._answer(request)
            prompt_ids = [ord(char) for message in request.prompt for char in message.content]
            n = request.max_tokens
            if request.context_tokens is not None:
                n = min(n, max(0, request.context_tokens - len(prompt_ids) - len(request.prefix_ids)))
            new = ids[len(request.prefix_ids) :][:n]
            yield Segment(
                "".join(chr(i) for i in new if i != END),
                token_ids=new,
                engine_logprobs=[logprob] * len(new),
                prompt_ids=prompt_ids,
                finish_reason="stop" if new and new[-1] == END else "length",
                version=self.version,
                request_id=request.id,
            )

    def _answer(self, request: GenerateRequest) -> tuple[list[int], float]:
        """Return the ids of the whole answer, earlier segments included, and the log-probability of each."""
        raise NotImplementedError

    def abort(self, ids: Sequence[str]) -> None:
        """Do nothing: every answer is there at once."""

    def update_weights(self, version: int, model: Any) -> None:
        """Take over the number; there are no weights."""
        self.version = version

    def sleep(self) -> None:
        """Do nothing."""

    def wake(self) -> None:
        """Do nothing."""


class ScriptedEngine(_CharacterEngine):
    """Answers as told: by a mapping from the text of the last message, or by a function of the request.

    Raises KeyError for a message that is not in the mapping.
    """

    def __init__(self, script: Mapping[str, str] | Callable[[GenerateRequest], str]) -> None:
        super().__init__()
        self._script = script

    def _answer(self, request: GenerateRequest) -> tuple[list[int], float]:
        text = self._script(request) if callable(self._script) else self._script[request.prompt[-1].content]
        return [*map(ord, text), END], 0.0


class UniformEngine(_CharacterEngine):
    """Draws every character uniformly from an alphabet and the end of the answer; a draw depends on (seed, position) alone."""

    def __init__(self, alphabet: str = "0123456789") -> None:
        super().__init__()
        self._tokens = [END, *map(ord, alphabet)]

    def _answer(self, request: GenerateRequest) -> tuple[list[int], float]:
        ids: list[int] = []
        while len(ids) < len(request.prefix_ids) + request.max_tokens and END not in ids:
            rng = random.Random(derive_seed(request.seed, len(ids)))  # noqa: S311  (a test double)
            ids.append(rng.choice(self._tokens))
        return ids, -math.log(len(self._tokens))
