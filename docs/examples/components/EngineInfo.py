"""An engine that samples a whole batch in one call: it draws digits, so it needs no model."""

import math
import random
from collections.abc import Iterator, Sequence

from kgym.hookspecs import Component, EngineInfo, hookimpl
from kgym.options import Options
from kgym.seeding import derive_seed
from kgym.types import GenerateRequest, Segment, Weights

kgym_api = 1

DIGITS = "0123456789"
END = 0


class Dice:
    """Follows `kgym.types.BlockingEngine`: kgym adds submit, poll and abort."""

    Options = Options

    def __init__(self, options: Options, model_folder: str) -> None:
        self.version = 0

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Segment]:
        """Yield a segment for each request."""
        for request in requests:
            yield self._segment(request)

    def _segment(self, request: GenerateRequest) -> Segment:
        prompt = [ord(char) for message in request.prompt for char in message.content]
        room = request.max_tokens
        if request.context_tokens is not None:
            room = min(room, max(0, request.context_tokens - len(prompt) - len(request.prefix_ids)))
        ids: list[int] = []
        while len(ids) < room and END not in ids:
            # a token depends on the seed and its position alone
            position = len(request.prefix_ids) + len(ids)
            seed = request.seed if request.sampling.temperature else 0
            ids.append(random.Random(derive_seed(seed, position)).choice([END, *map(ord, DIGITS)]))
        return Segment(
            "".join(chr(token) for token in ids if token != END),
            token_ids=ids,
            engine_logprobs=[-math.log(len(DIGITS) + 1)] * len(ids),
            prompt_ids=prompt,
            finish_reason="stop" if END in ids else "length",
            version=self.version,
            request_id=request.id,
        )

    def load(self, version: int, weights: Weights) -> None:
        """Remember the version; a real engine copies `weights.named()`."""
        self.version = version

    def sleep(self) -> None:
        """There is no memory to release."""

    def wake(self) -> None:
        """There is none to get back."""


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the components of this plugin."""
    yield EngineInfo(name="dice", target=f"{__name__}:Dice", summary="draws digits", own_process=False)
