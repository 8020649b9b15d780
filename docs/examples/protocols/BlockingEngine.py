"""An engine that samples a whole batch in one call, and how kgym uses it."""

from collections.abc import Iterator, Sequence

from kgym.rollout.engine import adapted, generate
from kgym.types import BlockingEngine, GenerateRequest, Message, Sampling, Segment, Weights


class Parrot:
    """Repeats the last message."""

    version = 0

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Segment]:
        """Yield one segment for each request."""
        for request in requests:
            text = request.prompt[-1].content[: request.max_tokens]
            yield Segment(
                text,
                token_ids=[ord(char) for char in text],
                engine_logprobs=[0.0] * len(text),
                request_id=request.id,
                version=self.version,
            )

    def load(self, version: int, weights: Weights) -> None:
        """Take the version; the engine has no weights."""
        self.version = version

    def sleep(self) -> None:
        """Release nothing: the engine holds no memory."""

    def wake(self) -> None:
        """Get nothing back: none was released."""


assert isinstance(Parrot(), BlockingEngine)
engine = adapted(Parrot())  # an Engine, with submit, poll and abort
request = GenerateRequest("r1", (Message("user", "hello"),), max_tokens=4, sampling=Sampling(), seed=0)
assert [str(segment) for segment in generate(engine, [request])] == ["hell"]
