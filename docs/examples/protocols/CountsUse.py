"""An engine that counts what it has asked of a server."""

from collections import Counter
from collections.abc import Mapping

from kgym.types import CountsUse


class Acme:
    """The part of an engine that counts."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def asked(self, prompt_tokens: int) -> None:
        """Count one request."""
        self._counts.update(requests=1, prompt_tokens=prompt_tokens)

    @property
    def usage(self) -> Mapping[str, int]:
        """Return the counts."""
        return dict(self._counts)


engine = Acme()
engine.asked(12)
engine.asked(30)
assert isinstance(engine, CountsUse)
assert engine.usage == {"requests": 2, "prompt_tokens": 42}
